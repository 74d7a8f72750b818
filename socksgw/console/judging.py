"""
What two configurations say of the decisions in a journal, many of them.

Little of it is found out for each decision: who asks is remembered by what tells it,
and a decision that differs from an earlier one in nothing that is asked for is not read.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from socket import AF_INET, inet_pton
from typing import Any, Final, final

from socksgw.audit.lines import ENDS
from socksgw.audit.shapes import shaped
from socksgw.config.schema import Config
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import NEVER, Asking, Missing, Supposed, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["Judged", "Judges", "Judging", "NoLine"]

#: How many decisions are remembered, and how many clients.
_KNOWN: Final = 1 << 16
_TEXT: Final = rb'"([ !#-\[\]-~]*+)"'
_PASSED: Final = rb'"[ !#-\[\]-~]*+"'
_NUMBER: Final = rb"(?:0|[1-9][0-9]{0,17}+)"
#: A decision without escapes. The members that are passed over matter to no verdict;
#: those behind `addresses` are compared as they stand.
_DECISION: Final = re.compile(
    rb'\{"v":1,"n":' + _NUMBER
    + rb',"time":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}+Z)"'
    rb',"event":"(decision|flow)","session":(' + _NUMBER + rb'),"listener":' + _TEXT
    + rb'(?:,"network":' + _PASSED + rb')?+,"client":"([ !#-\[\]-~]*):[0-9]++"'
    rb',"protocol":' + _PASSED + rb'(?:,"uid":' + _NUMBER + rb')?+(?:,"pid":' + _NUMBER
    + rb')?+,"user":' + _TEXT + rb',"method":' + _TEXT + rb',"command":' + _TEXT
    + rb',"asked":' + _TEXT + rb',"name":(null|' + _PASSED + rb'),"port":(' + _NUMBER
    + rb'),"verdict":"(?:allow|deny)","rule":(?:null|' + _PASSED + rb'),"why":' + _PASSED
    + rb',"addresses":\[((?:' + _PASSED + rb'(?:,' + _PASSED + rb')*+)?+)\](.*)'
    + rb',"hash":"[0-9a-f]{64}"\}'
)  # fmt: skip
#: Commands whose addresses are judged each by itself, with the port.
_REACHING: Final = frozenset(((b"connect", b"decision"), (b"udp", b"flow")))
#: Addresses of which it is remembered whether they are banned before the rules.
_ADDRESSES: Final = 1 << 17
#: What is said of those that are.
_BANNED: Final = Verdict(False, NEVER, "")

#: A configuration, its rules, and who can log in.
Judging = tuple[Config, Ruleset, Offers]


class NoLine(ValueError):
    """
    A line that is none of a journal.

    @ivar octets: what it is.
    """

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets)
        self.octets = octets


#: What both say of a decision: who asked for what, and how it would change; empty where
#: it would not.
Judged = str


def _judged(user: str, command: str, target: str, was: str, becomes: str) -> Judged:
    """
    Return how a decision would change, for people.

    @param was: what the one configuration says of it.
    @param becomes: what the other one says.
    """
    if was == becomes or was.split()[0] == becomes.split()[0]:
        return ""
    return f"{user} {command} {target}: {was} → {becomes}"


def _shaped(octets: bytes) -> dict[str, Any]:
    line = shaped(octets)
    if line is None:
        raise NoLine(octets)
    return line


def _address(text: str) -> Address:
    """
    Return an address of a journal.

    @raise ValueError: it is none.
    """
    try:
        address = Address(inet_pton(AF_INET, text))
    except OSError:
        return Address.parse(text)
    return address if address.text == text else Address.parse(text)


def _bansAlike(old: Config, new: Config) -> bool:
    """Tell whether the same is banned before the rules."""
    return (old.never, old.networks, old.listen) == (
        new.never,
        new.networks,
        new.listen,
    )


def _text(verdict: Verdict) -> str:
    return f'{"allow" if verdict.allowed else "deny"} by rule "{verdict.rule}"'


@final
class _Judge:
    """One configuration, and what is known of those who ask it."""

    def __init__(self, config: Config, ruleset: Ruleset, offers: Offers) -> None:
        self._config, self._offers = config, offers
        self.ruleset = ruleset
        # Which addresses are banned, where that depends on nothing else.
        lone = not (ruleset.placed or ruleset.never.places)
        lone = lone and not any(each.domain.name for each in config.listen)
        self.banned: dict[bytes, bool] | None = {} if lone else None

    def asker(self, line: Mapping[str, Any]) -> Asking | str:
        """
        Return who asks, or what is said to everybody who cannot log in like that.

        @raise ValueError: that is unclear.
        """
        facts = factsOf(line, self._config)
        if facts is None:
            raise ValueError("no facts")
        refusal = self._offers.refusal(facts)
        if refusal is not None:
            return _text(refusal)
        return self._offers.known(facts).question().asker

    def quickly(
        self,
        asker: Asking | str,
        command: str,
        name: str | None,
        port: int,
        addresses: Sequence[Address],
        at: float,
    ) -> str:
        """
        Return what it says of a request that leaves nothing open.

        @param asker: as of L{asker}.
        """
        if isinstance(asker, str):
            return asker
        question = Supposed(asker, command, name, port, at)
        first: Verdict | None = None
        for address in addresses:
            verdict = self._verdict(question, address)
            if verdict.allowed:
                return _text(verdict)
            first = first or verdict
        assert first is not None
        return _text(first)

    def _verdict(self, question: Supposed, address: Address) -> Verdict:
        known = self.banned
        if known is None:
            return self.ruleset.judge(question, address)
        banned = known.get(address.packed)
        if banned is None:
            hit = self.ruleset.never.hit(
                address, question.port, question.asker.listener
            )
            if len(known) >= _ADDRESSES:
                known.clear()
            banned = known[address.packed] = hit is not None
        return _BANNED if banned else self.ruleset.unbanned(question, address)

    def slowly(
        self, line: Mapping[str, Any], carried: Mapping[str, Any] | None
    ) -> str | None:
        """
        Return what it says of a line.

        @param carried: a later line that tells what the session carried.
        @return: L{None} where the policy was not asked.
        """
        facts = factsOf(line, self._config, carried)
        if facts is None:
            return None
        try:
            found = consider(self.ruleset, facts, self._offers, everyRule=False)
        except Missing as e:
            return f"depends on {e.fact}"
        return _text(found.verdict)


@final
class Judges:
    """
    Two configurations that judge lines of a journal.
    """

    def __init__(self, old: Judging, new: Judging) -> None:
        self._both = _Judge(*old), _Judge(*new)
        if _bansAlike(old[0], new[0]) and None not in [e.banned for e in self._both]:
            self._both[1].banned = self._both[0].banned
        self._offers = old[2], new[2]
        rulesets = old[1], new[1]
        #: Whether it matters what sessions have carried.
        self.inspects = any(each.inspects for each in rulesets)
        self._sources = any(each.tellsSources for each in rulesets)
        self._timed = [each for each in rulesets if each.timed]
        # Nothing is left open by a line then, as far as rules ask.
        self._plain = not any(each.inspects or each.there for each in rulesets)
        self._entries: dict[tuple[bytes, bytes], Hashable] = {}
        self._askers: dict[Hashable, tuple[Asking | str, ...]] = {}
        self._known: dict[Hashable, Judged | None] = {}

    def of(
        self,
        octets: bytes,
        carriedBy: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> Judged | None:
        """
        Return what both say of a line.

        @param carriedBy: later lines that tell what sessions have carried.
        @return: L{None} where it is no decision, or the policy was not asked.
        @raise NoLine: it is none of a journal.
        """
        match = _DECISION.fullmatch(octets)
        if match is None:
            line = _shaped(octets)
            if line["event"] not in ENDS:
                return None
            return self._slowly(line, (carriedBy or {}).get(line["session"]))
        time, event, session, listener, client, *asked = match.groups()
        if carriedBy and (carried := carriedBy.get(int(session))) is not None:
            return self._slowly(_shaped(octets), carried)
        at = 0.0
        periods: tuple[int, ...] = ()
        if self._timed:
            try:
                at = datetime.fromisoformat(time.decode("ascii")).timestamp()
            except ValueError:
                return None
            periods = tuple(each.period(at) for each in self._timed)
        source = client if self._sources else self._entry(listener, client)
        key = (event, listener, source, *asked, periods)
        try:
            return self._known[key]
        except KeyError:
            pass
        found = self._quickly(octets, at, event, (listener, source), asked)
        if found is None:
            found = self._slowly(_shaped(octets), None)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[key] = found
        return found

    def _quickly(
        self,
        octets: bytes,
        at: float,
        event: bytes,
        origin: tuple[bytes, Hashable],
        asked: Sequence[bytes],
    ) -> Judged | None:
        """
        Judge a decision by the octets of its members.

        @param octets: the line.
        @param origin: the listener, and what tells the client from others there.
        @param asked: what is behind them, as L{_DECISION} finds it.
        @return: L{None} where more of it has to be read.
        """
        user, method, command, what, named, port, listed, rest = asked
        number = int(port)
        if (
            not (self._plain and listed and number)
            or (command, event) not in _REACHING
            or b'"struck"' in rest
        ):
            return None
        # Who has been read once is like that in each line with the same octets.
        who = (*origin, user, method, rest)
        askers = self._askers.get(who)
        try:
            addresses = [_address(e) for e in listed[1:-1].decode().split('","')]
            if askers is None:
                line = _shaped(octets)
                askers = tuple(each.asker(line) for each in self._both)
                if len(self._askers) >= _KNOWN:
                    self._askers.clear()
                self._askers[who] = askers
        except ValueError:
            return None
        text = command.decode()
        name = None if named == b"null" else named[1:-1].decode()
        was, becomes = (
            each.quickly(asker, text, name, number, addresses, at)
            for each, asker in zip(self._both, askers, strict=True)
        )
        if was == becomes:
            return ""
        target = f"{name or what.decode()}:{number}"
        return _judged(user.decode(), text, target, was, becomes)

    def _slowly(
        self, line: Mapping[str, Any], carried: Mapping[str, Any] | None
    ) -> Judged | None:
        was, becomes = (each.slowly(line, carried) for each in self._both)
        if was is None or becomes is None:
            return None
        target = f"{line['name'] or line['asked']}:{line['port']}"
        return _judged(line["user"], line["command"], target, was, becomes)

    def _entry(self, listener: bytes, client: bytes) -> Hashable:
        """Return what tells one source from others for those who ask it to log in."""
        found = self._entries.get((listener, client))
        if found is None:
            if len(self._entries) >= _KNOWN:
                self._entries.clear()
            try:
                source = Address.parse(client.decode().strip("[]"))
            except ValueError:
                return client
            name = listener.decode()
            entries = [each.entry(name, source) for each in self._offers]
            found = self._entries[listener, client] = (*entries, source.isLoopback)
        return found
