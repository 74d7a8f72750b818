"""
Following the journal while it is written: for people in the foreground, for
C{socksgw audit follow}, and for whoever keeps a position of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, final

from twisted.internet.task import LoopingCall

from socksgw.audit import chain
from socksgw.audit.verify import remedy

__all__ = ["ConsoleFollower", "Follower", "followMain", "humanLine"]

#: Seconds between two looks.
_LOOK: Final = 0.25
#: Lines that are printed in one look; people cannot read more.
_READABLE: Final = 25
#: Octets read at once.
_CHUNK: Final = 1 << 20

#: What stands as the rule where no rule of the policy's decided.
_OWN: Final = (None, "never", "default", "limit")

_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"


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
        The whole lines that came since, at most a chunk of them; empty when
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
        """The file behind the present one."""
        if not self._directory.is_dir():
            return None
        for file in chain.files(self._directory):
            if self._file is None or file.name > self._file.name:
                return file
        return None


def _paint(text: str, colour: str, on: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if on else text


def _target(line: Mapping[str, Any]) -> str:
    host = line.get("name") or line.get("asked") or "?"
    if ":" in host:
        host = f"[{host}]"
    # What a CONNECT is everybody knows; the others are named.
    command = line.get("command", "connect")
    what = "" if command == "connect" else f"{command} "
    if line["event"] == "decision" and command == "udp":
        return "udp"
    return f"{what}{host}:{line.get('port')}"


def _decision(line: Mapping[str, Any], colour: bool, config: str) -> str:
    why = f"why: socksgw explain --record {line['n']}"
    if config:
        why += f" --config {config}"
    user, target = line["user"], _target(line)
    if line["verdict"] == "allow":
        addresses = line["addresses"]
        at = f" ({', '.join(addresses)})" if line.get("name") else ""
        word = _paint("ALLOW", _GREEN, colour)
        return f'{word} {user} → {target}{at} by rule "{line["rule"]}" · {why}'
    word = _paint("DENY", _RED, colour)
    rule = f' by rule "{line["rule"]}"' if line["rule"] else ""
    # A rule's id says it all, where it is one that the policy wrote.
    because = f": {line['why']}" if line["rule"] in _OWN else ""
    return f"{word} {user} → {target}{rule}{because} · {why}"


def _refused(line: Mapping[str, Any], colour: bool, _: str) -> str:
    word = _paint("REFUSE", _YELLOW, colour)
    return f"{word} {line['client']} on {line['listener']}: {line['why']}"


def _loginFailed(line: Mapping[str, Any], colour: bool, _: str) -> str:
    word = _paint("LOGIN FAILED", _RED, colour)
    return f"{word} {line['claimed']!r} from {line['client']} by {line['method']}"


def _groupsFailed(line: Mapping[str, Any], colour: bool, _: str) -> str:
    word = _paint("GROUPS UNKNOWN", _YELLOW, colour)
    return f"{word} of {line['user']!r}: {line['checker']}: {line['reason']}"


def _refusals(line: Mapping[str, Any], colour: bool, _: str) -> str:
    word = _paint("REFUSE", _YELLOW, colour)
    reasons = ", ".join(f"{_printable(r)} {n}" for r, n in line["reasons"].items())
    source = line["source"] or "many sources"
    return f"{word} {source}: {line['count']} more within a second ({reasons})"


def _trouble(line: Mapping[str, Any], colour: bool, _: str) -> str:
    word = _paint("JOURNAL", _YELLOW, colour)
    if line["event"] == "missing":
        return f"{word} lines {line['from']} to {line['to']} were moved, deleted or cut"
    if line["event"] == "recovered":
        return f"{word} a torn last line of {line['octets']} octets was cut off"
    return f"{word} written again; {line['refused']} requests were refused meanwhile"


_HUMAN: Final[Mapping[str, Callable[[Mapping[str, Any], bool, str], str]]] = {
    "decision": _decision,
    "flow": _decision,
    "flows-refused": _refused,
    "refused": _refused,
    "groups-failed": _groupsFailed,
    "login-failed": _loginFailed,
    "missing": _trouble,
    "recovered": _trouble,
    "refusals": _refusals,
    "resumed": _trouble,
}


def humanLine(line: Mapping[str, Any], colour: bool, config: str = "") -> str | None:
    """
    What people read of a line, or L{None} for those that say nothing new
    (ends, starts, stops).

    @param config: the configuration's file, for the commands to try.
    """
    human = _HUMAN.get(line["event"])
    if human is None:
        return None
    # A terminal must not take anybody's name for a command.
    safe = {k: _printable(v) if isinstance(v, str) else v for k, v in line.items()}
    return human(safe, colour, config)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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
    ) -> None:
        self._follower = Follower(directory, False)
        self._out = out
        self._colour = colour
        self._config = config
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
                human = humanLine(
                    json.loads(octets[start:end]), self._colour, self._config
                )
                start = end + 1
                if human is not None:
                    text.append(human)
                    printed += 1
            left += octets.count(b'"event":"decision"', start)
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
                    human = humanLine(json.loads(line), colour, config)
                    if human is not None:
                        print(human, file=out)
    except KeyboardInterrupt:
        return 0
    except OSError as e:
        print(f"{directory}: {remedy(e)}", file=sys.stderr)
        return 2
