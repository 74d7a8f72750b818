"""
Refusals of clients that never log in: the first ones of each source are lines
of their own, and beyond a rate they are summed, so that nobody fills the
journal from outside.

Each source (an IPv4 address, or an IPv6 /64) has some lines a second, and all
sources together have a budget that refills. What exceeds either is counted, by
source and event, and becomes one line for each source and second; sources that
do not fit are counted together.
"""

from __future__ import annotations

from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, final

from socksgw.wire.address import Address

__all__ = ["Refusals"]

#: Lines of one source in a second, while at least half of the budget is left,
#: and below that.
_EACH: Final = 500
_FEW: Final = 5
#: Lines of all sources: at once, and more in a second.
_BURST: Final = 2_000
_REFILL: Final = 20.0
#: Sums in a second; further sources are summed together.
_SUMS: Final = 20
#: Sources told apart within a second.
_SOURCES: Final = 4_096


@final
class _Sum:
    """The refusals of one source within a second."""

    __slots__ = ("reasons", "source", "taken")

    def __init__(self, source: str) -> None:
        self.source = source
        self.taken = 0
        self.reasons: dict[str, int] = {}

    def add(self, reason: str, count: int = 1) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + count


@final
class Refusals:
    """
    Which refusals have a line of their own.
    """

    def __init__(self) -> None:
        self._sources: dict[bytes, _Sum] = {}
        self._rest = _Sum("")
        self._budget = float(_BURST)
        self._at: float | None = None

    def whole(self, source: Address, reason: str) -> bool:
        """
        Tell whether a refusal has a line of its own; it is counted if not.

        @param reason: the fixed word of the refusal.
        """
        found = self._sources.get(source.sourceKey)
        if found is None:
            if len(self._sources) >= _SOURCES:
                self._rest.add(reason)
                return False
            found = self._sources[source.sourceKey] = _Sum(source.sourceText)
        most = _EACH if self._budget > _BURST / 2 else _FEW
        if found.taken < most and self._budget >= 1:
            found.taken += 1
            self._budget -= 1
            return True
        found.add(reason)
        return False

    def sums(self, now: float) -> Iterator[str]:
        """
        End a second, and return the lines of what was only counted.

        @param now: monotonic seconds.
        """
        before, self._at = self._at, now
        if before is not None:
            more = (now - before) * _REFILL
            self._budget = min(float(_BURST), self._budget + more)
        sums = [found for found in self._sources.values() if found.reasons]
        self._sources.clear()
        rest, self._rest = self._rest, _Sum("")
        for found in sums[_SUMS:]:
            for reason, count in found.reasons.items():
                rest.add(reason, count)
        for found in sums[:_SUMS]:
            yield _line(found.source, found.reasons)
        if rest.reasons:
            yield _line("", rest.reasons)


def _line(source: str, reasons: dict[str, int]) -> str:
    counted = ",".join(f"{quoted(r)}:{n}" for r, n in reasons.items())
    return (
        f'"event":"refusals","source":{quoted(source) if source else "null"},'
        f'"count":{sum(reasons.values())},"reasons":{{{counted}}}'
    )
