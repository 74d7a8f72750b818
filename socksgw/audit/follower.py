"""
Following the journal while it is written: for people in the foreground, for
C{socksgw audit follow}, and for whoever keeps a position of its own.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO, final

from twisted.internet.task import LoopingCall

from socksgw.audit import chain
from socksgw.audit.human import Human
from socksgw.audit.verify import remedy
from socksgw.system.output import widthOf

__all__ = ["ConsoleFollower", "Follower", "followMain"]

#: Seconds between two looks.
_LOOK: Final = 0.25
#: Lines that are printed in one look; people cannot read more.
_READABLE: Final = 25
#: Octets read at once.
_CHUNK: Final = 1 << 20


@final
class Follower:
    """
    A position in the journal that moves on as lines come.
    """

    def __init__(self, directory: Path, fromStart: bool) -> None:
        """
        @param fromStart: begin with the first line that is kept, not with
            the next that comes.
        """
        self._directory = directory
        self._file: Path | None = None
        self._offset = 0
        if not fromStart:
            found = chain.files(directory) if directory.is_dir() else []
            if found:
                self._file = found[-1]
                self._offset, _ = chain.tail(self._file)

    def poll(self) -> bytes:
        """
        Read the whole lines that came since, at most a chunk of them; empty when
        there are none.
        """
        while True:
            if self._file is None:
                self._file = self._next()
                if self._file is None:
                    return b""
                self._offset = 0
            # Asked for first: once it is there, the present file is complete.
            following = self._next()
            try:
                with self._file.open("rb") as opened:
                    opened.seek(self._offset)
                    octets = opened.read(_CHUNK)
            except FileNotFoundError:
                # Dropped by `keep` or `max_size`.
                octets = b""
            whole = octets.rfind(b"\n") + 1
            if whole:
                self._offset += whole
                return octets[:whole]
            if following is None:
                return b""
            self._file, self._offset = following, 0

    def _next(self) -> Path | None:
        """Return the file behind the present one."""
        if not self._directory.is_dir():
            return None
        for file in chain.files(self._directory):
            if self._file is None or file.name > self._file.name:
                return file
        return None


@final
class ConsoleFollower:
    """
    The foreground's lines: what can be read of them, off the hot path.
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
        @param out: what is written to; must never block.
        @param width: columns of the terminal; 0 for no limit.
        """
        self._follower = Follower(directory, False)
        self._out = out
        self._human = Human(colour, config, width)
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor

    def start(self) -> None:
        """Begin."""
        self._looking.start(_LOOK, now=False)

    def stop(self) -> None:
        """Print what is left, and end."""
        if self._looking.running:
            self._looking.stop()
        self.look()

    def look(self) -> None:
        """
        Print what came: the first lines whole, of the others the number.
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
            # Out of descriptors, say: look again later.
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
    C{socksgw audit follow}: print lines as they come, until interrupted.

    @param raw: print the lines as they stand, not for people.
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
