"""
Print the journal while it is written: C{socksgw audit follow}, and the foreground.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO, final

from twisted.internet.task import LoopingCall

from socksgw.audit.follower import Follower
from socksgw.audit.shapes import shaped
from socksgw.console.human import Human
from socksgw.console.verify import remedy
from socksgw.records.criteria import EVERYTHING, Criteria
from socksgw.records.searching import Following, newest
from socksgw.system.output import widthOf

__all__ = ["ConsoleFollower", "followMain"]

#: Seconds between two looks.
_LOOK: Final = 0.25
#: How many lines of one look are printed; people cannot read more.
_READABLE: Final = 25


@final
class ConsoleFollower:
    """
    Prints the decisions of a gateway in the foreground, apart from its sessions.
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        out: TextIO,
        colour: bool,
        config: str,
        width: int = 0,
    ) -> None:
        """
        Prepare; L{start} begins.

        @param out: where to print; must not block.
        @param config: the configuration's file, for the commands to try.
        @param width: columns of the terminal; 0 for no limit.
        """
        self._follower = Follower(directory, False)
        self._out = out
        self._human = Human(colour, config, width)
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor

    def start(self) -> None:
        """Begin to look at the journal."""
        self._looking.start(_LOOK, now=False)

    def stop(self) -> None:
        """Print the lines that are left, and stop."""
        if self._looking.running:
            self._looking.stop()
        self.look()

    def look(self) -> None:
        """
        Print the first new lines, and how many more there are.
        """
        printed = left = 0
        text: list[str] = []
        while octets := self._poll():
            start = 0
            while printed < _READABLE and start < len(octets):
                end = octets.index(b"\n", start)
                line = shaped(octets[start:end])
                human = None if line is None else self._human.read(line)
                start = end + 1
                if human is not None:
                    text.append(human)
                    printed += 1
            left += octets.count(b'"event":"decision"', start)
            self._human.passOver(octets, start)
        if left:
            text.append(f"… {left:,} more decisions: socksgw audit follow")
        if text:
            self._out.write("\n".join(text) + "\n")
            self._out.flush()

    def _poll(self) -> bytes:
        try:
            return self._follower.poll()
        except OSError:
            # Such as too many open files: the next look may succeed.
            return b""


def followMain(
    directory: Path,
    out: TextIO,
    colour: bool,
    fromStart: bool,
    raw: bool,
    config: str = "",
    criteria: Criteria = EVERYTHING,
    last: int = 0,
) -> int:
    """
    Print lines as they are written, until interrupted.

    @param fromStart: whether to begin with the journal's first line.
    @param raw: whether to print the lines as they are in the journal, for programs.
    @param config: the configuration's file, for the commands to try.
    @param criteria: which lines are printed, and the failures of what they have
        allowed.
    @param last: how many lines are printed of those that are there.
    @return: the exit status: 0, or 2 when the journal cannot be read.
    """
    # Who asks for kinds of lines wants to see those that are not shown else.
    whole = bool(criteria.event or criteria.session or criteria.where or criteria.text)
    human = Human(colour, config, widthOf(out), whole)
    printing = _Printing(out, human, raw, criteria)
    try:
        follower = Follower(directory, fromStart)
        if not directory.is_dir():
            waiting = f"{directory}: is not there yet; waiting (is --config right?)"
            print(waiting, file=sys.stderr)
        elif last:
            for line in newest(directory, criteria, last):
                printing.show(line)
        while True:
            octets = follower.poll()
            if not octets:
                out.flush()
                time.sleep(_LOOK)
            else:
                printing.print(octets)
    except KeyboardInterrupt:
        return 0
    except OSError as e:
        if isinstance(e, BrokenPipeError):
            raise
        print(f"{directory}: {remedy(e)}", file=sys.stderr)
        return 2


@final
class _Printing:
    """Prints what is wanted of lines that come."""

    def __init__(
        self, out: TextIO, human: Human, raw: bool, criteria: Criteria
    ) -> None:
        matcher = criteria.matcher()
        self._following = None if matcher.everything else Following(matcher)
        self._out, self._human, self._raw = out, human, raw

    def print(self, octets: bytes) -> None:
        """Print what is wanted of whole lines."""
        if self._following is not None:
            for line in self._following.read(octets):
                self.show(line)
        elif self._raw:
            self._out.write(octets.decode("ascii", "backslashreplace"))
        else:
            for line in octets.splitlines():
                self.show(line)

    def show(self, octets: bytes) -> None:
        """Print a line, if people read it."""
        if self._raw:
            self._out.write(f"{octets.decode('ascii', 'backslashreplace')}\n")
            return
        line = shaped(octets)
        text = None if line is None else self._human.read(line)
        if text is not None:
            print(text, file=self._out)
