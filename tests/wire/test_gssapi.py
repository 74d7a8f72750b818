"""
GSSAPI's messages, octet by octet as RFC 1961 has them.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.wire.gssapi import (
    ABORT,
    LONGEST,
    MESSAGE_LIMIT,
    Aborted,
    Level,
    MessageType,
    Tokens,
    encode,
    readAuthentication,
    readData,
    readLevel,
)
from socksgw.wire.reader import NeedMoreData, Reader, WireError

READ: dict[MessageType, Callable[[Reader], bytes]] = {
    MessageType.AUTHENTICATION: readAuthentication,
    MessageType.LEVEL: readLevel,
    MessageType.DATA: readData,
}

#: Twelve messages, drawn as the RFC draws them: ver, mtyp, len, token.
VECTORS = [
    # 3.4: the client's first token.
    ("01 01 0003 616263", MessageType.AUTHENTICATION, b"abc"),
    # 3.7: the server's, in the same way.
    ("01 01 0001 ff", MessageType.AUTHENTICATION, b"\xff"),
    # 3.6: the server has no token to send.
    ("01 01 0000", MessageType.AUTHENTICATION, b""),
    ("01 01 0100" + "61" * 256, MessageType.AUTHENTICATION, b"a" * 256),
    # 3.4: "up to 2^16 - 1 octets".
    ("01 01 ffff" + "00" * 65535, MessageType.AUTHENTICATION, bytes(65535)),
    # 4.3: the level, encapsulated.
    ("01 02 0002 0102", MessageType.LEVEL, b"\1\2"),
    # NEC's way: the level as it stands.
    ("01 02 0001 01", MessageType.LEVEL, bytes((Level.INTEGRITY,))),
    ("01 02 0001 02", MessageType.LEVEL, bytes((Level.CONFIDENTIALITY,))),
    ("01 02 0001 03", MessageType.LEVEL, bytes((Level.SELECTIVE,))),
    # 5: user data.
    ("01 03 0004 01030001", MessageType.DATA, b"\1\3\0\1"),
    ("01 03 0001 00", MessageType.DATA, b"\0"),
    ("01 03 ffff" + "ff" * 65535, MessageType.DATA, b"\xff" * 65535),
]


@pytest.mark.parametrize(("octets", "kind", "token"), VECTORS)
def test_vectors(octets: str, kind: MessageType, token: bytes) -> None:
    """Read and written; with other octets behind, only the message is taken."""
    message = bytes.fromhex(octets)
    assert encode(kind, token) == message
    reader = Reader(message + b"\1\3")
    assert READ[kind](reader) == token
    assert reader.position == len(message) <= MESSAGE_LIMIT
    for cut in {0, 1, 2, 3, len(message) - 1}:
        with pytest.raises(NeedMoreData):
            READ[kind](Reader(message[:cut]))
    for other in set(READ) - {kind}:
        with pytest.raises(WireError):
            READ[other](Reader(message))


def test_abort() -> None:
    """Section 3.8: two octets, no length, in place of any message."""
    assert bytes.fromhex("01 ff") == ABORT
    for read in READ.values():
        with pytest.raises(Aborted):
            read(Reader(ABORT))
    with pytest.raises(WireError):
        Tokens().receive(ABORT)


@pytest.mark.parametrize(
    "octets", [b"\0\1", b"\2\1", b"\5\1", b"\1\0", b"\1\4", b"\1\xfe"]
)
def test_notOurs(octets: bytes) -> None:
    """
    Another version (2 is the revision's, which has no deployment), or a type
    that there is not: seen before the length has come.
    """
    for read in READ.values():
        with pytest.raises(WireError):
            read(Reader(octets))
    with pytest.raises(WireError):
        Tokens().receive(octets)


def test_tooLong() -> None:
    """Section 3.4: LEN has two octets."""
    with pytest.raises(ValueError, match="65536"):
        encode(MessageType.DATA, bytes(LONGEST + 1))


def test_levels() -> None:
    """Section 4.2; 0 is none of the RFC's."""
    assert [level.value for level in Level] == [0, 1, 2, 3]


@given(st.sampled_from(sorted(READ)), st.binary(max_size=300))
def test_identity(kind: MessageType, token: bytes) -> None:
    """What is written is what is read."""
    assert READ[kind](Reader(encode(kind, token))) == token


STREAM = [b"", b"\1\3", b"a" * 300, b"\1\3\0\1x", b"z"]


def test_everySplit() -> None:
    """A stream's tokens are the same wherever it is cut in two, or in all places."""
    octets = b"".join(encode(MessageType.DATA, token) for token in STREAM)
    for cut in range(len(octets) + 1):
        tokens = Tokens()
        found = tokens.receive(octets[:cut]) + tokens.receive(octets[cut:])
        assert found == STREAM
        assert tokens.held == 0
    tokens, found = Tokens(), []
    for i in range(len(octets)):
        found += tokens.receive(octets[i : i + 1])
    assert found == STREAM


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 400)))
def test_anySplit(stream: list[bytes], cuts: list[int]) -> None:
    """The same for any number of cuts."""
    octets = b"".join(encode(MessageType.DATA, token) for token in stream)
    tokens, found, start = Tokens(), [], 0
    for cut in [*sorted(c for c in cuts if c < len(octets)), len(octets)]:
        found += tokens.receive(octets[start:cut])
        start = cut
    assert found == stream


def test_held() -> None:
    """No more than one message that is not whole is kept."""
    tokens = Tokens()
    message = encode(MessageType.DATA, bytes(LONGEST))
    for start in range(0, len(message) - 1, 1000):
        assert (
            tokens.receive(message[start : start + 1000][: MESSAGE_LIMIT - 1 - start])
            == []
        )
        assert tokens.held < MESSAGE_LIMIT
    assert tokens.receive(message[-1:] + message) == [bytes(LONGEST)] * 2
    assert tokens.held == 0


def test_garbage() -> None:
    """Twenty thousand: a token, more octets wanted, or an error; nothing else."""
    chance = random.Random(1961)
    kinds = [0, 0, 0]
    for _ in range(20_000):
        octets = bytearray(chance.randbytes(chance.randrange(12)))
        if chance.random() < 0.7:
            octets[:4] = bytes((1, chance.choice((1, 2, 3, 4)), 0, chance.randrange(9)))
        for read in READ.values():
            try:
                token = read(Reader(bytes(octets)))
            except NeedMoreData:
                kinds[0] += 1
            except WireError:
                kinds[1] += 1
            else:
                kinds[2] += 1
                assert len(token) <= len(octets) - 4
        try:
            Tokens().receive(bytes(octets))
        except WireError:
            kinds[1] += 1
    assert min(kinds) > 1000
