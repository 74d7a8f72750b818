"""
The record of one session: its facts, and the journal's lines about them.

The fields of each line are listed in L{socksgw.audit.catalogue}.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, Protocol, final

from socksgw.audit.refusals import Refusal
from socksgw.audit.secured import pathMembers
from socksgw.audit.texts import SHOWN, judged, named, place, shown
from socksgw.system.program import Program
from socksgw.system.tlssession import TLSSession
from socksgw.wire.address import Address, escaped
from socksgw.wire.events import Event, MethodsOffered, Requested
from socksgw.wire.levels import CLEAR

__all__ = ["SessionRecord"]

#: How many offered methods are written of a client that has not logged in.
_OFFERED: Final = 16
#: What the rules of grants are called, before their numbers.
_GRANT: Final = "grant:"


class Verdict(Protocol):
    """The part of the policy's answer about one address that the record keeps."""

    @property
    def rule(self) -> str: ...


class Decision(Protocol):
    """The part of the policy's answer that the record keeps."""

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
    def verdicts(self) -> Mapping[Any, Verdict]: ...

    @property
    def decider(self) -> str: ...

    @property
    def said(self) -> str: ...

    @property
    def error(self) -> Any: ...

    @property
    def pending(self) -> bool: ...


class Finding(Protocol):
    """
    The part of what a session carries that the record keeps.

    It is L{socksgw.interfaces.Finding}.
    """

    @property
    def application(self) -> str: ...

    @property
    def serverName(self) -> str | None: ...

    @property
    def outer(self) -> bool: ...

    @property
    def alpn(self) -> Sequence[str]: ...

    @property
    def method(self) -> str: ...

    @property
    def detail(self) -> str: ...


class Wanted(Protocol):
    """A method that was acceptable."""

    @property
    def name(self) -> str: ...


def _granted(rule: str) -> str:
    """Return one more JSON member where the rule is a grant's."""
    return f',"grant":{rule[len(_GRANT) :]}' if rule.startswith(_GRANT) else ""


