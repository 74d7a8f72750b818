"""
What holds for both sides: any split gives the same, and only L{WireError}
comes out of octets.
"""

from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from socksgw.wire import http, socks4, socks5, userpass
from socksgw.wire.client import ClientConversation
from socksgw.wire.events import Decoded, MethodsOffered, Replied, Requested
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.server import DIALECTS, ServerConversation, spoken
from tests.tools.measuring import allocated
from tests.tools.samples import CLIENTS, LOGIN, SERVERS, call, serve

SPLITS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    """The octets, cut at these places."""
    places = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    return [octets[a:b] for a, b in pairwise(places)]


def single(octets: bytes) -> list[bytes]:
    """The octets one by one."""
    return [octets[i : i + 1] for i in range(len(octets))]


cuts = st.lists(st.integers(0, 2**16), max_size=12)
mutations = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 255), st.sampled_from("=+-")),
    max_size=3,
)


def mutated(octets: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    """The octets with some changed, some put in, some left out."""
    made = bytearray(octets)
    for place, value, kind in changes:
        i = place % (len(made) + 1)
        if kind == "+":
            made.insert(i, value)
        elif i < len(made):
            if kind == "=":
                made[i] = value
            else:
                del made[i]
    return bytes(made)


@pytest.mark.parametrize("name", CLIENTS)
def test_octetByOctetFromClients(name: str) -> None:
    """A client that sends octet by octet is understood as one that does not."""
    octets = CLIENTS[name]
    assert serve(single(octets)) == serve([octets])


@pytest.mark.parametrize(
    ("version", "octets"), [s[1:] for s in SERVERS], ids=[s[0] for s in SERVERS]
)
def test_octetByOctetFromServers(version: int, octets: bytes) -> None:
    """A server that sends octet by octet is understood as one that does not."""
    assert call(version, single(octets)) == call(version, [octets])


@pytest.mark.parametrize("name", CLIENTS)
def test_everyCutInTwo(name: str) -> None:
    """Wherever a client's octets are cut, the events are the same."""
    octets = CLIENTS[name]
    whole = serve([octets])
    for i in range(len(octets) + 1):
        assert serve([octets[:i], octets[i:]]) == whole, i


@SPLITS
@given(st.sampled_from(sorted(CLIENTS)), mutations, st.binary(max_size=40), cuts)
def test_anySplitFromClients(
    name: str, changes: list[tuple[int, int, str]], behind: bytes, cuts: list[int]
) -> None:
    """
    Valid or not, however a client's octets are split: the same events, the
    same error, the same surplus.
    """
    octets = mutated(CLIENTS[name], changes) + behind
    assert serve(pieces(octets, cuts)) == serve([octets])


@SPLITS
@given(st.sampled_from(SERVERS), mutations, st.binary(max_size=40), cuts)
def test_anySplitFromServers(
    server: tuple[str, int, bytes],
    changes: list[tuple[int, int, str]],
    behind: bytes,
    cuts: list[int],
) -> None:
    """
    Valid or not, however a server's octets are split: the same events, the
    same error, the same surplus.
    """
    _, version, valid = server
    octets = mutated(valid, changes) + behind
    assert call(version, pieces(octets, cuts)) == call(version, [octets])


@SPLITS
@given(st.binary(max_size=600), cuts)
@example(b"\x04" + b"\1" * 600, [3])
@example(b"\x05\xff" + b"\2" * 600, [256])
def test_arbitraryFromClients(octets: bytes, cuts: list[int]) -> None:
    """Only L{WireError} comes of octets, whatever they are and however split."""
    whole = serve([octets])
    assert serve(pieces(octets, cuts)) == whole
    if octets and octets[0] not in spoken(DIALECTS):
        assert whole.error is not None
        assert not whole.events


@SPLITS
@given(st.sampled_from([4, 5]), st.binary(max_size=300), cuts)
def test_arbitraryFromServers(version: int, octets: bytes, cuts: list[int]) -> None:
    """Only L{WireError} comes of octets, whatever they are and however split."""
    assert call(version, pieces(octets, cuts)) == call(version, [octets])


def requestingServer() -> ServerConversation:
    conversation = ServerConversation()
    conversation.receive(b"\x05\x01\x00")
    assert isinstance(conversation.next(), MethodsOffered)
    conversation.chooseMethod(0)
    conversation.authenticated()
    return conversation


def loggingInServer() -> ServerConversation:
    conversation = ServerConversation()
    conversation.receive(b"\x05\x01\x02")
    assert isinstance(conversation.next(), MethodsOffered)
    conversation.chooseMethod(2)
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    return conversation


def greetedClient() -> ClientConversation:
    conversation = ClientConversation(5, 1, "a", 1)
    conversation.start()
    return conversation


def loggingInClient() -> ClientConversation:
    conversation = ClientConversation(5, 1, "a", 1, b"\2")
    conversation.start()
    conversation.receive(b"\x05\x02")
    conversation.next()
    conversation.expect(userpass.readStatus, userpass.STATUS_LIMIT)
    return conversation


def requestedClient() -> ClientConversation:
    conversation = greetedClient()
    conversation.receive(b"\x05\x00")
    conversation.next()
    conversation.authenticated()
    return conversation


def requestedClient4() -> ClientConversation:
    conversation = ClientConversation(4, 1, "a", 1)
    conversation.start()
    return conversation


#: Every state in which a message is read, what the message is, and the most
#: octets that may be held for it.
READING: dict[str, tuple[Any, tuple[type, ...], int]] = {
    "first": (ServerConversation, (MethodsOffered, Requested), http.HEAD_LIMIT),
    "login": (loggingInServer, (Decoded,), userpass.REQUEST_LIMIT),
    "request": (requestingServer, (Requested,), socks5.REQUEST_LIMIT),
    "selection": (greetedClient, (tuple,), socks5.SELECTION_LIMIT),
    "status": (loggingInClient, (Decoded,), userpass.STATUS_LIMIT),
    "reply": (requestedClient, (Replied,), socks5.REQUEST_LIMIT),
    "reply of SOCKS 4": (requestedClient4, (Replied,), socks4.REPLY_LIMIT),
}
#: Good beginnings, so that what follows is read far enough.
BEGINNINGS = [b"", b"\x04\1\0\1\0\0\0\1", b"\x05", b"\x05\1\0\3", b"\1", LOGIN[:3]]


@pytest.mark.parametrize("state", READING)
@SPLITS
@given(
    st.sampled_from(BEGINNINGS),
    st.one_of(st.binary(max_size=600), st.integers(0, 255).map(lambda o: bytes((o,)) * 600)),
)  # fmt: skip
def test_everyReadingState(state: str, beginning: bytes, rest: bytes) -> None:
    """
    In every state that reads: the message of this state, or L{WireError}, or
    more is wanted, and then less than its limit is held.
    """
    make, expected, limit = READING[state]
    conversation = make()
    octets = beginning + rest
    conversation.receive(octets)
    try:
        event = conversation.next()
    except WireError:
        assert conversation.failed
        assert conversation.next() is None
        return
    if event is None:
        assert conversation.held == len(octets) < limit
    else:
        assert isinstance(event, expected)
        assert conversation.held >= len(octets) - limit


def test_decoderOfAnotherReadsTheStart() -> None:
    """A decoder always begins at the start of its message, never in between."""
    seen: list[bytes] = []

    def decode(reader: Reader) -> bytes:
        seen.append(bytes(reader.octets[reader.position :]))
        return reader.take(3)

    conversation = ServerConversation()
    conversation.receive(b"\x05\x01\x80a")
    conversation.next()
    conversation.chooseMethod(0x80)
    conversation.expect(decode, 3)
    for octets in (b"b", b"c", b""):
        conversation.next()
        conversation.receive(octets)
    assert seen == [b"a", b"ab", b"abc"]


def test_anOctetMoreCopiesNothingOfWhatIsHeld() -> None:
    """What trickles in costs by its octets, not by their square."""
    conversation = ServerConversation()
    conversation.receive(b"\5\1\0" + bytes(60_000))
    assert isinstance(conversation.next(), MethodsOffered)
    costs = [allocated(lambda: conversation.receive(b"x")) for _ in range(5)]
    assert min(costs) < 10_000


def test_whatIsConsumedIsOverwritten() -> None:
    """
    A message may hold a password: neither the buffer of a conversation that
    goes on nor that of one that is over has it any longer.
    """
    password = b"correct horse battery"
    conversation = ServerConversation()
    conversation.receive(b"\5\1\2" + userpass.encodeRequest(b"alice", password))
    conversation.next()
    conversation.chooseMethod(2)
    buffer = conversation._buffer
    start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    size = len(buffer)
    assert password in ctypes.string_at(start, size)
    conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
    assert conversation.next() is not None
    assert password not in ctypes.string_at(start, size)
    conversation.receive(password)
    start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    conversation.drop()
    assert conversation.held == 0
    assert password not in ctypes.string_at(start, len(password))
