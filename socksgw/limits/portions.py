"""
What one member of a cluster has of the octets of quotas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from socksgw.limits.board import nameOf
from socksgw.limits.counters import Key, Row
from socksgw.limits.membership import Membership

__all__ = ["Portion", "Portions"]

#: Octets that are taken of a window at once, at least and at most.
_LEAST: Final = 1 << 18
_MOST: Final = 1 << 26
#: Octets that somebody who waits needs, at most.
_NEED: Final = 1 << 16
#: Seconds for which there was nothing of a quota before it counts as used up: what
#: others have and do not need comes back within that.
_PATIENCE: Final = 0.4
#: More than Redis can count.
_ALL: Final = 1 << 52
#: A window of which nothing is known.
_UNKNOWN: Final = (-1, float("inf"))


@final
class Portion:
    """
    Octets of a window that this member has taken, and moved.

    @ivar number: of the window; -1: it is not known.
    @ivar ends: when the window is over, by the clock of leases.
    @ivar taken: how many the member has taken of it.
    @ivar moved: how many it has moved, or taken in an earlier life.
    @ivar total: how many all have taken, as of the last answer.
    @ivar exact: whether what Redis has of this member comes from this process.
    @ivar most: the quota, as of the last time that it was asked for.
    @ivar short: since when there is nothing more to be had; L{None}: there was.
    @ivar told: whether it is told that it is used up.
    @ivar needed: whether somebody waits for octets.
    @ivar shed: whether somebody else needs what is left here.
    @ivar turn: when it was used last, in looks.
    @ivar batch: octets that are taken at once.
    """

    __slots__ = (
        "_last", "batch", "ends", "exact", "most", "moved", "name", "needed",
        "number", "shed", "short", "taken", "told", "total", "turn",
    )  # fmt: skip

    def __init__(self, key: Key, seconds: float) -> None:
        self.name = nameOf(key, seconds).hex()
        self.most = self.turn = 0
        self.batch = _LEAST
        self.needed = self.shed = False
        self.begin(-1, float("inf"))

    def begin(self, number: int, ends: float) -> None:
        """Begin a window, of which nothing is taken yet."""
        self.number, self.ends = number, ends
        self.taken = self.moved = self.total = self._last = 0
        self.exact = self.told = False
        self.short: float | None = None

    @property
    def left(self) -> int:
        """How many octets were taken, and may move."""
        left = self.taken - self.moved
        # A quota that has become smaller leaves less of what was taken.
        return min(left, self.most - (self.total - left))

    def wanted(self) -> int:
        """Return how many octets more are to be taken now."""
        since, self._last = self.moved - self._last, self.moved
        self.batch = max(_LEAST, min(_MOST, max(2 * since, self.batch // 2)))
        return max(0, self.batch - max(0, self.taken - self.moved))


@final
class Portions:
    """
    The portions of all windows.

    @ivar byKey: the portions, and C{byName}: the same.
    @ivar changes: a number that grows whenever octets are counted.
    @ivar ended: whether a quota has been used up.
    """

    def __init__(self, membership: Membership) -> None:
        """
        Begin without one.
        """
        self._membership = membership
        self.byKey: dict[tuple[Key, float], Portion] = {}
        self.byName: dict[str, Portion] = {}
        self._drawn: dict[Portion, None] = {}
        self._asked: list[Portion] = []
        self.changes = 0
        self.ended = False

    def room(self, key: Key, seconds: float, most: int, wanted: int = 1) -> int:
        """
        As L{Counters.room}; 0 also where it is not known yet (L{over}).
        """
        portion, alone = self._portion(key, seconds)
        portion.most = most = min(most, _ALL)
        portion.turn = self._membership.turn
        if alone:
            share = max(portion.taken, self._membership.members.share(most))
            return max(0, share - portion.moved)
        left = portion.left
        if left < portion.batch // 2 and not portion.told:
            self._drawn[portion] = None
            if left < min(wanted, _NEED):
                portion.needed = True
                self._membership.hurry()
        return max(0, left)

    def over(self, key: Key, seconds: float, most: int) -> bool:
        """As L{Counters.over}."""
        portion, alone = self._portion(key, seconds)
        if alone:
            return self.room(key, seconds, most) <= 0
        portion.most = min(most, _ALL)
        if portion.left > 0 or portion.short is None:
            return False
        return self._membership.clock() - portion.short >= _PATIENCE

    def left(self, key: Key, seconds: float) -> int:
        """Return how many octets of the present window were taken, and not moved."""
        portion, _ = self._portion(key, seconds)
        return max(0, portion.taken - portion.moved)

    def pending(self, key: Key, seconds: float) -> bool:
        """As L{Counters.pending}."""
        portion, alone = self._portion(key, seconds)
        return not alone and portion.short is None

    def spend(self, key: Key, seconds: float, octets: int) -> None:
        """As L{Counters.spend}."""
        portion, _ = self._portion(key, seconds)
        portion.moved += octets
        portion.turn = self._membership.turn
        self.changes += 1
        if portion.taken - portion.moved < portion.batch // 2:
            self._drawn[portion] = None

    def _made(self, key: Key, seconds: float) -> Portion:
        portion = self.byKey.get((key, seconds))
        if portion is None:
            portion = self.byKey[key, seconds] = Portion(key, seconds)
            portion.turn = self._membership.turn
            self.byName[portion.name] = portion
        return portion

    def _portion(self, key: Key, seconds: float) -> tuple[Portion, bool]:
        """Return what there is of the present window, and whether we are alone."""
        now = self._membership.clock()
        alone = now >= self._membership.deadline
        portion = self.byKey.get((key, seconds)) or self._made(key, seconds)
        if alone and portion.number < 0:
            portion.begin(*self._membership.present(now, seconds))
        elif now >= portion.ends:
            portion.begin(
                *(self._membership.present(now, seconds) if alone else _UNKNOWN)
            )
        return portion, alone

    # Exchanges.

    def ask(self, windows: Sequence[tuple[Key, float, int]]) -> bool:
        """
        Have what is not known asked for.

        @return: whether something is not.
        """
        unknown = False
        for key, seconds, most in windows:
            portion, _ = self._portion(key, seconds)
            portion.most = min(most, _ALL)
            if portion.left <= 0 and not self.over(key, seconds, most):
                portion.needed = unknown = True
                self._drawn[portion] = None
        return unknown

    def request(self, joins: bool) -> list[list[Any]]:
        """
        Return what Redis is to be told and asked.

        @param joins: whether it does not know of this process. What was taken of a
            window stays taken, whoever lives.
        """
        membership, found, asked = self._membership, [], []
        now = membership.clock()
        drawn, self._drawn = self._drawn, {}
        for (_, seconds), portion in self.byKey.items():
            if not joins and portion not in drawn:
                continue
            if now >= portion.ends:
                portion.begin(*_UNKNOWN)
            portion.taken = max(portion.taken, portion.moved)
            want = portion.wanted()
            need = min(want, _NEED) if portion.needed else 0
            if portion.told or portion.shed or membership.isIdle(portion.turn):
                want = need
            found.append(
                [
                    portion.name, seconds, portion.most, want, need, portion.taken,
                    portion.number, portion.exact, membership.members.share(portion.most),
                ]
            )  # fmt: skip
            asked.append(portion)
            portion.needed = portion.shed = False
        self._asked = asked
        return found

    def missed(self) -> None:
        """Take note that there is no answer."""
        self._drawn.update(dict.fromkeys(self._asked))

    def answered(self, said: Sequence[Any], sent: float, now: float) -> set[str]:
        """
        Use an answer to L{request}.

        @param sent: when that was sent.
        @return: the hashes of what there is more of.
        """
        fresh = set()
        for portion, each in zip(self._asked, said, strict=True):
            before = portion.taken
            self._answer(portion, each, sent, now)
            if portion.taken > before:
                fresh.add(portion.name)
        return fresh

    def _answer(
        self, portion: Portion, said: Sequence[Any], sent: float, now: float
    ) -> None:
        number, had, taken, total = (int(each) for each in said[:4])
        if portion.number != number:
            owed = portion.moved if portion.number < 0 else 0
            portion.begin(number, 0.0)
            # What an earlier process had is used up; what moved meanwhile is owed.
            portion.moved = had + owed
        elif not portion.exact:
            portion.moved = max(portion.moved, had + portion.moved - portion.taken)
        portion.exact = True
        portion.taken, portion.total = taken, total
        portion.ends = sent + max(0, said[4]) / 1000
        if portion.left > 0 or total < portion.most or said[5]:
            # What was given back may be had again.
            portion.short = None
        elif portion.short is None:
            portion.short = now
        elif not portion.told and now - portion.short >= _PATIENCE:
            portion.told = self.ended = True

    def shed(self, name: str) -> bool:
        """
        Give back what is left, since somebody else needs it.

        @return: whether there is something, so that Redis is to be told.
        """
        portion = self.byName.get(name)
        if portion is None or portion.left <= 0:
            return False
        portion.taken = portion.moved
        portion.shed = True
        self._drawn[portion] = None
        return True

    # Keeping.

    def look(self) -> None:
        """Give back octets that were not needed of late."""
        for portion in self.byKey.values():
            if portion.taken > portion.moved and self._membership.isIdle(portion.turn):
                portion.taken = portion.moved
                self._drawn[portion] = None
            elif portion.short is not None or portion.told:
                # What others have given back may be had.
                portion.told = False
                self._drawn[portion] = None

    def sweep(self) -> None:
        """Forget windows that are over."""
        now = self._membership.clock()
        for at, portion in list(self.byKey.items()):
            over = now >= portion.ends or (portion.number < 0 and not portion.moved)
            if over and self._membership.isIdle(portion.turn):
                del self.byKey[at]
                del self.byName[portion.name]
                self._drawn.pop(portion, None)

    def rows(self) -> list[Row]:
        """Return what this member has moved."""
        now = self._membership.clock()
        return [
            (key[1], key[2], key[3], seconds, portion.number, portion.moved)
            for (key, seconds), portion in self.byKey.items()
            if portion.number >= 0 and portion.moved and now < portion.ends
        ]

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on with what was kept."""
        for per, rule, who, seconds, number, octets in rows:
            portion = self._made(("octets", per, rule, who), seconds)
            if portion.number < 0:
                ends = (number + 1) * seconds - self._membership.offset
                moved = portion.moved
                portion.begin(number, ends)
                portion.moved = portion.taken = octets + moved
            elif portion.number == number:
                portion.moved += octets
            self._drawn[portion] = None
