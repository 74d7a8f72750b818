"""
What one member of a cluster has of limits on what lives, and on what happens.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final, final

from socksgw.limits.board import nameOf
from socksgw.limits.counters import Key
from socksgw.limits.membership import Membership

__all__ = ["FULL", "Lease", "Leases"]

#: The most that are taken ahead of what is needed.
_AHEAD: Final = 16
#: Seconds for which it is believed that a limit is reached.
FULL: Final = 0.2


@final
class Lease:
    """
    How many sessions, or events, this member may count of one key.

    @ivar name: the hash of the key, in hexadecimal.
    @ivar cap: how many it may have.
    @ivar used: how many live here.
    @ivar times: when its events of late were; L{None} of what lives.
    @ivar most: the limit, as of the last time that it was asked for.
    @ivar others: how many the others may have, as of the last answer.
    @ivar full: when it was last answered that there are no more.
    @ivar needed: whether somebody waits for one.
    @ivar shed: whether somebody else needs what is free here.
    @ivar turn: when it was used last, in looks.
    """

    __slots__ = (
        "cap", "full", "most", "name", "needed", "others", "shed", "times", "turn",
        "used",
    )  # fmt: skip

    def __init__(self, key: Key, events: bool) -> None:
        self.name = nameOf(key).hex()
        self.cap = self.used = self.others = self.most = 0
        self.times: deque[float] | None = deque() if events else None
        self.full = float("-inf")
        self.needed = self.shed = False
        self.turn = 0

    def forget(self, now: float) -> None:
        """Forget events that are older than a second."""
        times = self.times
        if times is not None:
            while times and now - times[0] >= 1.0:
                times.popleft()
            self.used = len(times)

    def happen(self, now: float) -> None:
        """Count an event."""
        assert self.times is not None
        self.times.append(now)
        self.used += 1

    def ahead(self, members: int) -> int:
        """Return how many are to be free here, so that nobody has to wait."""
        return min(_AHEAD, self.most // (4 * members))


@final
class Leases:
    """
    All leases of a member.

    @ivar byKey: the leases; C{byName}: the same.
    """

    def __init__(self, membership: Membership) -> None:
        """
        Begin without one.
        """
        self._membership = membership
        self.byKey: dict[Key, Lease] = {}
        self.byName: dict[str, Lease] = {}
        # What Redis is to be told or asked.
        self._touched: dict[Lease, None] = {}
        self._idle: dict[Lease, None] = {}
        self._asked: list[tuple[Lease, int, int]] = []

    def take(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """As L{Counters.take}."""
        leases = self.byKey
        found = []
        alone = self._membership.alone
        for key, most in wanted:
            lease = leases.get(key)
            if lease is None:
                lease = self._lease(key)
            bound = (
                self._membership.members.share(most) if alone else min(lease.cap, most)
            )
            if lease.used >= bound:
                lease.most = most
                self._touched[lease] = None
                return key
            found.append(lease)
            lease.most = most
        for lease in found:
            lease.used += 1
            lease.turn = self._membership.turn
            if 2 * (lease.cap - lease.used) < lease.ahead(self._membership.count):
                self._touched[lease] = None
        return None

    def _lease(self, key: Key) -> Lease:
        lease = self.byKey[key] = Lease(key, key[0] == "new sessions")
        self.byName[lease.name] = lease
        lease.turn = self._membership.turn
        self._idle[lease] = None
        return lease

    def counted(self, key: Key) -> int:
        """As L{Counters.counted}: of others, as of the last answer."""
        lease = self.byKey.get(key)
        if lease is None:
            return 0
        return lease.used if self._membership.alone else lease.used + lease.others

    def add(self, keys: Sequence[Key]) -> None:
        """As L{Counters.add}."""
        for key in keys:
            lease = self.byKey.get(key) or self._lease(key)
            lease.used += 1
            lease.turn = self._membership.turn
            self._touched[lease] = None

    def give(self, keys: Sequence[Key]) -> None:
        """As L{Counters.give}."""
        for key in keys:
            lease = self.byKey[key]
            if not lease.used:
                raise KeyError(key)
            lease.used -= 1
            if not lease.used:
                self._idle[lease] = None

    def happen(self, wanted: Sequence[tuple[Key, int]]) -> Key | None:
        """
        As L{Counters.happen}.

        An event has its place for a second, and so a lease that is given back leaves
        none in the last second that was not in it.
        """
        now = self._membership.clock()
        alone = now >= self._membership.deadline
        found = []
        for key, most in wanted:
            lease = self.byKey.get(key) or self._lease(key)
            lease.forget(now)
            lease.most = most
            bound = (
                self._membership.members.share(most) if alone else min(lease.cap, most)
            )
            if lease.used >= bound:
                self._touched[lease] = None
                return key
            found.append(lease)
        for lease in found:
            lease.happen(now)
            lease.turn = self._membership.turn
            self._idle[lease] = None
            if 2 * (lease.cap - lease.used) < lease.ahead(self._membership.count):
                self._touched[lease] = None
        return None

    # Exchanges.

    def ask(self, wanted: Sequence[tuple[Key, int]], now: float) -> bool:
        """
        Have what is not known asked for.

        @return: whether something is not.
        """
        unknown = False
        for key, most in wanted:
            lease = self.byKey.get(key) or self._lease(key)
            lease.forget(now)
            if lease.used < min(lease.cap, most) or lease.used >= most:
                continue
            if now - lease.full < FULL:
                continue
            lease.most = most
            lease.needed = unknown = True
            self._touched[lease] = None
        return unknown

    def request(self, joins: bool) -> list[list[Any]]:
        """
        Return what Redis is to be told and asked.

        @param joins: whether it does not know of this process. Places that were taken
            ahead are given up then: others may have them by now.
        """
        membership, found, asked = self._membership, [], []
        now = membership.clock()
        if joins:
            self._touched.update(dict.fromkeys(self.byKey.values()))
        touched, self._touched = self._touched, {}
        for lease in touched:
            lease.forget(now)
            # It may have been added to, or the limit be smaller.
            cap = 0 if joins else min(lease.cap, lease.most)
            lease.cap = cap = max(cap, lease.used)
            need = int(lease.needed)
            idle = lease.shed or membership.isIdle(lease.turn)
            ahead = 0 if idle else lease.ahead(membership.count)
            want = max(need, lease.used + ahead - cap)
            share = membership.members.share(lease.most)
            found.append([lease.name, lease.most, want, need, cap, lease.used, share])
            asked.append((lease, cap, want))
            lease.needed = lease.shed = False
        self._asked = asked
        return found

    def missed(self) -> None:
        """Take note that there is no answer."""
        self._touched.update(dict.fromkeys(lease for lease, _, _ in self._asked))

    def answered(self, said: Sequence[Any], now: float) -> set[str]:
        """
        Use an answer to L{request}.

        @return: the hashes of what there is more of.
        """
        fresh = set()
        for (lease, cap, want), found in zip(self._asked, said, strict=True):
            more, lease.others, soon = (int(each) for each in found)
            lease.cap = cap + more
            if more:
                fresh.add(lease.name)
            elif want and not soon:
                lease.full = now
        return fresh

    def shed(self, name: str) -> bool:
        """
        Give back what is free, since somebody else needs it.

        @return: whether there is such a lease, so that Redis is to be told.
        """
        lease = self.byName.get(name)
        if lease is None:
            return False
        lease.forget(self._membership.clock())
        lease.cap = lease.used
        lease.shed = True
        self._touched[lease] = None
        return True

    # Keeping.

    def look(self) -> None:
        """Give back leases that were not needed of late."""
        now = self._membership.clock()
        for lease in list(self._idle):
            lease.forget(now)
            if lease.used:
                if lease.times is None:
                    del self._idle[lease]
            elif self._membership.isIdle(lease.turn) and not lease.needed:
                del self._idle[lease]
                lease.cap = 0
                self._touched[lease] = None

    def sweep(self) -> None:
        """Forget leases of nothing."""
        for key, lease in list(self.byKey.items()):
            unused = (
                not lease.used and not lease.cap and self._membership.isIdle(lease.turn)
            )
            if unused and lease not in self._touched and lease not in self._idle:
                del self.byKey[key]
                del self.byName[lease.name]

    def counts(self) -> Counter[Key]:
        """Return how many live of each key, in this process."""
        return Counter(
            {
                key: lease.used
                for key, lease in self.byKey.items()
                if lease.used and lease.times is None
            }
        )
