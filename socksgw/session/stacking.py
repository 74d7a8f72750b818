"""
CONNECT and BIND of clients that say how the stacks below are to be.

What an operator does not allow stays as it is. The client is told what each connection
has, by the kernel's word, also where the destination was not reached. Through upstreams
nobody here knows it, and nothing is told.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from typing import Final, final

from socksgw.errors import Revoked, SocksError
from socksgw.limits.allowance import Allowance
from socksgw.policy.questions import Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.tally import Tally
from socksgw.route.ways import Outlet, Ways
from socksgw.session.case import Case
from socksgw.session.command import Command, Relay, Routed
from socksgw.session.streams import CONNECT, Bind, Connect
from socksgw.system.sockets import fastOpen
from socksgw.system.stack import Dress, carried, found, wear
from socksgw.wire.events import Requested
from socksgw.wire.stacks import (
    BACKLOG,
    FAST_OPEN,
    HAPPY_EYEBALLS,
    MULTIPATH,
    NO,
    NO_FRAGMENTATION,
    TOS,
    TTL,
    YES,
    Leg,
    Stack,
    StackCode,
)

__all__ = ["stacked"]

#: What each connection has.
_OF_EACH: Final = (TOS, TTL, NO_FRAGMENTATION)


def stacked(
    command: Command, asked: Sequence[Stack], allowed: Collection[str]
) -> Command:
    """
    Return a command as a client wants it.

    @param asked: how the stacks are to be.
    @param allowed: the words of what may be otherwise.
    """
    if command is CONNECT:
        return _Connect(asked, allowed)
    return _Bind(asked, allowed) if isinstance(command, Bind) else command


@final
class _Wanted:
    """
    What a client wants of one side.

    @ivar leg: which.
    """

    def __init__(
        self, leg: Leg, asked: Sequence[Stack], allowed: Collection[str]
    ) -> None:
        self.leg = leg
        self._values = {each.which: each.value for each in asked if each.leg == leg}
        self._allowed = allowed

    def granted(self, which: StackCode) -> int | None:
        """Return the value that is wanted, and allowed; L{None} for none."""
        return self._values.get(which) if which.word in self._allowed else None

    def dress(self, connection: socket.socket) -> None:
        """Have a socket as it is wanted."""
        for which in _OF_EACH:
            value = self.granted(which)
            if value is not None:
                wear(connection, which, value)

    def said(self, which: StackCode, value: int | None) -> list[Stack]:
        """Return what is told of an option; nothing where it is not asked, or known."""
        if value is None or which not in self._values:
            return []
        return [Stack(self.leg, which, value)]

    def worn(self, connection: socket.socket) -> list[Stack]:
        """Return what is told of a socket."""
        return [
            said
            for which in _OF_EACH
            for said in self.said(which, found(connection, which))
        ]


def _near(case: Case, wanted: _Wanted) -> list[Stack]:
    """Have the client's connection as it is wanted, and return what is told of it."""
    connection = case.client.connection.plain
    if connection is None:
        return []
    wanted.dress(connection)
    return wanted.worn(connection)


def _tell(case: Case, told: Sequence[Stack]) -> None:
    login = case.client.conversation.login
    assert login is not None
    login.stacked(told)


def _mayGoFirst(case: Case) -> bool:
    """
    Return whether a destination may get octets before it is connected.

    Nothing looks at them, and nothing goes before them. There is one address, since
    those that lose a race would have them too.
    """
    addresses = case.record.addresses
    if len(addresses) != 1 or case.generation.inspection.always:
        return False
    verdict = case.verdicts[addresses[0]]
    leaving = verdict.obligations.leaving
    return not verdict.pending and (leaving is None or not leaving.header)


@final
class _Early:
    """
    What the SYN to a destination may carry (L{socksgw.system.stack.First}).

    @ivar count: how many octets it has carried.
    """

    def __init__(self, case: Case, most: int) -> None:
        """
        Take a session.

        @param most: octets, as the client wants it; 0 for any number.
        """
        self._case = case
        self._most = most
        self.count = 0

    def octets(self) -> bytes:
        """Return what the client has sent, as far as its limits go."""
        if not _mayGoFirst(self._case):
            # The rules have changed while a socket was waited for.
            return b""
        octets = self._case.client.conversation.ahead()
        most = min(len(octets), self._most or len(octets))
        sending = self._sending
        return octets[: most if sending is None else sending.room(most)]

    def went(self, count: int) -> None:
        """Count what is sent, also of a session that comes no further."""
        self.count = self._case.record.sent = count
        sending = self._sending
        if sending is not None:
            sending.spend(count)

    @property
    def _sending(self) -> Allowance | None:
        claim = self._case.claim
        assert claim is not None
        return claim.sending


