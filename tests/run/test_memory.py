"""
Arguments in the memory of a process: of this one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

import pytest

from socksgw.run import memory
from socksgw.run.memory import Place
from socksgw.wire.address import Address

ME = os.getpid()
FOUR = Place(socket.AF_INET, Address.parse("192.0.2.1"), 443)
SIX = Place(socket.AF_INET6, Address.parse("2001:db8::1"), 53)
MAPPED = Place(socket.AF_INET6, Address.parse("192.0.2.1"), 7)


def held(octets: bytes) -> tuple[ctypes.Array[ctypes.c_char], int]:
    """A buffer with octets in it, and where it is."""
    buffer = ctypes.create_string_buffer(octets, len(octets))
    return buffer, ctypes.addressof(buffer)


@pytest.mark.parametrize("place", [FOUR, SIX, MAPPED])
def test_addresses(place: Place) -> None:
    """Addresses are read and written as the kernel has them."""
    octets = memory.encoded(place)
    assert len(octets) == (16 if place.family == socket.AF_INET else 28)
    assert memory.addressOf(octets) == place
    assert struct.unpack_from("=H", octets) == (place.family,)
    assert struct.unpack_from("!H", octets, 2) == (place.port,)


def test_noAddresses() -> None:
    """What is short, or of another family, is none of the Internet."""
    unix = struct.pack("=H", socket.AF_UNIX)
    for octets in (
        b"",
        b"\2",
        memory.encoded(FOUR)[:7],
        memory.encoded(SIX)[:23],
        unix,
    ):
        assert memory.addressOf(octets) is None
    assert memory.path(unix + b"/run//nscd/./socket\0rest") == "/run/nscd/socket"
    assert memory.path(memory.encoded(FOUR)) == ""


def test_readAndWrite() -> None:
    """Octets go both ways; where there are none, it is EFAULT."""
    buffer, at = held(b"0123456789")
    assert memory.read(ME, at + 2, 3) == b"234"
    memory.write(ME, at, b"ab")
    assert buffer.raw == b"ab23456789"
    for call in (lambda: memory.read(ME, 8, 4), lambda: memory.write(ME, 8, b"x")):
        with pytest.raises(OSError, match="Bad address") as raised:
            call()
        assert raised.value.errno == errno.EFAULT


def test_writeAddress() -> None:
    """As accept(2): as much as there is room for, and the whole length."""
    buffer, at = held(bytes(28))
    length, lengthAt = held(struct.pack("=i", 8))
    memory.writeAddress(ME, at, lengthAt, FOUR)
    assert buffer.raw == memory.encoded(FOUR)[:8] + bytes(20)
    assert length.raw == struct.pack("=i", 16)
    _, negative = held(struct.pack("=i", -1))
    with pytest.raises(OSError, match="Invalid argument"):
        memory.writeAddress(ME, at, negative, FOUR)


def test_message() -> None:
    """A message's parts are read and filled in their order."""
    parts = [held(b"abc"), held(b"defg")]
    rows, rowsAt = held(b"".join(struct.pack("=QQ", at, len(b)) for b, at in parts))
    name, nameAt = held(bytes(16))
    control = struct.pack("=QiiI4x", 20, 17, 103, 1200)
    kept, controlAt = held(control)
    header = struct.pack(
        "=QI4xQQQQi4x", nameAt, 16, rowsAt, 2, controlAt, len(control), 0
    )
    whole, at = held(header + bytes(8))
    found = memory.message(ME, at)
    assert (found.size, found.octets(ME)) == (7, b"abcdefg")
    assert memory.isSegmented(ME, found)
    assert not memory.isSegmented(ME, found._replace(control=0))
    found.fill(ME, b"ABCDE")
    assert (parts[0][0].raw, parts[1][0].raw) == (b"ABC", b"DEfg")
    found.tell(ME, FOUR, int(socket.MSG_TRUNC))
    assert name.raw == memory.encoded(FOUR)
    again = struct.unpack("=QI4xQQQQi4x", whole.raw[:56])
    assert (again[1], again[5], again[6]) == (16, 0, socket.MSG_TRUNC)
    memory.tellCount(ME, at, 5)
    assert struct.unpack_from("=I", whole.raw, 56) == (5,)
    assert len(kept.raw) == len(control)
    assert len(rows.raw) == 32


def test_messageTooLong() -> None:
    """More parts than the kernel takes are refused before they are read."""
    _, at = held(struct.pack("=QI4xQQQQi4x", 0, 0, 8, 1025, 0, 0, 0))
    with pytest.raises(OSError, match="Message too long"):
        memory.message(ME, at)
