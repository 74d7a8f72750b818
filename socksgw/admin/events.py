"""
The journal's lines as they are written, for those who listen.

The journal's files are looked at only while somebody does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, Final, final

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from socksgw.admin.table import Refused
from socksgw.audit.follower import Follower
from socksgw.gateway.gateway import Gateway
from socksgw.system.upkeep import Upkeep

__all__ = ["EVENTS", "Events"]

_log = Logger()

#: What may be listened to.
EVENTS: Final = (
    "decision", "end", "refused", "login-failed", "denials", "refusals", "flow",
    "flow-end", "admin", "reloaded", "reload-failed", "upstream", "grant", "sink",
    "worker",
)  # fmt: skip
#: Seconds between two looks at the journal, and looks after which a client is told
#: that there is nothing: where it has gone, that is seen then.
_LOOK: Final = 0.5
_QUIET: Final = 30
#: Those who listen, and lines of one look that each is sent; people cannot read more.
_MOST: Final = 16
_LINES: Final = 200
_LINE: Final = re.compile(
    rb'^\{"v":1,"n":([0-9]+),"time":"[^"]*","event":"([a-z-]+)"[^\n]*$', re.MULTILINE
)

Write = Callable[[bytes], bool]


@final
class Events:
    """
    Those who listen.

    @ivar dropped: how many were cut off since they did not read.
    """

    def __init__(self, gateway: Gateway, reactor: Any) -> None:
        self._gateway = gateway
        self._listeners: dict[Write, frozenset[bytes]] = {}
        self._follower: Follower | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor
        self._upkeep = Upkeep()
        self._quiet = 0
        self.dropped = 0

    def join(self, write: Write, kinds: Collection[str]) -> Callable[[], None]:
        """
        Tell somebody of lines from now on.

        @param write: takes a piece of a stream, and returns whether there is room for
            more; where not, nothing more is told.
        @param kinds: the events that are told; none for all of L{EVENTS}.
        @return: call it when nobody listens any more.
        """
        wanted = frozenset(each.encode() for each in kinds or EVENTS)
        self._listeners[write] = wanted
        if not self._looking.running:
            self._follower = None
            self._upkeep.do("the journal for those who listen", self._begin)
            self._looking.start(_LOOK, now=False)
        if not write(b"retry: 3000\n\n"):
            self._leave(write)
        return lambda: self._leave(write)

    def room(self) -> None:
        """
        See that one more may listen.

        @raise Refused: there are as many as may.
        """
        if len(self._listeners) >= _MOST:
            raise Refused(429, f"{_MOST} listen already")

    def _leave(self, write: Write) -> None:
        self._listeners.pop(write, None)
        if not self._listeners and self._looking.running:
            self._looking.stop()
            self._follower = None

    def _begin(self) -> None:
        self._follower = Follower(self._gateway.journal.directory, False)

    def _look(self) -> None:
        self._upkeep.do("the journal for those who listen", self._pass)

    def _pass(self) -> None:
        if self._follower is None:
            self._begin()
        assert self._follower is not None
        octets = self._follower.poll()
        self._quiet = 0 if octets else self._quiet + 1
        if octets:
            lines = [(m[2], m[1], m[0]) for m in _LINE.finditer(octets)]
            for write, wanted in list(self._listeners.items()):
                self._tell(write, _framed(lines, wanted))
        elif self._quiet >= _QUIET:
            self._quiet = 0
            for write in list(self._listeners):
                self._tell(write, b":\n\n")

    def _tell(self, write: Write, piece: bytes) -> None:
        if piece and not write(piece):
            self.dropped += 1
            self._leave(write)


def _framed(
    lines: Collection[tuple[bytes, bytes, bytes]], wanted: frozenset[bytes]
) -> bytes:
    """
    Return lines as a stream of events has them (HTML Living Standard, 9.2).

    @param lines: the event, the number and the octets of each.
    """
    chosen = [each for each in lines if each[0] in wanted]
    left = len(chosen) - _LINES
    pieces = [
        b"event: %b\nid: %b\ndata: %b\n\n" % each
        for each in (chosen[-_LINES:] if left > 0 else chosen)
    ]
    if left > 0:
        pieces.insert(0, b'event: skipped\ndata: {"lines":%d}\n\n' % left)
    return b"".join(pieces)
