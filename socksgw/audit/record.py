"""
The record of one session, and the catalogue of the journal's events.

Every line is a JSON object in ASCII. All have C{v} (1), C{n} (the line's
number), C{time} (UTC), C{event} and, last, C{hash} (see
L{socksgw.audit.chain}). Lines about a client (marked with an asterisk) have
C{session} (its number in this process), C{listener}, C{client} (address and port)
and C{protocol} (C{socks5}, C{socks4} or C{socks4a}; empty before it is known). The
events, and what they hold besides (L{CATALOGUE}; what says nothing is left out):

  - C{start}: C{gateway}, C{pid}; the journal was opened.
  - C{stop}: C{gateway}; everything has ended, in order.
  - C{decision}*: what was asked and what the policy said, before anything was
    dialled or refused: C{user}, C{groups}, C{method}, C{command}, C{asked} (the
    host as the client spelled it, escaped), C{name} (its normal form, or null),
    C{port}, C{verdict} (C{allow} or C{deny}), C{rule} (null when no rule was the
    reason; C{limit} when a limit was), C{why} (then which), C{addresses} (what
    may be dialled), C{rules} (that allow each of these, where they differ;
    C{rule} is the first's, of a flow the used one's), C{struck} (what DNS gave
    and policy struck out, each with the reason), C{reply} (what a denied client
    is told) and C{reason} (a fixed word for it), C{secured} (when the client's
    side is), C{ticket} (of the rule), C{reports} (what rules that only report
    would have said), C{hint} (that the client had the address from RESOLVE of a
    name of which the rules say something else), C{user_id} (of SOCKS 4, escaped: a
    claim that nobody checks).
  - C{refused}*: a client refused before the policy was asked: C{reason}, C{why},
    C{offered} (the first 16) and C{wanted} methods, C{method} (the one chosen, if
    it came so far), C{user} (of one who has logged in), C{command}, C{asked}
    (cut after 128 octets), C{port}, C{user_id} (cut as well), C{reply}.
  - C{refusals}: refusals and failed logins that have no lines of their own,
    since they were too many within a second: C{source} (an address, an IPv6 /64,
    or null for many clients together), C{user} (of those who have logged in),
    C{count}, C{reasons} (how many of each).
  - C{denials}: the same of decisions and flows that were denied: C{source},
    C{user}, C{rule}, C{count}, C{reasons}, C{first} and C{last} (what was asked
    for, cut after 128 octets).
  - C{login-failed}*: C{method}, C{claimed} (the name given, escaped, cut
    after 128 octets), C{reason}, C{why}.
  - C{groups-failed}: no directory could say which groups a user is in; what was
    said last holds for C{auth.groups_hold}: C{checker}, C{user}, C{reason}; one
    line for each user and C{auth.groups_refresh}.
  - C{end}: an allowed session is over: C{session}, C{address} (dialled),
    C{bound}, C{sent} and C{received} (octets, from the client's side),
    C{seconds}, C{reason}, C{reply}, C{strangers} (connections to a BIND's listener
    that were not its peer's, or datagrams of an association from where they
    should not come), C{why} (of a session that was revoked, that turned out to
    lead here, or whose quota was used up: the reason is C{quota} then), C{rule}
    (that it lived by, where that is not the decision's: the one that allows the
    address, or after a reload), C{ticket}.
  - C{peer}*: somebody connected to a BIND's listener, and is let in: C{user},
    C{address}, C{bound}, C{rule} (as of C{end}), C{ticket}.
  - C{flow}*: as C{decision}, of one destination of a UDP association.
  - C{flow-end}: an allowed flow is over: C{session}, C{address}, C{sent},
    C{received} (octets), C{sent_datagrams}, C{received_datagrams}, C{seconds},
    C{reason}, C{limited} (datagrams, both ways, that were more than the rate or
    the quota lets through), C{why} (of a flow that was revoked, or the quota,
    when that is the reason), C{ticket}.
  - C{flows-refused}*: an association wants more flows than it may have: C{why};
    told again only when one of its flows has begun or ended since.
  - C{reloaded}: a new configuration is in force: C{rules} (how many),
    C{ended} (sessions that it does not allow).
  - C{reload-failed}: it is not, and the old one serves on: C{problems}.
  - C{tls-read}: files of a listener's TLS have changed and are in force:
    C{listener}, C{files} (their keys).
  - C{tls-failed}: they cannot be used, or are stale: C{listener},
    C{problems}.
  - C{stores}: what is wrong with files of users now: C{problems}, each with
    file, line and remedy; none when all is well again. Whoever is in stays.
  - C{recovered}: at the start a torn last line was cut off: C{octets}.
  - C{missing}: lines that somebody moved, deleted or cut: C{from}, C{to}.
  - C{resumed}: lines could not be written for a while: C{refused}, C{lost}.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, Protocol, final

from socksgw.audit.refusals import Refusal
from socksgw.wire.address import Address, escaped
from socksgw.wire.events import Event, MethodsOffered, Requested

__all__ = ["CATALOGUE", "COMMON", "EVENTS", "SessionRecord", "startLine", "stopLine"]

#: Octets of a name that a client without a login sent, and methods that it
#: offered, which are written.
_SHOWN: Final = 128
_OFFERED: Final = 16

#: Fields of every line, and of every line about a client.
COMMON: Final = ("v", "n", "time", "event", "hash")
_CLIENT: Final = ("session", "listener", "client", "protocol")
_DECISION: Final = (
    *_CLIENT, "user", "method", "command", "asked", "name", "port", "verdict", "rule",
    "why", "addresses", "groups", "rules", "struck", "user_id", "secured", "ticket",
    "reports", "hint", "reply", "reason",
)  # fmt: skip

#: The fields that the lines of each event may have.
CATALOGUE: Final[Mapping[str, Sequence[str]]] = {
    "start": ("gateway", "pid"),
    "stop": ("gateway",),
    "decision": _DECISION,
    "refused": (
        *_CLIENT, "reason", "why", "wanted", "offered", "user", "method", "command",
        "asked", "port", "user_id", "reply",
    ),
    "refusals": ("source", "user", "count", "reasons"),
    "denials": ("source", "user", "rule", "count", "reasons", "first", "last"),
    "login-failed": (*_CLIENT, "method", "claimed", "reason", "why"),
    "groups-failed": ("checker", "user", "reason"),
    "end": (
        "session", "address", "bound", "sent", "received", "seconds", "reason", "reply",
        "strangers", "rule", "why", "ticket",
    ),
    "peer": (*_CLIENT, "user", "address", "bound", "rule", "ticket"),
    "flow": _DECISION,
    "flow-end": (
        "session", "address", "sent", "sent_datagrams", "received",
        "received_datagrams", "seconds", "reason", "limited", "why", "ticket",
    ),
    "flows-refused": (*_CLIENT, "why"),
    "reloaded": ("rules", "ended"),
    "reload-failed": ("problems",),
    "tls-read": ("listener", "files"),
    "tls-failed": ("listener", "problems"),
    "stores": ("problems",),
    "recovered": ("octets",),
    "missing": ("from", "to"),
    "resumed": ("refused", "lost"),
}  # fmt: skip
EVENTS: Final = frozenset(CATALOGUE)


class Verdict(Protocol):
    """What the record keeps of the policy's answer for one address."""

    @property
    def rule(self) -> str: ...


