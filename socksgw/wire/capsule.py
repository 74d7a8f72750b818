"""
Capsules (RFC 9297 section 3.2), and the datagrams of UDP in HTTP in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from socksgw.wire.reader import NeedMoreData, WireError

__all__ = ["MOST", "Capsules", "encodeDatagram", "encodeInteger"]

#: The most octets of a datagram's payload (RFC 9298 section 5).
MOST: Final = 65527
#: The type of a capsule that holds a datagram (RFC 9297 section 3.5).
_DATAGRAM: Final = 0
#: The context of datagrams of UDP (RFC 9298 section 4).
_UDP: Final = 0
#: The two highest bits of an integer's first octet tell how many octets it has: 1, 2,
#: 4 or 8 (RFC 9000 section 16).
_SHIFT: Final = 6
#: The integers that 1, 2 and 4 octets do not hold any more.
_FIT: Final = (1 << 6, 1 << 14, 1 << 30)
_LARGEST: Final = (1 << 62) - 1


def encodeInteger(number: int) -> bytes:
    """
    Return an integer in as few octets as it takes (RFC 9000 section 16).

    @raise ValueError: it takes more than 62 bits, or is negative.
    """
    if not 0 <= number <= _LARGEST:
        raise ValueError("an integer has 62 bits, at most")
    power = sum(number >= most for most in _FIT)
    octets = 1 << power
    return (number | power << (8 * octets - 2)).to_bytes(octets, "big")


def _integer(octets: bytearray, at: int) -> tuple[int, int]:
    """
    Read an integer, which may have more octets than it takes.

    @param at: where it begins.
    @return: the integer, and where it ends.
    @raise NeedMoreData: it is not whole.
    """
    if at >= len(octets):
        raise NeedMoreData
    end = at + (1 << (octets[at] >> _SHIFT))
    if end > len(octets):
        raise NeedMoreData
    number = int.from_bytes(octets[at:end], "big")
    return number & ((1 << (8 * (end - at) - 2)) - 1), end


def encodeDatagram(payload: bytes) -> bytes:
    """Return the capsule of a datagram of UDP."""
    return b"\0" + encodeInteger(1 + len(payload)) + b"\0" + payload


@final
class Capsules:
    """
    Read the stream of capsules of one client.

    What is of no use is skipped, and never held: capsules of other types, and
    datagrams of other contexts.
    """

    __slots__ = ("_held", "_skipped")

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipped = 0

    @property
    def midway(self) -> bool:
        """Whether the last capsule is not whole."""
        return bool(self._held or self._skipped)

    def receive(self, data: bytes | memoryview) -> Iterator[bytes]:
        """
        Take octets, cut anywhere.

        @return: the payloads of the datagrams of UDP that are whole now. All of them
            have to be taken.
        @raise WireError: the stream cannot be followed any further.
        """
        held = self._held
        held += data
        at = 0
        try:
            while at < len(held):
                if self._skipped:
                    skipped = min(self._skipped, len(held) - at)
                    self._skipped -= skipped
                    at += skipped
                    continue
                kind, start = _integer(held, at)
                length, start = _integer(held, start)
                end = start + length
                if kind == _DATAGRAM:
                    context, start = self._context(start, end)
                    if context == _UDP:
                        if end - start > MOST:
                            raise WireError(f"a datagram of more than {MOST} octets")
                        if end > len(held):
                            break
                        at = end
                        yield bytes(held[start:end])
                        continue
                at, self._skipped = start, end - start
        except NeedMoreData:
            pass
        finally:
            del held[:at]

    def _context(self, start: int, end: int) -> tuple[int, int]:
        """
        Read the context of a datagram.

        @param end: of the datagram.
        @return: the context, and where it ends.
        @raise NeedMoreData: it is not whole.
        @raise WireError: the datagram is shorter.
        """
        held = self._held
        if start == end or (
            start < len(held) and start + (1 << (held[start] >> _SHIFT)) > end
        ):
            raise WireError("a datagram without a whole context")
        return _integer(held, start)
