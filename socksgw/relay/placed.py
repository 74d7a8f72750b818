"""
Runs of datagrams that are read to where they leave from.

Where only one sender's datagrams can come, nobody has to ask whose each is. The
places of a run (L{socksgw.relay.segments}) are prepared: readv(2) puts the header of
RFC 1928 section 7 aside, or leaves room for it, and each payload behind the one before.
A datagram costs two calls less than where its sender is told.
"""

from __future__ import annotations

from os import readv
from typing import Any, Final, final

from socksgw.relay.segments import BATCH, RUN
from socksgw.wire.datagram import HEADROOM

__all__ = [
    "ANSWERS",
    "ASKED",
    "LAST",
    "MORE",
    "Places",
    "answersOf",
    "askedOf",
    "stamp",
]

#: What L{Places.fill} returns in the place of a length: there is nothing more to
#: read,
LAST: Final = -1
#: or there may be.
MORE: Final = -2

#: Where what clients send is read: any datagram at the beginning.
ASKED: Final = bytearray(RUN + HEADROOM + (1 << 16))
_ASKED: Final = memoryview(ASKED)
#: Where what destinations send is read, behind headers.
ANSWERS: Final = bytearray(RUN + HEADROOM + (1 << 16))
_ANSWERS: Final = memoryview(ANSWERS)
#: The most kinds of runs whose places are kept, each way.
_KINDS: Final = 64
#: How many places are prepared at first; more when they are not enough.
_FEW: Final = 3


@final
class Places:
    """
    The places of all but the first datagram of a run.

    @ivar header: where headers are put aside; empty where there are none.
    @ivar first: what the first one is read to, which is read before anything is known.
    """

    __slots__ = ("_first", "_next", "_places", "_size", "_step", "_view", "header")

    def __init__(self, view: memoryview, first: int, step: int, size: int, header: int):
        """
        Prepare a few places.

        @param view: of the buffer.
        @param first: where the second payload begins in it.
        @param step: octets from one to the next.
        @param size: octets that the kernel tells of each.
        @param header: octets to put aside of each.
        """
        self._view = view
        self._first = self._next = first
        self._step = step
        self._size = size
        self.header = bytearray(header)
        self._places: list[tuple[Any, ...]] = []
        self._more(_FEW)

    def _more(self, count: int) -> None:
        """Prepare more places, up to the most that are sent together."""
        for _ in range(count):
            ends = self._next + self._step
            if len(self._places) + 1 >= BATCH or ends > RUN:
                return
            # A longer one is taken whole, wherever it comes.
            into = self._view[self._next :]
            self._places.append((self.header, into) if self.header else (into,))
            self._next = ends

    def fill(self, fd: int, header: bytes) -> tuple[int, int]:
        """
        Read what follows the first datagram, while each is as long.

        @param header: that each one has to have.
        @return: how many, and the length of the one behind them; or L{LAST}, or
            L{MORE}.
        """
        own, size, count = self.header, self._size, 0
        for place in self._places:
            try:
                came = readv(fd, place)
            except OSError:
                # There is no more; or ICMP tells of something that was sent.
                return count, LAST
            if came != size or own != header:
                if came > size:
                    # It lies over what was behind its place.
                    _stamped.count = 0
                return count, came
            count += 1
        self._more(count)
        return count, MORE


_asked: Final[dict[tuple[int, int], Places]] = {}
_answers: Final[dict[tuple[int, int], Places]] = {}


def askedOf(head: int, size: int) -> Places:
    """
    Return the places of what a client sends, in L{ASKED}.

    @param head: octets of the header of each.
    @param size: octets of each with it, more than those.
    """
    places = _asked.get((head, size))
    if places is None:
        if len(_asked) >= _KINDS:
            _asked.clear()
        places = Places(_ASKED, size, size - head, size, head)
        _asked[head, size] = places
    return places


def answersOf(head: int, size: int) -> Places:
    """
    Return the places of what a destination sends, in L{ANSWERS}.

    @param head: octets that are left for the header of each.
    @param size: octets of each with it.
    """
    places = _answers.get((head, size))
    if places is None:
        if len(_answers) >= _KINDS:
            _answers.clear()
        places = _answers[head, size] = Places(
            _ANSWERS, size + head, size, size - head, 0
        )
    return places


@final
class _Stamped:
    """
    The headers that are in L{ANSWERS}: they stay until others are wanted.
    """

    __slots__ = ("count", "header", "size")

    def __init__(self) -> None:
        self.header = b""
        self.size = self.count = 0


_stamped: Final = _Stamped()


def stamp(header: bytes, size: int, count: int) -> None:
    """
    Have each of some datagrams in L{ANSWERS} begin with a header.

    @param size: octets of each with it.
    """
    stamped = _stamped
    if header != stamped.header or size != stamped.size:
        stamped.header, stamped.size, stamped.count = header, size, 0
    if count > stamped.count:
        head = len(header)
        for at in range(stamped.count * size, count * size, size):
            ANSWERS[at : at + head] = header
        stamped.count = count
