"""
Buffers of SASL's security layer (RFC 4422 section 3.7), by a context that shows what
it is given.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from socksgw.login.stores.ldaplayer import RECEIVES, Layer, LayerBroken, Layered


class Token(NamedTuple):
    """As of gssapi."""

    message: bytes
    encrypted: bool = True


class Context:
    """Puts one octet before each message: whether it is encrypted."""

    def wrap(self, message: bytes, encrypt: bool) -> Token:
        return Token(bytes((encrypt,)) + message)

    def unwrap(self, message: bytes) -> Token:
        if message[:1] not in (b"\0", b"\1"):
            raise RuntimeError
        return Token(message[1:], message[:1] == b"\1")

    def get_wrap_size_limit(self, desired_output_size: int, encrypted: bool) -> int:
        return desired_output_size - 1


def test_buffers() -> None:
    """Long messages go in several buffers, and come however they are cut."""
    layer = Layer(Context(), True, 4)
    octets = layer.wrapped(b"abcdefg")
    assert octets == b"\0\0\0\4\1abc\0\0\0\4\1def\0\0\0\2\1g"
    for size in (1, 3, len(octets)):
        receiving = Layer(Context(), True, 4)
        pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
        came = [each for piece in pieces for each in receiving.unwrapped(piece)]
        assert came == [b"abc", b"def", b"g"]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ((RECEIVES + 1).to_bytes(4), "a buffer of"),
        (b"\0\0\0\2\x07x", "changed on the way"),
        (b"\0\0\0\2\0x", "not encrypted"),
    ],
)
def test_broken(octets: bytes, why: str) -> None:
    """What is not as was agreed is not taken."""
    with pytest.raises(LayerBroken, match=why):
        list(Layer(Context(), True, 100).unwrapped(octets))


def test_integrity() -> None:
    """Where nothing is encrypted, nothing has to be."""
    layer = Layer(Context(), False, 100)
    assert layer.wrapped(b"x") == b"\0\0\0\2\0x"
    assert list(layer.unwrapped(b"\0\0\0\2\0y")) == [b"y"]


def test_transport() -> None:
    """What is written is protected; all else is the transport's."""

    class Transport:
        name = "below"

        def __init__(self) -> None:
            self.written = b""

        def write(self, octets: bytes) -> None:
            self.written += octets

    below = Transport()
    layered = Layered(below, Layer(Context(), True, 100))
    layered.write(b"x")
    assert (below.written, layered.name) == (b"\0\0\0\2\1x", "below")
