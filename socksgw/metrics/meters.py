"""
The counters and histograms of all that sessions do.

A session that is over adds one tuple. Many are added up together. Counts are kept by
the words of the configuration and by codes, never by what a client sends, and their
number is bounded: what comes beyond is counted under C{other}.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, groupby
from typing import Any, Final, final

from socksgw.metrics.facts import COMMAND, LISTENER, WAY, Columns, Facts, factsOf

__all__ = [
    "LONG",
    "MOST",
    "OTHER",
    "SHORT",
    "Histogram",
    "Histograms",
    "Meters",
    "Way",
]

#: Upper bounds of buckets, in seconds: of what waits for others (clients, name
#: servers, destinations), and of what the gateway does by itself.
LONG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # fmt: skip
SHORT: Final = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0)  # fmt: skip

#: Series that a metric has at most.
MOST: Final = 1000
#: What stands for the labels of all series beyond that.
OTHER: Final = "other"

#: The labels of a session: listener, protocol, command, method, verdict, reply.
Way = tuple[str, str, str, str, str, int]
#: Sessions are kept apart in so many series; the other places are for C{other}: one of
#: each listener and verdict, as far as they last.
_APART: Final = MOST - 200
#: Commands that a client made up are recorded by their numbers.
_NUMBER: Final = "0x"
#: The path of a session that leaves by no upstream, and of one whose rule names some.
_NO_UPSTREAM: Final = ("", "direct")
#: So many sessions are added up at least, unless somebody asks.
_MANY: Final = 1000


@final
class Histogram:
    """
    How many values fell into each bucket, and their sum.

    @ivar bounds: the upper bounds of the buckets, included; what is beyond the last
        is in one bucket more.
    @ivar counts: how many values each bucket has, for itself.
    @ivar sum: of all values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LONG) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observeAll(self, values: Iterable[float]) -> None:
        """Add values."""
        found = sorted(values)
        self.sum += sum(found)
        counts, bounds = self.counts, self.bounds
        if len(found) <= len(bounds):
            for value in found:
                counts[bisect_left(bounds, value)] += 1
            return
        before = 0
        for i, bound in enumerate(bounds):
            upTo = bisect_right(found, bound, before)
            counts[i] += upTo - before
            before = upTo
        counts[-1] += len(found) - before

    def copy(self) -> Histogram:
        """Return what it is now."""
        copy = Histogram(self.bounds)
        copy.counts, copy.sum = self.counts[:], self.sum
        return copy

    def add(self, other: Histogram) -> None:
        """Add all values of another one with the same bounds."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


@final
class Histograms(dict[Any, Histogram]):
    """
    Histograms by label, made as they are needed; those beyond the bound are one.
    """

    def __init__(self, bounds: Sequence[float] = LONG, labels: int = 1) -> None:
        """
        @param labels: how many labels a series has.
        """
        super().__init__()
        self._bounds = bounds
        self._most = MOST // (len(bounds) + 3) - 1
        self._other: Any = OTHER if labels == 1 else (OTHER,) * labels

    def __missing__(self, key: Any) -> Histogram:
        if len(self) >= self._most:
            key = self._other
            if key in self:
                return self[key]
        found = self[key] = Histogram(self._bounds)
        return found


def _merge(into: Histogram, counts: Sequence[int], sum_: float) -> None:
    """
    Add the values of another process's histogram.

    @raise ValueError: it has other buckets.
    """
    into.counts = [a + int(b) for a, b in zip(into.counts, counts, strict=True)]
    into.sum += sum_


#: The attributes of L{Meters} that are counts by label, histograms by label, and
#: single histograms.
_COUNTS: Final = ("sessions", "octets", "denials", "ends")
_SERIES: Final = ("handshakes", "logins", "lookUps", "deciders", "connects")
_SINGLE: Final = ("policies", "records", "lag")


@final
class Meters:
    """
    What sessions have counted since the process began.

    @ivar over: what sessions that are over have left behind, until it is added up.

    @ivar sessions: how many there were, by their labels.
    @ivar octets: how many moved to destinations and to clients, by listener.
    @ivar denials: how many requests were denied, by rule; empty for none.
    @ivar ends: how sessions ended, by the fixed word in the journal.
    @ivar handshakes: seconds from a client's connection to its request, by listener.
    @ivar logins: seconds that credentials took to be found right, by method.
    @ivar lookUps: seconds of look-ups of names, by C{found} or C{failed}.
    @ivar deciders: seconds of services that were asked besides the rules, by name.
    @ivar policies: seconds in which the rules decided, neither of both counted.
    @ivar records: seconds until the line of a decision was written.
    @ivar connects: seconds until the destination of a CONNECT was reached, by listener
        and C{direct} or C{upstream}.
    @ivar lag: seconds by which the reactor is late.
    @ivar methods: the names of login methods that may be labels.
    """

    __slots__ = (
        "connects", "deciders", "denials", "ends", "handshakes", "lag", "logins", "lookUps",
        "methods", "octets", "over", "policies", "records", "sessions",
    )  # fmt: skip

    def __init__(self) -> None:
        self.over: list[Facts] = []
        self.sessions: dict[Way, int] = {}
        self.octets: dict[str, list[int]] = {}
        self.denials: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        self.handshakes = Histograms()
        self.logins = Histograms()
        self.lookUps = Histograms()
        self.deciders = Histograms()
        self.policies = Histogram(SHORT)
        self.records = Histogram(SHORT)
        self.connects = Histograms(labels=2)
        self.lag = Histogram()
        self.methods: set[str] = {"", "none"}

    def look(self) -> None:
        """Add up what sessions have left behind, if that is much; several times a second."""
        if len(self.over) >= _MANY:
            self.fold()

    def living(self, record: Any, sent: int, received: int) -> None:
        """
        Count a session that relays, and what it has moved since the last time.

        At its end only the rest is counted.

        @param record: its L{socksgw.audit.record.SessionRecord}.
        @param sent: octets to the destination so far.
        @param received: octets from it.
        """
        metered = record.metered
        if metered is None:
            self.over.append(factsOf(record))
            metered = 0, 0
        sent, received = max(sent, metered[0]), max(received, metered[1])
        record.metered = sent, received
        self.moved(record.listener, sent - metered[0], received - metered[1])

    def fold(self) -> None:
        """Add up what sessions have left behind."""
        over = self.over
        if not over:
            return
        rows = sorted(over, key=LISTENER)
        over.clear()
        if any(Columns.of(rows).metered):
            rows = self._rests(rows)
        for way, count in Counter(map(WAY, rows)).items():
            self._ended(way, count)
        for listener, group in groupby(rows, LISTENER):
            self._took(listener, [*group])

    def _rests(self, rows: list[Facts]) -> list[Facts]:
        """
        Add the rest of sessions that are counted already.

        @return: the others.
        """
        fresh = []
        for row in rows:
            one = Columns(*row)
            metered: Any = one.metered
            if metered is None:
                fresh.append(row)
                continue
            sent: Any = one.sent
            received: Any = one.received
            sent, received = max(0, sent - metered[0]), max(0, received - metered[1])
            self.moved(str(one.listener), sent, received)
            self.ended(str(one.reason))
        return fresh

    # Another process.

    def take(self) -> dict[str, Any]:
        """
        Return all that is counted, for another process; nothing is counted any more.
        """
        self.fold()
        found: dict[str, Any] = {}
        for name in _COUNTS:
            counts: dict[Any, Any] = getattr(self, name)
            found[name] = [[key, value] for key, value in counts.items()]
            counts.clear()
        for name in _SERIES:
            series: Histograms = getattr(self, name)
            found[name] = [[key, one.counts, one.sum] for key, one in series.items()]
            series.clear()
        for name in _SINGLE:
            one: Histogram = getattr(self, name)
            found[name] = [one.counts, one.sum]
            one.counts, one.sum = [0] * len(one.counts), 0.0
        return found

    def add(self, taken: Mapping[str, Any]) -> None:
        """
        Count what another one has counted.

        @param taken: as of L{take}.
        """
        for way, count in taken["sessions"]:
            self.session(tuple(way), count)
        for listener, (sent, received) in taken["octets"]:
            self.moved(listener, sent, received)
        for rule, count in taken["denials"]:
            self.denied(rule, count)
        for reason, count in taken["ends"]:
            self.ended(reason, count)
        for name in _SERIES:
            series: Histograms = getattr(self, name)
            for key, counts, sum_ in taken[name]:
                _merge(series[tuple(key) if type(key) is list else key], counts, sum_)
        for name in _SINGLE:
            _merge(getattr(self, name), *taken[name])

    def _ended(self, way: Any, count: int) -> None:
        """
        Count sessions that have the same labels, and are over.

        @param way: the labels, the rule and the reason.
        """
        listener, protocol, command, method, verdict, reply, rule, reason = way
        if not verdict:
            # A balancer's health check.
            return
        if command.startswith(_NUMBER):
            command = OTHER
        if method not in self.methods:
            method = OTHER
        self.session((listener, protocol, command, method, verdict, reply), count)
        if verdict == "deny":
            self.denied(rule, count)
        if reason:
            self.ended(reason, count)

    def _took(self, listener: str, rows: list[Facts]) -> None:
        """Add the seconds and the octets of a listener's sessions."""
        columns = Columns.of(rows)
        self.moved(listener, sum(columns.sent), sum(columns.received))
        if shook := [*columns.handshakes()]:
            self.handshakes[listener].observeAll(shook)
        self.policies.observeAll(columns.policies())
        self.records.observeAll(columns.records())
        if any(columns.loginTook):
            logins = zip(columns.method, columns.loginTook, strict=True)
            for method, seconds in compress(logins, columns.loginTook):
                known = method if method in self.methods else OTHER
                self.logins[known].observe(seconds)
        rows.sort(key=COMMAND)
        for command, group in groupby(rows, COMMAND):
            if command == "connect":
                self._reached(listener, [*group])

    def _reached(self, listener: str, rows: list[Facts]) -> None:
        """Add the seconds until destinations were reached."""
        columns = Columns.of(rows)
        took = [*columns.connects()]
        reached = [*compress(columns.path, columns.reachedAt)]
        if took and not any(reached):
            self.connects[listener, "direct"].observeAll(took)
            return
        for path, seconds in zip(reached, took, strict=True):
            way = "direct" if path in _NO_UPSTREAM else "upstream"
            self.connects[listener, way].observe(seconds)

    def verdicts(self) -> Counter[str]:
        """Return how many sessions ended with each verdict, or got it and relay."""
        self.fold()
        found: Counter[str] = Counter()
        for way, count in self.sessions.items():
            found[way[4]] += count
        return found

    def session(self, way: Way, count: int = 1) -> None:
        """Count sessions by their labels."""
        sessions = self.sessions
        if way not in sessions and len(sessions) >= _APART:
            way = (way[0], OTHER, OTHER, OTHER, way[4], 0)
            if way not in sessions and len(sessions) >= MOST - 4:
                way = (OTHER, *way[1:])
        sessions[way] = sessions.get(way, 0) + count

    def moved(self, listener: str, sent: int, received: int) -> None:
        """
        Count octets.

        @param sent: to the destination.
        @param received: from it.
        """
        octets = self.octets.get(listener)
        if octets is None:
            if len(self.octets) >= MOST // 2 - 1:
                listener = OTHER
            octets = self.octets.setdefault(listener, [0, 0])
        octets[0] += sent
        octets[1] += received

    def denied(self, rule: str, count: int = 1) -> None:
        """Count requests that a rule, or a limit, denied."""
        _count(self.denials, rule, count)

    def ended(self, reason: str, count: int = 1) -> None:
        """Count the end of sessions."""
        _count(self.ends, reason, count)


def _count(counts: dict[str, int], key: str, count: int) -> None:
    if key not in counts and len(counts) >= MOST - 1:
        key = OTHER
    counts[key] = counts.get(key, 0) + count
