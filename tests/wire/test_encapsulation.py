"""
The octets that a login by GSSAPI protects, with the stub mechanism.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socksgw.wire.encapsulation import Encapsulation
from socksgw.wire.gssapi import LONGEST, Level, MessageType, Tokens, encode
from socksgw.wire.reader import WireError
from tests.fakes.gssapi import established


@pytest.mark.parametrize("secret", [True, False])
def test_bitFlips(secret: bool) -> None:
    """Of 10,000 tokens with one bit changed not one gives an octet."""
    level = Level.CONFIDENTIALITY if secret else Level.INTEGRITY
    client, context = established()
    protection = Encapsulation(context, level)
    chance = random.Random(1961)
    for n in range(5_000):
        message = bytearray(
            encode(MessageType.DATA, client.wrap(b"x" * (n % 50), secret))
        )
        bit = chance.randrange(32, 8 * len(message))
        message[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            protection.unwrap(bytes(message))
        protection._tokens = Tokens()
    assert (
        protection.unwrap(encode(MessageType.DATA, client.wrap(b"good", secret)))
        == b"good"
    )


@given(
    st.binary(max_size=200_000),
    st.sampled_from([Level.INTEGRITY, Level.CONFIDENTIALITY]),
)
@settings(max_examples=30)
def test_chunks(octets: bytes, level: Level) -> None:
    """However much is sent, each token fits its length field."""
    client, context = established()
    wrapped = Encapsulation(context, level).wrap(octets)
    tokens = Tokens().receive(wrapped)
    assert all(len(token) <= LONGEST for token in tokens)
    assert b"".join(client.unwrap(token)[0] for token in tokens) == octets


@pytest.mark.parametrize("size", [LONGEST, 3 * LONGEST])
def test_longChunks(size: int) -> None:
    """Tokens are as long as they can be."""
    _, context = established()
    protection = Encapsulation(context, Level.CONFIDENTIALITY)
    tokens = Tokens().receive(protection.wrap(bytes(size)))
    assert {len(token) for token in tokens[:-1]} == {LONGEST}


def test_datagrams() -> None:
    """
    Section 5: one datagram, one message. A lost one, and another order, do
    no harm; what comes again, or with more or less than its message, does not
    count.
    """
    client, context = established()
    protection = Encapsulation(context, Level.CONFIDENTIALITY)
    messages = [
        encode(MessageType.DATA, client.wrap(b"%d" % n, True)) for n in range(5)
    ]
    for n in (0, 3, 1, 4):
        assert protection.unwrapDatagram(messages[n]) == b"%d" % n
    for broken in (
        messages[0],
        messages[2][:-1],
        messages[2] + b"x",
        messages[2][:3],
        b"",
        b"\0\0\0\1\x7f\0\0\1\0\x35x",
        encode(MessageType.DATA, client.wrap(b"x", False)),
    ):
        with pytest.raises(WireError):
            protection.unwrapDatagram(broken)
    reply = Tokens().receive(protection.wrapDatagram(b"reply"))
    assert [client.unwrap(token) for token in reply] == [(b"reply", True)]
    with pytest.raises(ValueError, match="octets"):
        protection.wrapDatagram(bytes(LONGEST))
