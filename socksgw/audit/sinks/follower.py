"""
Follow the journal for one sink, in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, final

from attrs import evolve

from socksgw.audit.formats import formatOf
from socksgw.audit.sinks.aside import Aside
from socksgw.audit.sinks.discovery import sinkIn
from socksgw.audit.sinks.entries import Line, Lines, presented
from socksgw.audit.sinks.orders import Order, Standing, settingsOf
from socksgw.audit.sinks.position import Place, Position
from socksgw.audit.sinks.reader import JournalReader, Misplaced, hashOf
from socksgw.audit.sinks.redaction import Redaction
from socksgw.interfaces import AuditSink, Entry, SinkFailed

__all__ = ["SinkFollower"]

#: Seconds between two looks for new lines.
_POLL: Final = 0.2
#: Seconds in which some more lines are gathered, where few came: what is done once for
#: all lines that come together, such as a transaction, costs as much as many lines.
_GATHER: Final = 0.2
#: Seconds between two savings of a position while lines come.
_SAVE: Final = 1.0
#: Seconds that one call of a sink may take before that is told as a failure: a server
#: that is stopped, or whose disk hangs, keeps its connections and never answers.
_STUCK: Final = 30.0
#: Seconds of the first and of the longest pause after a failure.
_PAUSES: Final = (0.5, 30.0)


@final
class SinkFollower:
    """
    The thread of one sink.

    @ivar order: what it follows.
    @ivar standing: how it is doing.
    """

    def __init__(
        self,
        order: Order,
        journal: Path,
        state: Path,
        lines: Lines,
        last: int,
        changed: Callable[[], None],
    ) -> None:
        """
        Take what is to be followed; L{start} begins.

        @param journal: the directory of the journal.
        @param state: C{state_dir}.
        @param lines: lines that other sinks have met.
        @param last: the number of the line behind which a new sink begins that is to
            begin with the next one.
        @param changed: called, in the thread, when C{standing} has another state.
        """
        self.order = order
        self.standing = Standing(order.name)
        self._journal = journal
        self._state = state
        self._lines = lines
        self._last = last
        self._changed = changed
        self._position = Position(state / "sinks", order.name)
        self._redaction = Redaction(order)
        self._aside = Aside(state / "sinks", order.name)
        # Set when the thread is to wait for nothing any more.
        self._hurrying = Event()
        self._finishing = self._stopping = False
        # The last line that the sink has, and the last that the file says.
        self._place: Place | None = None
        self._saved: Place | None = None
        self._saveAt = 0.0
        self._keeps = False
        # When the present call of the sink began; None between two calls.
        self._called: float | None = None
        self._thread = Thread(target=self._run, name=order.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Deliver the lines that there are now, and end."""
        self._finishing = True
        self._hurrying.set()

    def stop(self) -> None:
        """End after the present call of the sink."""
        self._finishing = self._stopping = True
        self._hurrying.set()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def stands(self) -> Standing:
        """
        Return how it is doing now: C{standing}, unless a call of the sink is stuck.

        Nothing is done about that call: it ends by itself, or with the process.
        """
        standing, called = self.standing, self._called
        if called is None or time.monotonic() - called < _STUCK:
            return standing
        return evolve(
            standing, state="failing", why=f"no answer within {_STUCK:.0f} seconds"
        )

    def _tell(self, **changes: Any) -> None:
        before = self.standing
        self.standing = evolve(before, **changes)
        if before.state != self.standing.state or before.why != self.standing.why:
            self._changed()

    # The thread.

    @contextmanager
    def _calling(self) -> Iterator[None]:
        self._called = time.monotonic()
        try:
            yield
        finally:
            self._called = None

    def _run(self) -> None:
        pause = _PAUSES[0]
        while True:
            began, after = self.standing.delivered, 0.0
            try:
                self._follow()
                return
            except SinkFailed as e:
                why, after = str(e), e.after
            except (Misplaced, ValueError) as e:
                why = str(e)
            except OSError as e:
                why = f"{e.filename or ''}: {e.strerror}".removeprefix(": ")
            except Exception as e:
                # A plug-in may raise anything; that costs its own sink alone.
                why = f"{type(e).__name__}: {e}"
            if self.standing.delivered > began:
                pause = _PAUSES[0]
            self._tell(
                state="failing",
                why=self._redaction.of(why),
                failures=self.standing.failures + 1,
            )
            # What it could not deliver before, it tries once more at the end.
            if self._finishing or (self._hurrying.wait(max(pause, after)) and after):
                return
            if self._stopping:
                return
            pause = min(2 * pause, _PAUSES[1])

    def _follow(self) -> None:
        """Open the sink, and deliver lines until this is to end."""
        order = self.order
        plugin = sinkIn(order.module, order.kind)
        sink = plugin.build(settingsOf(order, self._state, aside=self._putAside))
        reader = JournalReader(self._journal, self._lines)
        try:
            self._begin(sink, reader)
            self._tell(state="following", why="", saved=self._savedNumber())
            self._deliver(sink, reader)
            self._save()
        finally:
            reader.close()
            sink.close()

    def _putAside(self, entry: Entry, why: str) -> None:
        """
        Keep a line that is never taken, and count it.

        @raise SinkFailed: it cannot be kept.
        """
        self._aside.add(entry, self._redaction.of(why))
        self._tell(aside=self.standing.aside + 1)
        self._changed()

    def _begin(self, sink: AuditSink, reader: JournalReader) -> None:
        """Open the sink, and find where it goes on."""
        kept = self._position.read()
        if kept is None:
            # From here on it gets each line, or is told that it misses some.
            begun = self._last if self.order.begin == "next" else reader.before()
            kept = Place(begun, start=begun)
            self._position.write(kept)
        self._saved = kept
        self._tell(saved=kept.number)
        with self._calling():
            number = sink.open()
        self._keeps = number is not None
        place = self._place or kept
        if number is not None and number != place.number:
            # What the sink has of itself is the truth.
            place = Place(number or kept.start, "", kept.start)
        reader.after(place.number, place.hash)
        self._place = place
        self._tell(position=reader.number)

    def _deliver(self, sink: AuditSink, reader: JournalReader) -> None:
        made = formatOf(self.order.format, self.order.gateway)
        missed = self.standing.missed
        batch = max(1, sink.batch)
        while not self._stopping:
            # Asked before, so that nothing is left that was there then.
            finishing = self._finishing
            lines = reader.read()
            if reader.missed:
                self._tell(missed=missed + reader.missed)
            for i in range(0, len(lines), batch):
                part = lines[i : i + batch]
                with self._calling():
                    sink.deliver(presented(part, made))
                self._delivered(part)
                if self._stopping:
                    return
            if not lines:
                if finishing:
                    return
                if time.monotonic() >= self._saveAt:
                    # To have it on the disk costs more than some lines.
                    self._save()
                with self._calling():
                    sink.idle()
                self._hurrying.wait(_POLL)
            elif len(lines) < batch:
                self._hurrying.wait(_GATHER)

    def _delivered(self, lines: list[Line]) -> None:
        start = self._place.start if self._place is not None else 0
        self._place = Place(lines[-1].number, hashOf(lines[-1].octets), start)
        self._tell(
            position=lines[-1].number,
            delivered=self.standing.delivered + len(lines),
            saved=self._savedNumber(),
        )
        if time.monotonic() >= self._saveAt:
            self._save()

    def _savedNumber(self) -> int | None:
        """Return the last line that the sink has even after a crash."""
        place = self._place if self._keeps else self._saved
        return place.number if place is not None else None

    def _save(self) -> None:
        """Keep how far the sink has come, unless that is kept already."""
        if self._place is not None and self._place != self._saved:
            self._position.write(self._place)
            self._saved = self._place
            self._saveAt = time.monotonic() + _SAVE
            self._tell(saved=self._savedNumber())
