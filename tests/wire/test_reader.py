"""
The cursor over received octets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from socksgw.wire.reader import NeedMoreData, Reader, WireError


def test_numbersAreInNetworkOrder() -> None:
    """Octets, then numbers with the high octet first (RFC 1928 section 4)."""
    reader = Reader(b"\x01\x00\x50\xff\xfe\x61\x62")
    assert reader.u8() == 1
    assert reader.u16() == 80
    assert reader.u16() == 0xFFFE
    assert reader.take(2) == b"ab"
    assert reader.position == 7


@pytest.mark.parametrize(
    "read",
    [
        Reader.u8,
        Reader.u16,
        lambda reader: reader.take(1),
        lambda reader: reader.until(0, 3, "it"),
    ],
    ids=["u8", "u16", "take", "until"],
)
def test_end(read: Callable[[Reader], Any]) -> None:
    """At the end more is wanted, and nothing is consumed."""
    reader = Reader(b"ab", 2)
    with pytest.raises(NeedMoreData):
        read(reader)
    assert reader.position == 2


def test_takeNothing() -> None:
    """No octets can be taken at the very end."""
    assert Reader(b"").take(0) == b""


@pytest.mark.parametrize(
    ("octets", "found"),
    [(b"\0", b""), (b"abc\0", b"abc"), (b"abc\0\0", b"abc"), (b"a\0bc\0", b"a")],
)
def test_until(octets: bytes, found: bytes) -> None:
    """Everything before the delimiter, which is consumed too."""
    reader = Reader(octets)
    assert reader.until(0, 3, "it") == found
    assert reader.position == len(found) + 1


@pytest.mark.parametrize("octets", [b"", b"a", b"abc"])
def test_untilNeedsMore(octets: bytes) -> None:
    """The delimiter may still come within the limit."""
    with pytest.raises(NeedMoreData):
        Reader(octets).until(0, 3, "it")


@pytest.mark.parametrize("octets", [b"abcd", b"abcd\0", b"abcdefgh\0"])
def test_untilTooLong(octets: bytes) -> None:
    """More octets than the limit are an error, whether the delimiter came or not."""
    with pytest.raises(WireError, match="it is longer than 3 octets"):
        Reader(octets).until(0, 3, "it")
