"""
Sinks: what follows the journal, and gets each of its lines.

They run in a process of their own, each in its own thread: calls may block, and hold
up no session. That process starts with every restart of the gateway, so a module of a
sink imports what is large when it is opened, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

from attrs import field, frozen
from zope.interface import Attribute, Interface

from socksgw.config.settings import Settings

__all__ = [
    "AuditSink",
    "Entry",
    "IAuditSink",
    "IReadableSink",
    "SinkFailed",
    "SinkSettings",
]


class SinkFailed(Exception):
    """
    The sink takes no lines now.

    The text says why, and holds no secret: it goes into the log and the journal.

    @ivar after: seconds that whoever takes the lines asks to wait, at least; 0 for none.
    """

    def __init__(self, why: str = "", after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class Entry(Protocol):
    """One line of the journal, for one sink."""

    @property
    def number(self) -> int:
        """The number of the line, C{n}: each is one more than the one before."""

    @property
    def octets(self) -> bytes:
        """The line as it is in the journal, without its line feed: JSON in ASCII."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The line's members; parsed once for all sinks, so nobody may change it."""

    @property
    def formatted(self) -> bytes | None:
        """
        The line in the sink's format, without a line feed.

        @return: L{None} where the format leaves such events out.
        """

    @property
    def severity(self) -> int:
        """How severe the event is: a number of RFC 5424, section 6.2.1, 2 to 6."""


def _kept(_: Entry, why: str) -> None:
    """Put nothing aside: the sink does not go on without the line."""
    raise SinkFailed(why)


@final
@frozen
class SinkSettings:
    """
    What the configuration says about a sink.

    @ivar name: the sink's name in the configuration, which no other has.
    @ivar kind: the kind of the sink.
    @ivar target: where to: what stands behind C{kind:} in C{[audit] sinks}, or C{url},
        or the line in the file C{url_file}. It may hold a password.
    @ivar format: the name of the format.
    @ivar options: the table's other keys. Mistakes that are reported to it are told
        with their TOML paths; files that are read through it are read once, by the
        gateway, with the rights that it has then.
    @ivar directory: C{state_dir}: where relative paths of what is written start.
    @ivar gateway: the gateway's name, which tells it from others that have the same
        sink.
    @ivar aside: keeps a line, with why, that whoever takes the lines will never take,
        so that the sink can go on with others; L{SinkFailed} where it cannot be kept.
    """

    name: str
    kind: str
    target: str = field(repr=False)
    format: str
    options: Settings = field(repr=False)
    directory: Path
    gateway: str
    aside: Callable[[Entry, str], None] = field(default=_kept, repr=False, eq=False)


class AuditSink(Protocol):
    """
    A sink. All calls come from one thread, one after another, and may block.
    """

    @property
    def batch(self) -> int:
        """The most lines that one call of L{deliver} gets."""

    def open(self) -> int | None:
        """
        Open what the sink writes to. It is called again after a failure.

        @return: the number of the last line that is there for certain (0 for none),
            for a sink that stores the number with the lines: it gets each line exactly
            once. L{None} for others: the number is kept in a file, and after a crash
            some lines come again.
        @raise SinkFailed: it cannot be opened now; it is tried again.
        """

    def deliver(self, entries: Sequence[Entry]) -> None:
        """
        Write lines, and return when they are where they are safe.

        @param entries: at least one, in the order of their numbers.
        @raise SinkFailed: they, or some of them, are not: after a pause the sink is
            closed and opened, and gets what it lacks.
        """

    def idle(self) -> None:
        """
        Do what is due while there are no lines to deliver, several times a second.

        @raise SinkFailed: as L{deliver}.
        """

    def close(self) -> None:
        """Close what is open. It may be called when nothing is."""


class IAuditSink(Interface):
    """
    A kind of sink: one of C{sinks}, a tuple in a module C{socksgw/plugins/audit_*.py}.
    """

    kind = Attribute("The word for it in the configuration (str).")
    help = Attribute("One line for people (str).")
    target = Attribute(
        "What stands behind kind: in the configuration, as a word in capital letters "
        "such as URL or PATH; FORMAT for the format; empty for nothing (str)."
    )
    format = Attribute(
        "The format where the configuration names none; empty if the sink takes no "
        "formats (str)."
    )

    def build(settings):  # type: ignore[no-untyped-def]
        """
        Return a sink, and open nothing.

        The gateway calls this, too, to find mistakes of the configuration: it imports
        nothing large, and connects to nothing.

        @type settings: L{SinkSettings}
        @rtype: L{AuditSink}
        @raise ValueError: C{settings.target} is wrong; the text says why, without it
            where that may hold a password. Mistakes in other keys are reported to
            C{settings.options}.
        """


class IReadableSink(IAuditSink):
    """A kind of sink whose lines can be read, for C{socksgw audit verify --against}."""

    def lines(settings):  # type: ignore[no-untyped-def]
        """
        Return the number and the hash of each line of this gateway that is there.

        They are read while they are asked for: there may be many.

        @type settings: L{SinkSettings}
        @rtype: iterator of C{(int, str)}, in the order of the numbers
        @raise SinkFailed: they cannot be read; the iterator raises it, too.
        """
