"""
Count for limits, with other machines.

Each member of a cluster takes leases of what is limited, from a Redis that all of them
ask (L{socksgw.limits.script}). Sessions are counted in the leases, in this process's
memory; whoever comes when a lease is used up waits for the next answer. So there are
never more than the limit in all leases.

What a member has ends by itself, if it does not ask again in time: by its own clock
some time before Redis gives it to others. It is alone then: it counts no more of anything
than its share, the limit divided by the members, which the others leave to it.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, final

from twisted.internet.defer import Deferred

from socksgw.limits.counters import Key
from socksgw.limits.leases import FULL, Leases
from socksgw.limits.membership import Members, Membership, boottime
from socksgw.limits.portions import Portions

__all__ = ["Answer", "ClusterCounters", "Members"]

#: Failed logins that wait for Redis at most; the oldest goes first.
_FAILURES: Final = 1000


class _Failure(NamedTuple):
    """
    A login that has failed here.

    @ivar number: counts those of this process, from 1 on.
    @ivar when: seconds, by the clock of leases.
    @ivar source: the key of its source, and C{name}: of its name.
    """

    number: int
    when: float
    source: bytes
    name: bytes


class Answer(NamedTuple):
    """
    What an exchange has brought beside leases.

    @ivar fenced: why it has counted nothing: C{lost}, since Redis does not know of us
        (any more), or C{taken}, since another process has our name; empty: it has.
    @ivar absent: the members that Redis does not hear of.
    @ivar failures: logins that have failed elsewhere: seconds ago, source, name.
    @ivar key: what names of logins are hashed with; empty: as before.
    @ivar drops: by which of its policies Redis drops what is counted when its memory is
        full; empty: it does not, or nothing new is known of that.
    """

    fenced: str = ""
    absent: Sequence[str] = ()
    failures: Sequence[tuple[float, bytes, bytes]] = ()
    key: bytes = b""
    drops: str = ""


@final
class ClusterCounters:
    """
    Count as L{Counters<socksgw.limits.counters.Counters>}, with other machines.

    What lives and what happens is counted in L{Leases}, octets in L{Portions}.

    @ivar membership: what the leases depend on.
    @ivar failures: logins that have failed here, not told yet, in their order.
    @ivar key: what the names of logins are hashed with.
    """

    asks = True

    def __init__(
        self,
        members: Members,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Begin without a lease.

        @param clock: seconds that go on while the machine sleeps.
        @param wall: seconds since the epoch, for when Redis cannot be asked.
        """
        self.membership = membership = Membership(members, clock, wall)
        self.failures: deque[_Failure] = deque(maxlen=_FAILURES)
        # Those of the exchange that is under way.
        self._told: list[_Failure] = []
        self._failed = 0
        self.key = os.urandom(16)
        self._leases = leases = Leases(membership)
        self._portions = portions = Portions(membership)
        self.take, self.happen, self.add = leases.take, leases.happen, leases.add
        self.give, self.counted, self.counts = (
            leases.give,
            leases.counted,
            leases.counts,
        )
        self.room, self.over, self.spend = portions.room, portions.over, portions.spend
        self.pending, self.left = portions.pending, portions.left
        self.rows, self.restore = portions.rows, portions.restore
        self._process = os.urandom(8).hex()
        self._steals = True
        self._epoch = self._was = ""
        self._exchanges = 0
        self._last = "0"
        self._waiting: list[Deferred[None]] = []

    @property
    def members(self) -> Members:
        """The cluster."""
        return self.membership.members

    @property
    def alone(self) -> bool:
        """Whether the leases have ended, and the shares count."""
        return self.membership.alone

    @property
    def joined(self) -> bool:
        """Whether Redis knows of this process."""
        return bool(self._epoch)

    @property
    def isBusy(self) -> bool:
        """Whether there are leases, which others may need."""
        return bool(self._leases.byKey or self._portions.byKey)

    @property
    def needs(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    # Asking.

    def ask(
        self,
        wanted: Sequence[tuple[Key, int]],
        windows: Sequence[tuple[Key, float, int]] = (),
    ) -> Deferred[None] | None:
        """As L{Counters.ask}."""
        now = self.membership.clock()
        if now >= self.membership.deadline:
            return None
        unknown = self._leases.ask(wanted, now)
        if not (windows and self._portions.ask(windows)) and not unknown:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self.membership.hurry()
        return waiting

    def answer(self) -> None:
        """Have those who wait look again."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    # Exchanges.

    def failed(self, source: bytes, name: bytes) -> None:
        """Have the others be told of a login that has failed."""
        self._failed += 1
        when = self.membership.clock()
        self.failures.append(_Failure(self._failed, when, source, name))

    def request(self) -> bytes:
        """
        Return what Redis is to be told and asked.

        L{answered} or L{missed} is called before the next one.
        """
        members, joins = self.members, not self._epoch
        told = self._told = list(self.failures)
        self.failures.clear()
        now = self.membership.clock()
        return json.dumps(
            {
                "m": members.name, "x": self._process, "e": self._epoch,
                "n": self._exchanges, "was": self._was, "steal": self._steals,
                "ttl": int(members.ttl * 1000), "fresh": int(FULL * 1000),
                "all": [*members.all], "key": self.key.hex(), "t": self._last,
                "k": self._leases.request(joins), "w": self._portions.request(joins),
                "f": [
                    [number, int((now - when) * 1000), source.hex(), name.hex()]
                    for number, when, source, name in told
                ],
            }
        ).encode()  # fmt: skip

    def leaving(self) -> bytes:
        """Return what tells Redis that this process counts nothing any more."""
        said = {"m": self.members.name, "x": self._process, "leave": True}
        self._epoch = ""
        return json.dumps(said).encode()

    def missed(self) -> None:
        """Take note that an exchange has failed; whether Redis did it is not known."""
        self._leases.missed()
        self._portions.missed()
        self._epoch = ""
        # By their numbers each is counted once.
        self.failures = deque([*self._told, *self.failures], _FAILURES)
        self._told = []

    def answered(self, octets: bytes, sent: float) -> Answer:
        """
        Use what Redis has answered.

        @param sent: when it was asked, by the clock of leases.
        """
        said: dict[str, Any] = json.loads(octets)
        if "fenced" in said:
            self.missed()
            return Answer(fenced=str(said["fenced"]))
        now = self.membership.clock()
        joined = not self._epoch
        self._epoch = said["epoch"]
        self._exchanges = 0 if joined else self._exchanges + 1
        self._was = f"{self._epoch}:{self._exchanges}"
        self._steals = False
        self._last = said["t"]
        self.membership.heard(sent, int(said["now"]) / 1000)
        # Those who wait here come first: else members would pass it on for ever.
        fresh = self._leases.answered(said["k"], now)
        fresh |= self._portions.answered(said["w"], sent, now)
        for name in said["s"]:
            shed = self._leases.shed, self._portions.shed
            if name not in fresh and any(each(name) for each in shed):
                self.membership.hurry()
        key = bytes.fromhex(said.get("key") or "")
        if key:
            self.key = key
        return Answer(
            absent=[*said["absent"]],
            failures=[
                (max(0, ago) / 1000, bytes.fromhex(source), bytes.fromhex(name))
                for ago, source, name in said["f"] or ()
            ],
            key=key,
            drops=str(said.get("drops") or ""),
        )

    # Keeping.

    def look(self) -> bool:
        """As L{Kept.look}: give back what was not needed of late."""
        self.membership.turn += 1
        self._leases.look()
        self._portions.look()
        return self.ended()

    def ended(self) -> bool:
        """Return whether a quota has been used up since this was called last."""
        ended, self._portions.ended = self._portions.ended, False
        return ended

    def sweep(self) -> None:
        """As L{Kept.sweep}."""
        self._leases.sweep()
        self._portions.sweep()

    def release(self) -> None:
        """As L{Kept.release}: what was taken is given back when the member leaves."""

    @property
    def changes(self) -> int:
        """As L{Kept.changes}."""
        return self._portions.changes

    @property
    def keys(self) -> Iterator[Key]:
        """As L{Kept.keys}."""
        yield from (key for key, lease in self._leases.byKey.items() if lease.used)
        yield from (key for key, _ in self._portions.byKey)