class Decision(Protocol):
    """What the record keeps of the policy's answer."""

    @property
    def allowed(self) -> bool: ...

    @property
    def rule(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def addresses(self) -> tuple[Address, ...]: ...

    @property
    def struck(self) -> tuple[tuple[Address, str], ...]: ...

    @property
    def ticket(self) -> str: ...

    @property
    def reports(self) -> Sequence[str]: ...

    @property
    def hint(self) -> str: ...

    @property
    def verdicts(self) -> Mapping[Address, Verdict]: ...

    @property
    def error(self) -> Any: ...


class Wanted(Protocol):
    """A method that was acceptable."""

    @property
    def name(self) -> str: ...


def startLine(gateway: str) -> str:
    """The line that says that the gateway starts."""
    return f'"event":"start","gateway":{quoted(gateway)},"pid":{os.getpid()}'


def stopLine(gateway: str) -> str:
    """The line that says that the gateway has stopped."""
    return f'"event":"stop","gateway":{quoted(gateway)}'


def reloadedLine(rules: int, ended: int) -> str:
    """The line that says that a new configuration is in force."""
    return f'"event":"reloaded","rules":{rules},"ended":{ended}'


def reloadFailedLine(problems: Sequence[str]) -> str:
    """The line that says that it is not, and why."""
    return f'"event":"reload-failed","problems":[{",".join(map(quoted, problems))}]'


def tlsReadLine(listener: str, files: Sequence[str]) -> str:
    """The line that says that files of a listener's TLS were read again."""
    return (
        f'"event":"tls-read","listener":{quoted(listener)},'
        f'"files":[{",".join(map(quoted, files))}]'
    )


def tlsFailedLine(listener: str, problems: Sequence[str]) -> str:
    """The line that says what is wrong with them."""
    return (
        f'"event":"tls-failed","listener":{quoted(listener)},'
        f'"problems":[{",".join(map(quoted, problems))}]'
    )


def storesLine(problems: Sequence[str]) -> str:
    """The line that says what is wrong with the files of users now."""
    return f'"event":"stores","problems":[{",".join(map(quoted, problems))}]'


def groupsFailedLine(checker: str, user: str, reason: str) -> str:
    """The line of a user whose groups no directory could say."""
    return (
        f'"event":"groups-failed","checker":{quoted(checker)},'
        f'"user":{quoted(user)},"reason":{quoted(reason)}'
    )


def _place(address: Address, port: int) -> str:
    if len(address.packed) == 4:
        return f'"{address.text}:{port}"'
    return f'"[{address.text}]:{port}"'


def _shown(octets: bytes) -> str:
    """
    What somebody who is not logged in sent, escaped, and cut: it would fill the
    journal.
    """
    if len(octets) <= _SHOWN:
        return quoted(escaped(octets))
    return quoted(f"{escaped(octets[:_SHOWN])}... ({len(octets)} octets)")


def _named(key: str, text: str) -> str:
    """One more field, where there is something to say."""
    return f',"{key}":{quoted(text)}' if text else ""


@final
class SessionRecord:
    """
    The facts of one session, filled in as they become known.

    @ivar session: its number in this process.
    @ivar began: monotonic seconds.
    @ivar asked: the host, as the client spelled it.
    @ivar loggedIn: whether the client is a user, and not just anybody.
    @ivar reason: how it ended, a fixed word.
    """

    __slots__ = (
        "addresses", "allowed", "asked", "began", "bound", "chosen", "claimed",
        "client", "clientPort", "command", "decidedBy", "dialled", "ending", "groups",
        "hint", "listener", "loggedIn", "method", "name", "offered", "peerPort", "port",
        "protocol", "reason", "received", "reply", "reports", "rule", "secured", "sent",
        "session", "strangers", "struck", "ticket", "user", "userId", "verdicts",
        "wanted", "why",
    )  # fmt: skip

    def __init__(
        self, session: int, listener: str, client: Address, port: int, began: float
    ) -> None:
        self.session = session
        self.listener = listener
        self.client = client
        self.clientPort = port
        self.began = began
        self.protocol = ""
        self.userId = b""
        self.claimed = b""
        self.chosen = ""
        self.user = ""
        self.loggedIn = False
        self.method = ""
        self.offered: bytes | None = None
        self.wanted: Sequence[Wanted] = ()
        self.command = ""
        self.asked = b""
        self.name: str | None = None
        self.port = 0
        self.allowed = False
        self.rule = self.decidedBy = ""
        self.verdicts: Mapping[Address, Verdict] = {}
        self.why = ""
        self.addresses: tuple[Address, ...] = ()
        self.struck: tuple[tuple[Address, str], ...] = ()
        self.reply = 0
        self.reason = ""
        self.dialled: Address | None = None
        self.bound: tuple[Address, int] | None = None
        self.sent = 0
        self.received = 0
        self.strangers = 0
        self.ticket = ""
        self.ending = ""
        self.peerPort = 0
        self.secured = "clear"
        self.groups: Collection[str] = ()
        self.reports: Sequence[str] = ()
        self.hint = ""

    def opened(self, event: Event, wanted: Sequence[Wanted]) -> None:
        """
        Write down what the client's first message says of it.

        @param wanted: the methods that are acceptable.
        """
        self.wanted = wanted
        if isinstance(event, MethodsOffered):
            self.protocol = "socks5"
            self.offered = event.methods
        elif isinstance(event, Requested):
            self.protocol = "socks4"
            self.userId = event.userId

    def chose(self, method: str) -> None:
        """
        Write down which method was chosen; the client may be lost in its
        sub-negotiation.
        """
        self.chosen = method

    def decided(self, decision: Decision) -> None:
        """
        Write down what the policy said.
        """
        self.allowed = decision.allowed
        self.rule = self.decidedBy = decision.rule
        self.verdicts = decision.verdicts
        self.why = decision.why
        self.addresses = decision.addresses
        self.struck = decision.struck
        self.ticket = decision.ticket
        self.reports = decision.reports
        self.hint = decision.hint
        if decision.error is not None:
            self.reply = int(decision.error.reply or 0)
            self.reason = decision.error.reason

    def livesBy(self, rule: str, ticket: str) -> None:
        """
        The rule that allows the address which it uses.

        @param ticket: the rule's, if it has one.
        """
        self.rule = rule
        self.ticket = ticket

    def judgedAgain(self, rule: str, ticket: str) -> None:
        """
        Other rules allow it, too.

        @param ticket: of the rule that does, if it has one.
        """
        self.rule = rule
        self.ticket = ticket or self.ticket

    def limited(self, why: str, reply: int, reason: str) -> None:
        """
        The policy allowed it, but a limit is reached.

        @param why: which.
        """
        self.allowed = False
        self.rule = "limit"
        self.why = why
        self.reply = reply
        self.reason = reason

    def refusal(self) -> Refusal:
        """What is counted when the client is refused before a decision."""
        user = self.user if self.loggedIn else ""
        return Refusal(self.client, user, self.loggedIn, self.reason)

    def denial(self) -> Refusal:
        """What is counted when the policy, or a limit, denies the request."""
        host = escaped(self.asked[:_SHOWN])
        if ":" in host:
            host = f"[{host}]"
        command = "" if self.command == "connect" else f"{self.command} "
        destination = f"{command}{host}:{self.port}"
        user, loggedIn = self.user, self.loggedIn
        return Refusal(self.client, user, loggedIn, self.reason, destination, self.rule)

    def _who(self, event: str) -> str:
        return (
            f'"event":"{event}","session":{self.session},'
            f'"listener":{quoted(self.listener)},'
            f'"client":{_place(self.client, self.clientPort)},'
            f'"protocol":"{self.protocol}"'
        )

    def ofFlow(self, asked: bytes, host: object, port: int) -> SessionRecord:
        """
        The record of one flow of an association.

        @param host: the destination; its name is kept if it is one.
        """
        flow = SessionRecord(
            self.session, self.listener, self.client, self.clientPort, self.began
        )
        flow.protocol, flow.user, flow.method = self.protocol, self.user, self.method
        flow.groups, flow.loggedIn = self.groups, self.loggedIn
        flow.command, flow.secured = self.command, self.secured
        flow.asked, flow.port = asked, port
        flow.name = host if isinstance(host, str) else None
        return flow

    def flowEndLine(
        self,
        address: Address,
        port: int,
        sent: tuple[int, int],
        received: tuple[int, int],
        seconds: float,
        reason: str,
        limited: int = 0,
        why: str = "",
        ticket: str = "",
    ) -> str:
        """
        The line of a flow that is over.

        @param sent: octets and datagrams to the destination.
        @param received: octets and datagrams from it.
        @param limited: datagrams that a limit did not let through.
        @param why: the quota that was used up.
        """
        return (
            f'"event":"flow-end","session":{self.session},'
            f'"address":{_place(address, port)},'
            f'"sent":{sent[0]},"sent_datagrams":{sent[1]},'
            f'"received":{received[0]},"received_datagrams":{received[1]},'
            f'"seconds":{seconds:.3f},"reason":"{reason}"'
            + (f',"limited":{limited}' if limited else "")
            + _named("why", why)
            + _named("ticket", ticket)
        )

    def flowsRefusedLine(self, why: str) -> str:
        """The line of an association that asks for too many flows."""
        return f'{self._who("flows-refused")},"why":{quoted(why)}'

    def peerLine(self, port: int) -> str:
        """
        The line of the peer that a BIND let in, before the client is told.

        @param port: the peer's.
        """
        assert self.dialled is not None
        assert self.bound is not None
        return (
            f'{self._who("peer")},"user":{quoted(self.user)},'
            f'"address":{_place(self.dialled, port)},"bound":{_place(*self.bound)}'
            + (_named("rule", self.rule) if self.rule != self.decidedBy else "")
            + _named("ticket", self.ticket)
        )

    def decisionLine(self, event: str = "decision") -> str:
        """
        The line that goes out before the first SYN or the refusal.

        @param event: C{decision}, or C{flow} for a flow of an association.
        """
        name = quoted(self.name) if self.name is not None else "null"
        addresses = '","'.join([a.text for a in self.addresses])
        line = (
            f'{self._who(event)},"user":{quoted(self.user)},'
            f'"method":{quoted(self.method)},"command":"{self.command}",'
            f'"asked":{quoted(escaped(self.asked))},"name":{name},"port":{self.port},'
            f'"verdict":"{"allow" if self.allowed else "deny"}",'
            f'"rule":{quoted(self.rule) if self.rule else "null"},'
            f'"why":{quoted(self.why)},'
            f'"addresses":[{addresses and chr(34) + addresses + chr(34)}]'
        )
        if self.groups:
            line += f',"groups":[{",".join(map(quoted, sorted(self.groups)))}]'
        rules = [self.verdicts[a].rule for a in self.addresses if self.allowed]
        if len(set(rules)) > 1:
            line += f',"rules":[{",".join(map(quoted, rules))}]'
        if self.struck:
            struck = ",".join(f'["{a.text}",{quoted(w)}]' for a, w in self.struck)
            line += f',"struck":[{struck}]'
        if self.userId:
            line += f',"user_id":{quoted(escaped(self.userId))}'
        if self.secured != "clear":
            line += f',"secured":"{self.secured}"'
        line += _named("ticket", self.ticket)
        if self.reports:
            line += f',"reports":[{",".join(map(quoted, self.reports))}]'
        line += _named("hint", self.hint)
        if not self.allowed:
            line += f',"reply":{self.reply},"reason":"{self.reason}"'
        return line

    def endLine(self, now: float) -> str:
        """
        The line of an allowed session that is over.

        @param now: monotonic seconds.
        """
        address = f'"{self.dialled.text}"' if self.dialled is not None else "null"
        bound = _place(*self.bound) if self.bound is not None else "null"
        return (
            f'"event":"end","session":{self.session},"address":{address},'
            f'"bound":{bound},"sent":{self.sent},"received":{self.received},'
            f'"seconds":{now - self.began:.3f},"reason":"{self.reason}",'
            f'"reply":{self.reply}'
            + (f',"strangers":{self.strangers}' if self.strangers else "")
            + (_named("rule", self.rule) if self.rule != self.decidedBy else "")
            + _named("why", self.ending)
            + _named("ticket", self.ticket)
        )

    def loginFailedLine(self, why: str) -> str:
        """
        The line of credentials that were not accepted.

        @param why: for the operator.
        """
        return (
            f'{self._who("login-failed")},"method":{quoted(self.method)},'
            f'"claimed":{_shown(self.claimed)},"reason":{quoted(self.reason)},'
            f'"why":{quoted(why)}'
        )

    def refusedLine(self, why: str) -> str:
        """
        The line of a client that was refused before the policy was asked.

        @param why: for the operator.
        """
        wanted = ",".join([quoted(m.name) for m in self.wanted])
        line = (
            f'{self._who("refused")},"reason":{quoted(self.reason)},"why":{quoted(why)},'
            f'"wanted":[{wanted}]'
        )
        if self.offered is not None:
            offered = self.offered[:_OFFERED]
            line += f',"offered":[{",".join(map(str, offered))}]'
        if self.user:
            line += f',"user":{quoted(self.user)},"method":{quoted(self.method)}'
        else:
            line += _named("method", self.chosen)
        if self.command:
            line += (
                f',"command":"{self.command}",'
                f'"asked":{_shown(self.asked)},"port":{self.port}'
            )
        if self.userId:
            line += f',"user_id":{_shown(self.userId)}'
        return f'{line},"reply":{self.reply}'
