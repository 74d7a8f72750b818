"""
The table of live sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, final

from socksgw.session.session import Session
from socksgw.session.stage import Stage
from socksgw.wire.address import Address

__all__ = ["Sessions"]

#: Stages in which a session lives on what the policy said.
_GRANTED: Final = (Stage.ROUTE, Stage.RELAY)


@final
class Sessions:
    """
    The live sessions, by number.

    Iterating goes over a copy, since ending one session may end others.

    @ivar expiring: the sessions of users whose login has an end.
    @ivar begun: how many there have been.
    """

    def __init__(self, first: int = 1, step: int = 1) -> None:
        """
        Begin with none.

        @param first: the number of the first.
        @param step: from each to the next: other processes have those between.
        """
        self._live: dict[int, Session] = {}
        self._number = first - step
        self._step = step
        self.begun = 0
        self.expiring: dict[Session, None] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    @property
    def last(self) -> int:
        """The number of the last session that has begun; less than 1 before any."""
        return self._number

    def beyond(self, begun: int) -> int:
        """Return the number of the last session, if so many more begin."""
        return self._number + begun * self._step

    def get(self, number: int) -> Session | None:
        """Return the live session with a number; L{None} if there is none."""
        return self._live.get(number)

    def has(self, session: Session) -> bool:
        """Return whether a session is not over."""
        return session.record.session in self._live

    def begin(self, make: Callable[..., Session], *of: object) -> Session:
        """
        Add a new session.

        @param make: makes it of C{of} and its number, which is unique in this gateway.
        """
        number = self._number = self._number + self._step
        self.begun += 1
        session = self._live[number] = make(*of, number)
        return session

    def adopt(self, number: int, make: Callable[[int], Session]) -> Session:
        """
        Add a session that another process has begun.

        @param number: the one that it has.
        """
        session = self._live[number] = make(number)
        return session

    def skip(self, number: int) -> None:
        """Give numbers beyond this one: another process gives those up to it."""
        self._number = max(self._number, number)

    def end(self, session: Session) -> None:
        """
        Remove a session that is over.
        """
        del self._live[session.record.session]
        self.expiring.pop(session, None)

    def granted(self, names: Collection[str] | None = None) -> Iterator[Session]:
        """
        Yield the sessions that the policy has allowed.

        @param names: only sessions of these users; by default all.
        """
        for session in self:
            if (
                session.claim is not None
                and session.stage in _GRANTED
                and (names is None or session.asker.user.name in names)
            ):
                yield session

    def users(self) -> set[str]:
        """
        Return the names of the users who have an allowed session.

        Clients without a login have no name, and are left out.
        """
        live = self._live.values()
        users = [s.asker.user for s in live if s.claim is not None]
        return {user.name for user in users if not user.anonymous}

    def stranded(self, isHere: Callable[[Address], bool]) -> Iterator[Session]:
        """
        Yield the sessions whose way to an upstream begins at a lost address.

        Nothing comes to it any more, and nobody else would say so: the kernel sends
        again for a quarter of an hour.

        @param isHere: tells whether an address is this host's.
        """
        for session in self:
            if session.outgoing is not None and not isHere(session.outgoing):
                yield session

    def expired(self, now: float) -> Iterator[Session]:
        """
        Yield the sessions whose login has expired.

        @param now: seconds since the epoch.
        """
        for session in list(self.expiring):
            expires = session.asker.user.expires
            if expires is not None and now >= expires:
                yield session
