"""
CONNECT and BIND of clients that say how the stacks below are to be.

What an operator does not allow stays as it is. The client is told what each connection
has, by the kernel's word. Through upstreams nobody here knows it, and nothing is told.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Final, final

from socksgw.route.ways import Ways
from socksgw.session.case import Case
from socksgw.session.command import Command, Routed
from socksgw.session.streams import CONNECT, Bind, Connect
from socksgw.system.stack import MULTIPATH, found, wear
from socksgw.wire.events import Requested
from socksgw.wire.stacks import (
    BACKLOG,
    HAPPY_EYEBALLS,
    NO,
    NO_FRAGMENTATION,
    TOS,
    TTL,
    YES,
    Leg,
    Stack,
    StackCode,
)
from socksgw.wire.stacks import MULTIPATH as MULTIPATH_CODE

__all__ = ["stacked"]

_EYEBALLS: Final = "happy-eyeballs"
#: Of each connection: the names of C{listen.stack}, and whether the value is a word of
#: availability.
_OF_EACH: Final[Mapping[StackCode, tuple[str, bool]]] = {
    TOS: ("tos", False),
    TTL: ("ttl", False),
    NO_FRAGMENTATION: ("no-fragmentation", True),
}


def stacked(
    command: Command, asked: Sequence[Stack], allowed: Collection[str]
) -> Command:
    """
    Return a command as a client wants it.

    @param asked: how the stacks are to be.
    @param allowed: the names of what may be otherwise.
    """
    if command is CONNECT:
        return _Connect(asked, allowed)
    return _Bind() if isinstance(command, Bind) else command


def _leg(asked: Sequence[Stack], leg: Leg) -> dict[StackCode, int]:
    return {each.which: each.value for each in asked if each.leg == leg}


def _said(leg: Leg, which: StackCode, value: int | None, word: bool) -> list[Stack]:
    """Return how a stack is, as the client is told it; nothing where it is not known."""
    if value is None:
        return []
    if word:
        value = YES if value else NO
    return [Stack(leg, which, value)]


@final
class _Connect(Connect):
    """CONNECT, of one request."""

    def __init__(self, asked: Sequence[Stack], allowed: Collection[str]) -> None:
        self._near = _leg(asked, Leg.CLIENT)
        self._far = _leg(asked, Leg.REMOTE)
        self._allowed = allowed
        self._raced: bool | None = None
        self._inTurn = False
        self._multipath = (
            MULTIPATH in allowed and self._far.get(MULTIPATH_CODE, NO) == YES
        )

    async def route(self, case: Case, request: Requested) -> Routed:
        """Dial, tell how the stacks are, and relay what both say."""
        self._chooses(case)
        outlet = await self.dial(case)
        login = case.client.conversation.login
        assert login is not None
        told: list[Stack] = []
        if not outlet.path and outlet.plain is not None:
            told += self._of(Leg.REMOTE, outlet.plain, self._far)
            if MULTIPATH_CODE in self._far:
                multipath = found(outlet.plain, MULTIPATH)
                told += _said(Leg.REMOTE, MULTIPATH_CODE, multipath, True)
        if not outlet.path and HAPPY_EYEBALLS in self._far and self._raced is not None:
            told += _said(Leg.REMOTE, HAPPY_EYEBALLS, self._raced, True)
        near = case.client.connection.plain
        if near is not None:
            self._dress(near, self._near)
            told += self._of(Leg.CLIENT, near, self._near)
        login.stacked(told)
        return Routed(outlet.bound, self.relay(case, outlet))

    def _chooses(self, case: Case) -> None:
        """Take note of whether the addresses of a name are tried at once."""
        if case.record.name is None or case.record.judged:
            # There is nothing to choose from, or an upstream chooses.
            return
        several = len(case.record.addresses) > 1
        unwanted = self._far.get(HAPPY_EYEBALLS, YES) == NO
        self._inTurn = several and unwanted and _EYEBALLS in self._allowed
        self._raced = several and not self._inTurn

    def ways(self, case: Case, ways: Ways) -> Ways:
        """As L{Dialling.ways}: their sockets are as the client wants them."""
        return ways.dressed(
            lambda opened: self._dress(opened, self._far),
            self._multipath,
            self._inTurn,
        )

    def _dress(
        self, connection: socket.socket, wanted: Mapping[StackCode, int]
    ) -> None:
        for which, (name, word) in _OF_EACH.items():
            if which in wanted and name in self._allowed:
                value = wanted[which]
                wear(connection, name, value == YES if word else value)

    @staticmethod
    def _of(
        leg: Leg, connection: socket.socket, wanted: Mapping[StackCode, int]
    ) -> list[Stack]:
        return [
            said
            for which, (name, word) in _OF_EACH.items()
            if which in wanted
            for said in _said(leg, which, found(connection, name), word)
        ]


@final
class _Bind(Bind):
    """BIND, of one request: there is one peer, whatever backlog is wanted."""

    async def route(self, case: Case, request: Requested) -> Routed:
        """As L{Bind.route}; the client is told that there is no backlog."""
        login = case.client.conversation.login
        assert login is not None
        if BACKLOG in _leg(login.stack, Leg.REMOTE):
            login.stacked([Stack(Leg.REMOTE, BACKLOG, 0)])
        return await Bind.route(self, case, request)