@final
class SessionRecord:
    """
    The facts of one session, filled in as they become known.

    @ivar session: the number of the session in this process.
    @ivar began: when the session began, in monotonic seconds.
    @ivar network: a field that tells the routing domain; empty for the gateway's own.
    @ivar asked: the requested host, as the client spelled it.
    @ivar loggedIn: whether the client has logged in as a user.
    @ivar reason: how the session ended, as a fixed word.
    @ivar via: the upstreams that the rule names, as text; empty for none.
    @ivar judged: C{name}, where no address was judged; else empty.
    @ivar path: those that the session goes through.
    @ivar decider: the services that were asked besides the rules, as text.
    @ivar said: what they said of it, as text.
    @ivar verdict: C{allow} or C{deny}, once that is to be written; C{refuse} before,
        and empty for a balancer's health check.
    @ivar times: when the client's connection was ready (0 for its second request and
        later ones), the request there, decided, and the line about that written (0
        where nobody waited for it), in monotonic seconds; L{None} before the decision.
    @ivar reachedAt: when the destination was reached; 0 before.
    @ivar loginTook: seconds in which its credentials were found right.
    @ivar waited: seconds that the look-up of the name took.
    @ivar metered: the octets that are counted in the metrics already, to the destination
        and from it; L{None} where the session is not.
    @ivar policy: which configuration decides (C{Config.mark}).
    @ivar pending: whether it depends on what the session carries.
    @ivar finding: what that is; L{None} where it was not looked at.
    @ivar mismatch: whether that contradicts what was asked for.
    @ivar carried: the members of lines about what the session carries; empty while
        that is not known.
    @ivar tls: the members of lines about TLS with the client (L{socksgw.audit.secured});
        empty without it.
    @ivar pathTLS: those about TLS with the last upstream that speaks it.
    @ivar joins: the members of a line about a multicast group; empty in others.
    @ivar proxied: the members of lines about the sender of a PROXY header
        (L{socksgw.audit.proxied}); empty without one.
    """

    __slots__ = (
        "addresses", "allowed", "asked", "began", "bound", "carried", "chosen", "claimed",
        "client", "clientPort", "command", "decidedBy", "decider", "dialled", "ending",
        "groups", "hint", "joins", "judged", "listener", "local", "loggedIn", "loginTook",
        "metered", "method", "name", "network", "offered", "path", "pathTLS", "peerPort",
        "pending", "policy", "port", "protocol", "proxied", "reachedAt", "reason",
        "received", "reply", "reports", "rule", "rules", "said", "secured", "sent",
        "session", "strangers", "struck", "tag", "ticket", "times", "tls", "user",
        "userId", "verdict", "via", "waited", "wanted", "why",
    )  # fmt: skip

    def __init__(
        self, session: int, listener: str, client: Address, port: int, began: float
    ) -> None:
        self.session = session
        self.listener = listener
        self.network = ""
        self.client = client
        self.clientPort = port
        self.began = began
        self.local = ""
        self.protocol = ""
        self.userId = b""
        self.claimed = b""
        self.chosen = ""
        self.user = self.tag = ""
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
        # By address, where there are several.
        self.rules: Sequence[str] = ()
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
        self.ticket = self.policy = ""
        self.ending = ""
        self.peerPort = 0
        self.secured = CLEAR
        self.groups: Collection[str] = ()
        self.reports: Sequence[str] = ()
        self.hint = ""
        self.proxied = self.tls = self.pathTLS = ""
        self.via = self.judged = self.path = self.decider = self.said = ""
        self.verdict = "refuse"
        self.reachedAt = self.loginTook = self.waited = 0.0
        self.times: tuple[float, float, float, float] | None = None
        self.metered: tuple[int, int] | None = None
        self.pending = False
        self.carried = self.joins = ""

    def opened(self, protocol: str, event: Event, wanted: Sequence[Wanted]) -> None:
        """
        Keep what the client's first message says.

        @param protocol: the protocol that the client speaks.
        @param wanted: the methods that the gateway accepts from it.
        """
        self.protocol = protocol
        self.wanted = wanted
        if isinstance(event, MethodsOffered):
            self.offered = event.methods
        elif isinstance(event, Requested):
            self.userId = event.userId

    def chose(self, method: str) -> None:
        """
        Keep which method was chosen, in case its sub-negotiation fails.
        """
        self.chosen = method

    def decided(self, decision: Decision) -> None:
        """
        Keep what the policy decided.
        """
        self.allowed = decision.allowed
        self.rule = self.decidedBy = decision.rule
        self.why = decision.why
        self.addresses = addresses = decision.addresses
        if self.allowed and len(addresses) > 1:
            # The verdicts themselves last no longer than the decision.
            self.rules = [decision.verdicts[each].rule for each in addresses]
        self.struck = decision.struck
        self.ticket = decision.ticket
        self.reports = decision.reports
        self.hint = decision.hint
        if decision.decider:
            self.decider, self.said = decision.decider, decision.said
        self.pending = decision.pending
        if decision.error is not None:
            self.reply = int(decision.error.reply or 0)
            self.reason = decision.error.reason

    def went(self, path: str, tls: TLSSession | None = None) -> None:
        """
        Keep the way that the session went.

        @param path: the upstreams; empty for none.
        @param tls: that with the last of them that speaks it.
        """
        self.path = path or ("direct" if self.via else "")
        self.pathTLS = "" if tls is None else pathMembers(tls)

    def livesBy(self, rule: str, ticket: str) -> None:
        """
        Keep the rule that allows the address in use.

        @param ticket: the rule's ticket; empty when it has none.
        """
        self.rule = rule
        self.ticket = ticket

    def judgedAgain(self, rule: str, ticket: str) -> None:
        """
        Keep the rule that allows the session after a reload.

        @param ticket: the rule's ticket; empty when it has none.
        """
        self.rule = rule
        self.ticket = ticket or self.ticket

    def limited(self, why: str, reply: int, reason: str) -> None:
        """
        Keep that a limit refuses what the policy has allowed.

        @param why: names the limit.
        """
        self.allowed = False
        self.rule = "limit"
        self.why = why
        self.reply = reply
        self.reason = reason

    def refusal(self) -> Refusal:
        """Return what is counted when the client is refused before a decision."""
        user = self.user if self.loggedIn else ""
        return Refusal(self.client, user, self.loggedIn, self.reason)

    def denial(self) -> Refusal:
        """Return what is counted when the policy, or a limit, denies the request."""
        host = escaped(self.asked[:SHOWN])
        if ":" in host:
            host = f"[{host}]"
        command = "" if self.command == "connect" else f"{self.command} "
        destination = f"{command}{host}:{self.port}"
        user, loggedIn = self.user, self.loggedIn
        return Refusal(self.client, user, loggedIn, self.reason, destination, self.rule)

    def within(self, network: str) -> None:
        """Have the lines say in which routing domain addresses are."""
        self.network = f',"network":{quoted(network)}'

    def _who(self, event: str) -> str:
        return (
            f'"event":"{event}","session":{self.session},'
            f'"listener":{quoted(self.listener)}{self.network},'
            f'"client":{place(self.client, self.clientPort)},'
            f'"protocol":"{self.protocol}"{self.local}'
        )

    def runBy(self, program: Program) -> None:
        """Keep which program of this machine the client is."""
        self.local = f',"uid":{program.uid}'
        if program.pid:
            self.local += f',"pid":{program.pid}'

    def ofFlow(self, asked: bytes, host: object, port: int) -> SessionRecord:
        """
        Return the record of one flow of this association.

        @param host: the destination; its name is kept if it is one.
        """
        flow = SessionRecord(
            self.session, self.listener, self.client, self.clientPort, self.began
        )
        flow.network = self.network
        flow.protocol, flow.user, flow.method = self.protocol, self.user, self.method
        flow.groups, flow.loggedIn = self.groups, self.loggedIn
        flow.local, flow.tag, flow.tls = self.local, self.tag, self.tls
        flow.command, flow.secured = self.command, self.secured
        flow.asked, flow.port = asked, port
        flow.name = host if isinstance(host, str) else None
        return flow

    def ofGroup(
        self, way: str, interface: str, ttl: int | None, senders: Sequence[Address]
    ) -> None:
        """
        Keep what a client wants of a multicast group.

        @param way: C{receive}, C{send} or C{both}.
        @param interface: where the group is joined, and sent to.
        @param ttl: of what the client sends; L{None} where it sends nothing.
        @param senders: whose datagrams it wants; empty for everybody's.
        """
        self.joins = f',"direction":"{way}"' + named("interface", interface)
        if ttl is not None:
            self.joins += f',"ttl":{ttl}'
        if senders:
            self.joins += f',"senders":[{",".join(quoted(s.text) for s in senders)}]'

    def flowEndLine(
        self,
        address: Address | str,
        port: int,
        sent: tuple[int, int],
        received: tuple[int, int],
        seconds: float,
        reason: str,
        limited: int = 0,
        why: str = "",
        ticket: str = "",
        path: str = "",
        rule: str = "",
    ) -> str:
        """
        Return the line of a flow that has ended.

        @param address: the destination's; its name where an upstream looked that up.
        @param sent: octets and datagrams to the destination.
        @param received: octets and datagrams from it.
        @param limited: how many datagrams a limit dropped.
        @param why: names the quota that was used up, or what failed; or empty.
        @param path: the upstreams that it went through; empty for none.
        @param rule: the rule that allowed it last.
        """
        return (
            f'"event":"flow-end","session":{self.session},'
            f'"address":{place(address, port)},'
            f'"sent":{sent[0]},"sent_datagrams":{sent[1]},'
            f'"received":{received[0]},"received_datagrams":{received[1]},'
            f'"seconds":{seconds:.3f},"reason":"{reason}"'
            + (f',"limited":{limited}' if limited else "")
            + named("path", path)
            + named("why", why)
            + named("ticket", ticket)
            + _granted(rule)
        )

    def flowsRefusedLine(self, why: str) -> str:
        """Return the line of an association that has reached its limit of flows."""
        return f'{self._who("flows-refused")},"why":{quoted(why)}'

    def peerLine(self, port: int) -> str:
        """
        Return the line of the peer that a BIND accepts, before the second reply.

        @param port: the peer's port.
        """
        assert self.dialled is not None
        assert self.bound is not None
        return (
            f'{self._who("peer")},"user":{quoted(self.user)},'
            f'"address":{place(self.dialled, port)},"bound":{place(*self.bound)}'
            + (named("rule", self.rule) if self.rule != self.decidedBy else "")
            + named("ticket", self.ticket)
            + _granted(self.rule)
        )

    def decisionLine(self, event: str = "decision") -> str:
        """
        Return the line that is written before the first SYN, or before the refusal.

        @param event: C{decision}, or C{flow} for a flow of an association.
        """
        if len(self.addresses) == 1:
            addresses = f'"{self.addresses[0].text}"'
        else:
            addresses = ",".join([f'"{a.text}"' for a in self.addresses])
        said = judged(
            self.user,
            self.method,
            self.command,
            self.asked,
            self.name,
            self.port,
            self.allowed,
            self.rule,
            self.why,
            self.policy,
        )
        line = f'{self._who(event)}{said},"addresses":[{addresses}]'
        if self.groups:
            line += f',"groups":[{",".join(map(quoted, sorted(self.groups)))}]'
        if self.rules and len(set(self.rules)) > 1:
            line += f',"rules":[{",".join(map(quoted, self.rules))}]'
        if self.struck:
            struck = ",".join(f'["{a.text}",{quoted(w)}]' for a, w in self.struck)
            line += f',"struck":[{struck}]'
        if self.userId:
            line += f',"user_id":{quoted(escaped(self.userId))}'
        if self.secured != CLEAR:
            line += f',"secured":"{self.secured}"'
        line += self.tls
        if self.tag:
            line += named("tag", self.tag)
        if self.ticket:
            line += self._ticketed()
        if self.pending:
            line += ',"inspect":true'
        if self.via:
            line += named("via", self.via) + named("judged", self.judged)
        if self.decider:
            line += named("decider", self.decider) + named("said", self.said)
        if self.reports:
            line += f',"reports":[{",".join(map(quoted, self.reports))}]'
        if self.hint:
            line += named("hint", self.hint)
        line += self.joins + self.proxied
        if not self.allowed:
            line += f',"reply":{self.reply},"reason":"{self.reason}"'
        return line

    def _ticketed(self) -> str:
        """Return the members of a rule with a ticket; each grant has one."""
        return named("ticket", self.ticket) + _granted(self.rule)

    def carries(
        self, finding: Finding, mismatch: bool = False, reports: Sequence[str] = ()
    ) -> None:
        """
        Keep what the session carries.

        @param mismatch: whether it is for another name than was asked for.
        @param reports: what rules that only report would have decided by that.
        """
        line = f',"application":{quoted(finding.application)}'
        if finding.serverName is not None:
            line += f',"server_name":{quoted(finding.serverName)}'
        if finding.outer:
            line += ',"ech":true'
        if finding.alpn:
            line += f',"alpn":[{",".join(map(quoted, finding.alpn))}]'
        if finding.method or finding.detail:
            line += named("http_method", finding.method)
            line += named("detail", finding.detail)
        if mismatch:
            line += ',"mismatch":true'
        if (reports or self.reports) and set(reports) != set(self.reports):
            line += f',"reports":[{",".join(map(quoted, reports))}]'
        self.carried = line

    def inspectedLine(
        self,
        allowed: bool,
        rule: str,
        why: str,
        ticket: str = "",
        said: tuple[str, str] = ("", ""),
    ) -> str:
        """
        Return the line of the judgement about what an open session carries.

        It is written before the client's octets go on.

        @param rule: the one that decides now.
        @param ticket: the ticket of that rule; empty when it has none.
        @param said: the services that were asked then, and what they said.
        """
        return (
            f'"event":"inspected","session":{self.session}{self.carried},'
            f'"verdict":"{"allow" if allowed else "deny"}","rule":{quoted(rule)},'
            f'"why":{quoted(why)}{named("ticket", ticket)}{_granted(rule)}'
            f"{named('decider', said[0])}{named('said', said[1])}"
        )

    def endLine(self, now: float) -> str:
        """
        Return the line of an allowed session that has ended.

        @param now: monotonic seconds.
        """
        address = f'"{self.dialled.text}"' if self.dialled is not None else "null"
        bound = place(*self.bound) if self.bound is not None else "null"
        return (
            f'"event":"end","session":{self.session},"address":{address},'
            f'"bound":{bound},"sent":{self.sent},"received":{self.received},'
            f'"seconds":{now - self.began:.3f},"reason":"{self.reason}",'
            f'"reply":{self.reply}'
            + (f',"strangers":{self.strangers}' if self.strangers else "")
            + (named("rule", self.rule) if self.rule != self.decidedBy else "")
            + (named("path", self.path) + self.pathTLS if self.path else "")
            + self.carried
            + (named("why", self.ending) if self.ending else "")
            + (self._ticketed() if self.ticket else "")
        )

    def loginFailedLine(self, why: str) -> str:
        """
        Return the line of credentials that were not accepted.

        @param why: the cause, for the operator.
        """
        return (
            f'{self._who("login-failed")},"method":{quoted(self.method)},'
            f'"claimed":{shown(self.claimed)},"reason":{quoted(self.reason)},'
            f'"why":{quoted(why)}{named("tag", self.tag)}{self.tls}{self.proxied}'
        )

    def refusedLine(self, why: str) -> str:
        """
        Return the line of a client that was refused before the policy was asked.

        @param why: the cause, for the operator.
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
            line += named("tag", self.tag)
        else:
            line += named("method", self.chosen)
            if self.claimed:
                # A guess that its client did not wait for, say.
                line += f',"claimed":{shown(self.claimed)}'
        if self.command:
            line += (
                f',"command":"{self.command}",'
                f'"asked":{shown(self.asked)},"port":{self.port}'
            )
        if self.userId:
            line += f',"user_id":{shown(self.userId)}'
        return f'{line}{self.tls}{self.proxied},"reply":{self.reply}'
