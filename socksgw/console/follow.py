"""
Print the journal while it is written: C{socksgw audit follow}, and the foreground.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO, final

from twisted.internet.task import LoopingCall

from socksgw.audit.follower import Follower
from socksgw.console.human import Human
from socksgw.console.verify import remedy
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
                human = self._human.read(json.loads(octets[start:end]))
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
) -> int:
    """
    Print lines as they are written, until interrupted.

    @param fromStart: whether to begin with the journal's first line.
    @param raw: whether to print the lines as they are in the journal, for programs.
    @param config: the configuration's file, for the commands to try.
    @return: the exit status: 0, or 2 when the journal cannot be read.
    """
    lines = Human(colour, config, widthOf(out))
    try:
        follower = Follower(directory, fromStart)
        if not directory.is_dir():
            waiting = f"{directory}: is not there yet; waiting (is --config right?)"
            print(waiting, file=sys.stderr)
        while True:
            octets = follower.poll()
            if not octets:
                out.flush()
                time.sleep(_LOOK)
            elif raw:
                out.write(octets.decode("ascii"))
            else:
                for line in octets.splitlines():
                    human = lines.read(json.loads(line))
                    if human is not None:
                        print(human, file=out)
    except KeyboardInterrupt:
        return 0
    except OSError as e:
        print(f"{directory}: {remedy(e)}", file=sys.stderr)
        return 2
