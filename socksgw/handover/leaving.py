"""
Live sessions leave a process and go on in another one, a few at a time.

All else is with the other process by then, and both serve meanwhile. What is told is
in the kernel, with all descriptors, before this process forgets the session: no octet
is moved by both, and none by neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from socksgw.gateway.gateway import Gateway
from socksgw.gateway.relief import Predecessor
from socksgw.gateway.sessions import Sessions
from socksgw.limits.counters import Key
from socksgw.session.moving import (
    descriptors,
    dismiss,
    movable,
    rest,
    restored,
    resume,
    told,
)
from socksgw.session.session import Session
from socksgw.system.channel import MOST, Channel, ChannelError, Message

__all__ = ["Leaving", "arrived", "countsIn"]

_log: Final = Logger()

#: Sessions that are told of at once: they stand still for some milliseconds.
_AT_ONCE: Final = 24
#: Octets that they hold.
_HELD: Final = 200_000
#: Descriptors of a session: two sockets, and two pipes.
_EACH: Final = 6


class _From(Protocol):
    """The gateway that sessions leave."""

    @property
    def sessions(self) -> Sessions: ...


@final
class Leaving:
    """
    Has sessions go on elsewhere.

    @ivar moved: how many have left so far.
    """

    def __init__(self, gateway: _From, channel: Channel) -> None:
        """
        Move nothing yet.

        @param channel: leads to the process that they go to.
        """
        self._gateway = gateway
        self._channel = channel
        self._busy = False
        self._idle: list[Deferred[None]] = []
        #: The numbers of those that cannot be told.
        self._stays: set[int] = set()
        self.moved = 0

    async def move(self) -> None:
        """
        Move all sessions that can move by now; call it again for others.

        @raise ChannelError: the other process is gone.
        """
        if self._busy:
            return
        self._busy = True
        try:
            waiting = [
                session
                for session in self._gateway.sessions
                if movable(session) and session.record.session not in self._stays
            ]
            waiting.reverse()
            while waiting:
                await self._some(waiting)
        finally:
            self._busy = False
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def idle(self) -> Deferred[None]:
        """
        Wait until whatever was told is answered.

        Before that the channel is not to be closed: the answer would find it so, and
        what was told behind would be lost.

        @return: fires then; never fails.
        """
        waiting: Deferred[None] = Deferred()
        if self._busy:
            self._idle.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    async def _some(self, waiting: list[Session]) -> None:
        """Move some sessions, which are taken off."""
        batch: list[Session] = []
        facts: list[Message] = []
        fds: list[int] = []
        held = 0
        has = self._gateway.sessions.has
        while waiting and len(batch) < _AT_ONCE and held < _HELD:
            if len(fds) + _EACH > MOST:
                break
            session = waiting.pop()
            if not has(session) or not movable(session):
                continue
            rest(session)
            try:
                each, own = told(session)
            except TypeError as e:
                resume(session)
                self._stays.add(session.record.session)
                _log.warn("a session cannot move: {why}", why=str(e))
                continue
            batch.append(session)
            facts.append(each)
            fds += own
            held += sum(len(side[5]) for side in each["relay"][:2])
        if not batch:
            return
        keys: Counter[Key] = Counter()
        for session in batch:
            if session.claim is not None:
                keys.update(session.claim.keys)
        question = {"what": "sessions", "sessions": facts, "counts": [*keys.items()]}
        try:
            answered = self._channel.ask(question, fds)
        except (ChannelError, OSError):
            for session in batch:
                resume(session)
            raise
        for session in batch:
            dismiss(session)
        self.moved += len(batch)
        # The next ones stand still when these do not any more.
        await answered


def arrived(
    gateway: Gateway, before: Predecessor, message: Message, fds: Sequence[int]
) -> None:
    """
    Have sessions go on here that L{Leaving} has told of.

    @param before: the process that has counted them.
    @param fds: their descriptors, which are theirs from then on.
    @raise ValueError: the facts are not right.
    """
    at = 0
    relief, adopt = gateway.relief, gateway.sessions.adopt
    for facts in message["sessions"]:
        count = descriptors(facts)
        own = fds[at : at + count]
        at += count
        gateway.arrived(restored(gateway, facts, own, adopt, relief.named))
    if at != len(fds):
        raise ValueError("descriptors of no session")
    relief.uncount(before, countsIn(message["counts"]))


def countsIn(told: Iterable[Any]) -> list[tuple[Key, int]]:
    """
    Return what another process counts, from a message.

    @raise ValueError: it is not right.
    """
    found: list[tuple[Key, int]] = []
    for (what, per, rule, who), count in told:
        found.append(((str(what), str(per), str(rule), str(who)), int(count)))
    return found
