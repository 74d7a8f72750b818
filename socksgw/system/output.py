"""
Standard output that never blocks the reactor, and that every terminal can show.

A terminal that was stopped (Ctrl-S), a pipe to a dead log collector and a file on a
hung mount all block write(2). The lines are therefore written by a thread, from a
bounded queue. Lines that do not fit are dropped and counted, and the count is
written as soon as the reader reads again.
"""

from __future__ import annotations

import atexit
import codecs
import io
import os
import select
import shutil
import sys
import time
from collections import deque
from collections.abc import Mapping
from threading import Condition, Thread
from typing import Any, Final, TextIO, cast, final

__all__ = ["Output", "coloured", "install", "printable", "readable", "widthOf"]

#: Octets that wait for the reader at most.
_MOST: Final = 1 << 20
#: Seconds between two tries after a write failed.
_REST: Final = 1.0
#: Seconds that the end of the process waits for the reader.
_PATIENCE: Final = 1.0

#: The name of the error handler that L{readable} registers.
_HANDLER: Final = "socksgw.readable"
#: What stands for our own signs where a terminal does not know them.
_SIGNS: Final[Mapping[str, str]] = {
    "→": "->", "·": "-", "…": "...", "✓": "ok", "–": "-", "µ": "u",
}  # fmt: skip


def _substitute(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding cannot say by what it can."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_SIGNS.get(c) or ascii(c)[1:-1] for c in text), error.end


codecs.register_error(_HANDLER, _substitute)


def readable(stream: TextIO) -> None:
    """
    Have a stream write substitutes for characters that its encoding lacks.

    Without that it raises L{UnicodeEncodeError}.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_HANDLER)


def printable(text: str) -> str:
    """Escape what a terminal would take for a control sequence."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def coloured(stream: TextIO) -> bool:
    """
    Return whether escape sequences are welcome on a stream.

    They are on a terminal, unless C{NO_COLOR} is set (no-color.org) or C{TERM} is
    C{dumb}.
    """
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def widthOf(stream: TextIO) -> int:
    """
    Return how many columns a stream's terminal has.

    @return: 0 where there is no terminal, and so no limit.
    """
    return shutil.get_terminal_size((0, 0)).columns if stream.isatty() else 0


@final
class Output(io.TextIOBase):
    """
    A text stream to a descriptor. Writing never blocks and never fails.

    @ivar lost: the number of lines dropped since the last notice.
    """

    def __init__(self, descriptor: int, encoding: str, most: int = _MOST) -> None:
        """
        @param most: octets that wait for the reader at most.
        """
        self._descriptor = descriptor
        self._encoding = encoding
        self._most = most
        self._terminal = os.isatty(descriptor)
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._ready = Condition()
        self._thread: Thread | None = None
        self._until: float | None = None
        self.lost = 0

    @classmethod
    def instead(cls, stream: TextIO, reactor: Any) -> TextIO:
        """
        Make an output for what a stream is open on.

        @param stream: C{sys.stdout}, say; has written nothing since its flush.
        @return: the output; the stream itself where it has no descriptor.
        """
        try:
            stream.flush()
            output = cls(stream.fileno(), stream.encoding or "utf-8")
        except (OSError, ValueError, AttributeError):
            return stream
        # twistd ends itself by a signal, which leaves out atexit; it logs its
        # last line after the reactor has stopped, and flushes.
        reactor.addSystemEventTrigger("after", "shutdown", output.finish)
        atexit.register(output.finish)
        return cast(TextIO, output)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the text on the descriptor."""
        return self._encoding

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._terminal

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """
        Queue whole lines, or drop and count them.
        """
        octets = text.encode(self._encoding, _HANDLER)
        with self._ready:
            if self.lost or self._held + len(octets) > self._most:
                # Until the count is told nothing else is taken, so that it
                # stands where the lines would.
                self.lost += text.count("\n")
            else:
                self._queue.append(octets)
                self._held += len(octets)
            if self._thread is None:
                self._start()
            self._ready.notify_all()
        return len(text)

    def _start(self) -> None:
        # Not before the first line, since a thread does not live through a fork.
        thread = Thread(target=self._run, name="output", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are as many threads as the system allows; the next line tries
            # again.
            return
        self._thread = thread

    def flush(self) -> None:
        """Wait for the reader, but only while the process ends, and not for long."""
        if self._until is not None:
            with self._ready:
                self._ready.wait_for(
                    lambda: not self._held, max(0.0, self._until - time.monotonic())
                )

    def finish(self) -> None:
        """
        Wait until everything is written, for a second at most in all.

        Every flush from now on does so, too.
        """
        if self._until is None:
            self._until = time.monotonic() + _PATIENCE
        self.flush()

    # The thread.

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or self.lost)
                octets = b"".join(self._queue)
                self._queue.clear()
                lost, self.lost = self.lost, 0
                if lost:
                    notice = f"… {lost:,} lines were dropped: nobody read them\n"
                    added = notice.encode(self._encoding, _HANDLER)
                    octets += added
                    self._held += len(added)
            written = self._written(octets)
            with self._ready:
                self._held -= len(octets)
                if written < len(octets):
                    unwritten = octets[written:].count(b"\n")
                    # A notice counts for the lines that it stands for.
                    self.lost += unwritten + max(0, lost - 1)
                self._ready.notify_all()
            if written < len(octets):
                time.sleep(_REST)

    def _written(self, octets: bytes) -> int:
        """
        Write, however long it takes.

        @return: how many octets were taken before an error.
        """
        done = 0
        view = memoryview(octets)
        while done < len(octets):
            try:
                done += os.write(self._descriptor, view[done:])
            except BlockingIOError:
                # Another process set the shared descriptor to O_NONBLOCK.
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll()
            except OSError:
                break
        return done


def install(reactor: Any, taken: bool = False) -> TextIO:
    """
    Have standard output, and the log that twistd writes to it, never block.

    @param taken: whether standard output is for something else: all goes to standard
        error instead.
    """
    sys.stdout = Output.instead(sys.stderr if taken else sys.stdout, reactor)
    return sys.stdout
