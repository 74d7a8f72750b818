"""
What the metrics take of the record of a session.

It is taken at once, as a tuple, and added up later, many sessions at a time: both
run within the interpreter's own functions, which cost a tenth of as many statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import itemgetter, sub
from typing import Any, Final, NamedTuple

__all__ = ["COMMAND", "Facts", "LISTENER", "WAY", "Columns", "factsOf"]

#: The facts of a record (L{socksgw.audit.record.SessionRecord}), by L{Columns}.
Facts = tuple[Any, ...]


def factsOf(r: Any) -> Facts:
    """
    Return the facts of a record.

    Each attribute is named: to find it by a name in a variable costs four times as much.
    """
    return (
        # The labels of the session, in the metric's order.
        r.listener, r.protocol, r.command, r.method, r.verdict, r.reply,
        # How it was decided, and how it ended.
        r.rule, r.reason, r.path,
        # Octets, and seconds.
        r.sent, r.received, r.metered, r.times, r.reachedAt, r.waited, r.loginTook,
    )  # fmt: skip


#: The labels, with the rule and the reason; two labels.
WAY: Final = itemgetter(slice(0, 8))
LISTENER: Final = itemgetter(0)
COMMAND: Final = itemgetter(2)


class Columns(NamedTuple):
    """
    The facts of several sessions, side by side.

    The fields are those of L{socksgw.audit.record.SessionRecord}.
    """

    listener: tuple[str, ...]
    protocol: tuple[str, ...]
    command: tuple[str, ...]
    method: tuple[str, ...]
    verdict: tuple[str, ...]
    reply: tuple[int, ...]
    rule: tuple[str, ...]
    reason: tuple[str, ...]
    path: tuple[str, ...]
    sent: tuple[int, ...]
    received: tuple[int, ...]
    metered: tuple[tuple[int, int] | None, ...]
    times: tuple[tuple[float, float, float, float] | None, ...]
    reachedAt: tuple[float, ...]
    waited: tuple[float, ...]
    loginTook: tuple[float, ...]

    @classmethod
    def of(cls, rows: Iterable[Facts]) -> Columns:
        """Return the columns of at least one row."""
        return cls(*zip(*rows, strict=True))

    def handshakes(self) -> Iterator[float]:
        """Seconds from the connection to the first request, where there was one."""
        came, requested, _, _ = self._moments()
        return compress(map(sub, requested, came), came)

    def policies(self) -> Iterator[float]:
        """Seconds of the decision, where there was one."""
        _, requested, decided, _ = self._moments()
        return map(sub, map(sub, decided, requested), compress(self.waited, self.times))

    def records(self) -> Iterator[float]:
        """Seconds until the decision was written, where it was waited for."""
        _, _, decided, written = self._moments()
        return compress(map(sub, written, decided), written)

    def connects(self) -> Iterator[float]:
        """Seconds until the destination was reached, where it was."""
        _, _, _, written = self._moments()
        reached = [*compress(self.reachedAt, self.times)]
        return compress(map(sub, reached, written), reached)

    def _moments(self) -> Sequence[Sequence[float]]:
        """Return the times of those that were decided, side by side."""
        return [*zip(*filter(None, self.times), strict=True)] or ((), (), (), ())