@final
class _Connect(Connect):
    """CONNECT, of one request."""

    def __init__(self, asked: Sequence[Stack], allowed: Collection[str]) -> None:
        self._near = _Wanted(Leg.CLIENT, asked, allowed)
        self._far = _Wanted(Leg.REMOTE, asked, allowed)
        self._raced: bool | None = None
        self._inTurn = False
        self._early: _Early | None = None
        # What is told of the last socket that a connect was tried with.
        self._tried: list[Stack] = []

    async def route(self, case: Case, request: Requested) -> Routed:
        """Dial, tell how the stacks are, and relay what both say."""
        self._chooses(case)
        try:
            outlet = await self.dial(case)
        except SocksError:
            # What a reply of "TTL expired" means depends on the TTL.
            _tell(case, [*self._tried, *_near(case, self._near)])
            raise
        far = [] if outlet.path else [*self._of(outlet.plain), *self._eyeballs()]
        _tell(case, [*far, *_near(case, self._near)])
        return Routed(outlet.bound, self.relay(case, outlet))

    def _chooses(self, case: Case) -> None:
        """Take note of whether the addresses of a name are tried at once."""
        if case.record.name is None or case.record.judged:
            # There is nothing to choose from, or an upstream chooses.
            return
        several = len(case.record.addresses) > 1
        self._inTurn = several and self._far.granted(HAPPY_EYEBALLS) == NO
        self._raced = several and not self._inTurn

    def _eyeballs(self) -> list[Stack]:
        if self._raced is None:
            return []
        return self._far.said(HAPPY_EYEBALLS, YES if self._raced else NO)

    def _of(self, connection: socket.socket | None) -> list[Stack]:
        """Return what is told of the connection to the destination."""
        if connection is None:
            return []
        far, count = self._far, self._count
        taken = count if count and carried(connection) else 0
        return [
            *far.worn(connection),
            *far.said(FAST_OPEN, taken),
            *far.said(MULTIPATH, found(connection, MULTIPATH)),
        ]

    def ways(self, case: Case, ways: Ways) -> Ways:
        """As L{Dialling.ways}: their sockets are as the client wants them."""
        far = self._far

        def each(opened: socket.socket) -> None:
            far.dress(opened)
            self._tried = [
                *far.worn(opened),
                *far.said(FAST_OPEN, 0),
                *far.said(MULTIPATH, NO),
                *self._eyeballs(),
            ]

        most = far.granted(FAST_OPEN)
        if most is not None and _mayGoFirst(case):
            self._early = _Early(case, most)
        return ways.dressed(
            Dress(each, far.granted(MULTIPATH) == YES, self._inTurn, self._early)
        )

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """
        As L{Connect.again}.

        @raise Revoked: these rules want octets to be looked at, or a header before
            them, that a SYN has carried already.
        """
        verdict = Connect.again(self, case, ruleset)
        isFirst = case.record.dialled is None and verdict.allowed
        if isFirst and self._count and not _mayGoFirst(case):
            raise Revoked("the rules changed before it began")
        return verdict

    @property
    def _count(self) -> int:
        """How many octets a SYN has carried."""
        return 0 if self._early is None else self._early.count

    def relay(self, case: Case, outlet: Outlet) -> Relay:
        """As L{Connect.relay}; what the SYN has carried is moved already."""
        count = self._count
        moves = Connect.relay(self, case, outlet)
        if not count:
            return moves

        async def rest(early: bytes, tally: Tally) -> None:
            tally.sent = count
            try:
                await moves(early[count:], tally)
            finally:
                tally.sent += count

        return rest


@final
class _Bind(Bind):
    """BIND, of one request: there is one peer, whatever backlog is wanted."""

    def __init__(self, asked: Sequence[Stack], allowed: Collection[str]) -> None:
        self._near = _Wanted(Leg.CLIENT, asked, allowed)
        self._far = _Wanted(Leg.REMOTE, asked, allowed)

    async def route(self, case: Case, request: Requested) -> Routed:
        """As L{Bind.route}; the client is told that there is no backlog."""
        self._told = [*self._far.said(BACKLOG, 0), *_near(case, self._near)]
        _tell(case, self._told)
        return await Bind.route(self, case, request)

    def ways(self, case: Case, ways: Ways) -> Ways:
        """As L{Bind.ways}: the peer's connection has what its listener has."""
        far = self._far

        def each(opened: socket.socket) -> None:
            far.dress(opened)
            if far.granted(FAST_OPEN) is not None:
                fastOpen(opened)
            # The payload size counts for nothing in BIND.
            _tell(case, [*far.worn(opened), *far.said(FAST_OPEN, 0), *self._told])

        return ways.dressed(Dress(each))
