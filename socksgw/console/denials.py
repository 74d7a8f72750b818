"""
What the journal of systemd hears of a gateway: that it is ready, and what it denies.

What is allowed is in the gateway's own journal alone. These lines are found there by
what stands in them and in no other, since most lines are of what is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TextIO, final

from twisted.internet.task import LoopingCall

from socksgw.audit.follower import Follower
from socksgw.audit.lines import having
from socksgw.audit.shapes import shaped
from socksgw.console.banner import placesOf
from socksgw.console.human import humanLine

if TYPE_CHECKING:
    from socksgw.gateway.gateway import Gateway

__all__ = ["Denials"]

#: Seconds between two looks.
_LOOK: Final = 0.25
#: How many lines of one look are printed.
_READABLE: Final = 25
#: A notice, as sd-daemon(3) has it before a line.
_NOTICE: Final = "<5>"
#: What stands in lines that are told of. In a text a quotation mark has a backslash
#: before it, so that no client can write these.
_MARKS: Final = (
    b'"verdict":"deny"',
    b'"event":"refus',
    b'"event":"denials"',
    b'"event":"login-failed"',
    b'"event":"groups-failed"',
    b'"event":"flows-refused"',
)


@final
class Denials:
    """The foreground of a gateway whose standard output leads to that journal."""

    def __init__(self, reactor: Any, out: TextIO) -> None:
        """
        Prepare; L{start} begins.

        @param out: standard output; must not block.
        """
        self._reactor = reactor
        self._out = out
        self._config = ""
        self._follower: Follower | None = None
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor

    def start(self, gateway: Gateway) -> None:
        """Tell that it is ready, then follow its journal."""
        self._config = gateway.config.file
        places = ", ".join(placesOf(gateway)) or "nothing"
        self._print(
            [f'socksgw "{gateway.config.gateway.name}" is ready: listens on {places}']
        )
        self._follower = Follower(gateway.journal.directory, False)
        self._looking.start(_LOOK, now=False)

    def stop(self) -> None:
        """Print the lines that are left, and stop."""
        if self._looking.running:
            self._looking.stop()
            self.look()

    def look(self) -> None:
        """Print the first new lines, and how many more there are."""
        assert self._follower is not None
        texts: list[str] = []
        left = 0
        while octets := self._poll(self._follower):
            for found in having(octets, *_MARKS):
                if len(texts) >= _READABLE:
                    left += 1
                elif (line := shaped(found)) is not None:
                    # That journal has times of its own.
                    timeless = {k: v for k, v in line.items() if k != "time"}
                    text = humanLine(timeless, False, self._config)
                    texts += [] if text is None else [text]
        if left:
            texts.append(f"… {left:,} more: socksgw audit search --denied")
        self._print(texts)

    def _print(self, texts: list[str]) -> None:
        if texts:
            self._out.write("".join(f"{_NOTICE}{each}\n" for each in texts))
            self._out.flush()

    @staticmethod
    def _poll(follower: Follower) -> bytes:
        try:
            return follower.poll()
        except OSError:
            # Such as too many open files: the next look may succeed.
            return b""
