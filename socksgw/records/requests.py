"""
Requests: each decision joined with the end of what it has allowed.

Parts of the journal can be read by several processes, so an end may stand in another
part than its decision: what is left of one part is joined with the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from attrs import define, field

from socksgw.audit.shapes import shaped
from socksgw.records.criteria import hostOf

__all__ = ["CUT", "Ended", "Joining", "Request", "allows", "leadsTo"]

#: Reasons of ends by which a request that was allowed is denied after all: for what the
#: session carried, or for a limit of the rule that this led to.
CUT: Final = frozenset({"inspected", "mismatch", "limit"})

_EVENT: Final = re.compile(rb'"event":"([a-z-]+)"(?:,"session":(\d{1,18}),)?')
_ENDED: Final = re.compile(
    rb'"sent":(\d{1,18}),(?:"sent_datagrams":\d+,)?'
    rb'"received":(\d{1,18}),(?:"received_datagrams":\d+,)?"seconds":(\d{1,12}(?:\.\d{1,12})?),'
    rb'(?:"reason":"([a-z-]{1,40})")?'
)
_PLACE: Final = re.compile(rb'"address":"([ !#-~]*)"')
#: Members of an end that say more of the request than its decision does.
_MORE: Final = re.compile(rb'"(?:application|server_name|path|rule)":')
#: Events that have a session's number first.
_OF_SESSIONS: Final = (b"decision", b"flow", b"end", b"flow-end")
_LATE: Final = ("application", "server_name", "path", "rule")


class Ended(NamedTuple):
    """
    The end of what was allowed.

    @ivar sent: octets to the destination.
    @ivar received: octets from it.
    @ivar seconds: how long it took.
    @ivar place: a flow's address and port; empty for a session.
    @ivar more: what else the end says of the request.
    @ivar reason: why, as a word.
    """

    sent: int
    received: int
    seconds: float
    place: str
    more: dict[str, str]
    reason: str = ""


class Request(NamedTuple):
    """
    A decision, and the end of what it has allowed.

    @ivar line: the decision's members.
    @ivar ended: L{None} where it was denied, or has not ended.
    """

    line: dict[str, Any]
    ended: Ended | None


def allows(line: Mapping[str, Any], ended: Ended | None) -> bool:
    """Tell whether a request was allowed, also when it was known what it carries."""
    cut = ended is not None and ended.reason in CUT
    return line.get("verdict") == "allow" and not cut


@define
class Joining:
    """
    Joins the lines of one part of a journal.

    @ivar keep: tells whether a decision is of interest; L{None} where each is.
    @ivar needles: what such a decision has one of, of each kind.
    @ivar passed: sessions that were allowed and are of no interest.
    @ivar sessions: decisions whose ends have not come yet, by session.
    @ivar flows: flows whose ends have not come yet, by session.
    @ivar orphans: ends of sessions and flows before the first start, whose decisions
        may be in the part before: each with its session.
    @ivar started: whether a gateway has started in this part.
    @ivar lost: decisions without an end, since the gateway was killed.
    @ivar odd: how many lines were passed over that are not as the gateway writes them.
    """

    keep: Callable[[dict[str, Any]], bool] | None
    needles: Sequence[Sequence[bytes]] = ()
    passed: set[int] = field(factory=set)
    sessions: dict[int, dict[str, Any]] = field(factory=dict)
    flows: dict[int, list[dict[str, Any]]] = field(factory=dict)
    orphans: list[tuple[int, Ended]] = field(factory=list)
    started: bool = False
    lost: list[dict[str, Any]] = field(factory=list)
    odd: int = 0

    def read(
        self, octets: bytes, others: Callable[[bytes, bytes], None]
    ) -> Iterator[Request]:
        """
        Yield the requests that are denied or end in some lines.

        @param octets: whole lines.
        @param others: is given the event and the line of each other event.
        """
        for line in octets.splitlines():
            match = _EVENT.search(line, 40)
            if match is None or (match[2] is None and match[1] in _OF_SESSIONS):
                self.odd += 1
                continue
            event = match[1]
            if event == b"end" or event == b"flow-end":
                request = self._ends(int(match[2]), line, event == b"flow-end")
                if request is not None:
                    yield request
            elif event == b"decision" or event == b"flow":
                fields = self._kept(line, event.decode("ascii"), int(match[2]))
                if fields is None:
                    if event == b"decision" and not self.started:
                        self.passed.add(int(match[2]))
                    continue
                if fields["verdict"] != "allow":
                    yield Request(fields, None)
                elif event == b"flow":
                    self.flows.setdefault(fields["session"], []).append(fields)
                else:
                    self.sessions[fields["session"]] = fields
            else:
                if event == b"start":
                    self._starts()
                others(event, line)

    def _kept(self, octets: bytes, event: str, session: int) -> dict[str, Any] | None:
        """Return a decision; L{None} where it is of no interest."""
        for kind in self.needles:
            if not any(each in octets for each in kind):
                return None
        fields = shaped(octets)
        # What stands there twice has two meanings.
        if fields is None or fields["event"] != event or fields["session"] != session:
            self.odd += 1
            return None
        if self.keep is not None and not self.keep(fields):
            return None
        return fields

    def _starts(self) -> None:
        """Give up what has not ended: sessions are numbered from 1 on again."""
        self.started = True
        self.lost += self.left()
        self.sessions.clear()
        self.flows.clear()
        self.passed.clear()

    def left(self) -> list[dict[str, Any]]:
        """Return the decisions whose ends have not come yet."""
        flows = [each for those in self.flows.values() for each in those]
        return [*self.sessions.values(), *flows]

    def _ends(self, session: int, line: bytes, flow: bool) -> Request | None:
        known = session in (self.flows if flow else self.sessions)
        if not known and (self.started or session in self.passed):
            if not flow:
                self.passed.discard(session)
            return None
        ended = _ended(line, flow)
        if ended is None:
            self.odd += 1
            return None
        if known and (request := self._met(session, ended)):
            return request
        if not self.started:
            self.orphans.append((session, ended))
        return None

    def _met(self, session: int, ended: Ended) -> Request | None:
        """Return the request that an end belongs to."""
        if not ended.place:
            found = self.sessions.pop(session, None)
            return None if found is None else Request(found, ended)
        for i, flow in enumerate(self.flows.get(session, ())):
            if leadsTo(flow, ended.place):
                del self.flows[session][i]
                return Request(flow, ended)
        return None

    def follow(self, later: Joining) -> Iterator[Request]:
        """
        Take in what is left of the next part, and yield what ends in it.
        """
        for session, ended in later.orphans:
            request = self._met(session, ended)
            if request is not None:
                yield request
        if later.started:
            self._starts()
        self.odd += later.odd
        self.lost += later.lost
        self.sessions.update(later.sessions)
        for session, flows in later.flows.items():
            self.flows.setdefault(session, []).extend(flows)


def leadsTo(flow: dict[str, Any], place: str) -> bool:
    """Tell whether a flow goes to a place: an address, or a name, and a port."""
    host = hostOf(place)
    port = place.rpartition(":")[2]
    known = host in flow["addresses"] or host == flow["name"]
    return known and port == str(flow["port"])


def _ended(line: bytes, flow: bool) -> Ended | None:
    match = _ENDED.search(line)
    if match is None:
        return None
    place = ""
    if flow and (at := _PLACE.search(line)):
        place = at[1].decode("ascii")
    more: dict[str, str] = {}
    if _MORE.search(line, match.end()):
        fields = shaped(line) or {}
        found = [(each, fields.get(each)) for each in _LATE]
        more = {each: said for each, said in found if said and type(said) is str}
    reason = (match[4] or b"").decode("ascii")
    return Ended(int(match[1]), int(match[2]), float(match[3]), place, more, reason)
