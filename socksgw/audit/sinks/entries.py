"""
Lines of the journal, as sinks get them.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from socksgw.audit.formats import Format
from socksgw.audit.formats.facts import severity
from socksgw.audit.formats.sound import WRONG, sound
from socksgw.interfaces import Entry

__all__ = ["Formatted", "Line", "Lines", "presented"]

_scan: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
#: Lines that are kept for sinks that come to them later.
_KEPT: Final = 4096


@final
class Line:
    """
    A line of the journal, which is parsed once at most.

    It is what sinks get that have no format of their own (L{socksgw.interfaces.Entry}).

    @ivar number: its number.
    @ivar octets: the line, without its line feed.
    """

    __slots__ = ("_fields", "number", "octets")

    def __init__(self, number: int, octets: bytes) -> None:
        self.number = number
        self.octets = octets
        self._fields: Mapping[str, Any] | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """Its members; nobody may change them."""
        if self._fields is None:
            # json.loads() would find out the encoding, and look for space around it:
            # together that takes as long as the rest.
            try:
                self._fields = _scan(self.octets.decode("ascii"), 0)[0]
            except StopIteration:
                raise ValueError("not JSON") from None
        return self._fields

    @property
    def formatted(self) -> bytes:
        """The line as it is in the journal, without its line feed."""
        return self.octets

    @property
    def severity(self) -> int:
        """How severe the event is: a number of RFC 5424, section 6.2.1, 2 to 6."""
        try:
            return severity(self.fields)
        except WRONG:
            return severity(sound(self.fields))


@final
class Lines:
    """
    The last lines that were read, shared by the sinks of one journal.

    @ivar kept: whether lines are kept: there are several sinks.
    """

    def __init__(self) -> None:
        self.kept = True
        self._known: OrderedDict[int, Line] = OrderedDict()

    def line(self, number: int, octets: bytes) -> Line:
        """
        Return a line, the same object to every sink that comes to it soon.

        Threads may call this at once: at worst a line is then parsed twice.
        """
        if not self.kept:
            return Line(number, octets)
        found = self._known.get(number)
        if found is None or found.octets != octets:
            found = self._known[number] = Line(number, octets)
            if len(self._known) > _KEPT:
                try:
                    self._known.popitem(last=False)
                except KeyError:  # pragma: no cover
                    pass
        return found


@final
class Formatted:
    """
    A line for a sink that has a format of its own (L{socksgw.interfaces.Entry}).

    @ivar number: the line's number.
    @ivar octets: the line as it is in the journal, without its line feed.
    """

    __slots__ = ("_line", "_made", "number", "octets")

    def __init__(self, line: Line, made: Format) -> None:
        """
        @param made: makes the sink's format of it.
        """
        self._line = line
        self._made = made
        self.number = line.number
        self.octets = line.octets

    @property
    def fields(self) -> Mapping[str, Any]:
        """The line's members; nobody may change them."""
        return self._line.fields

    @property
    def formatted(self) -> bytes | None:
        """The line in the sink's format; L{None} where that leaves the event out."""
        return self._made(self._line.fields)

    @property
    def severity(self) -> int:
        """How severe the event is: a number of RFC 5424, section 6.2.1, 2 to 6."""
        return self._line.severity


def presented(lines: Sequence[Line], made: Format | None) -> Sequence[Entry]:
    """
    Return lines as a sink gets them.

    @param made: makes the sink's format of one; L{None} for lines as they are.
    """
    return lines if made is None else [Formatted(line, made) for line in lines]
