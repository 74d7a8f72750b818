"""
Messages read at one look, against the conversation that reads them octet by octet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from socksgw.wire import socks5, userpass, whole
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.reader import NeedMoreData, Reader, WireError

#: Few values, so that what is almost a message is met often.
OCTETS: Final = st.lists(
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 97, 127, 255]), max_size=40
).map(bytes) | st.binary(max_size=600)
HOSTS: Final = (
    st.binary(min_size=4, max_size=4).map(Address)
    | st.binary(min_size=16, max_size=16).map(Address)
    | st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,20}){0,3}", fullmatch=True)
)
REQUESTS: Final = st.builds(
    socks5.encodeRequest, st.integers(0, 255), HOSTS, st.integers(0, 0xFFFF)
)
FIELDS: Final = st.binary(min_size=1, max_size=255)
LOGINS: Final = st.builds(userpass.encodeRequest, FIELDS, FIELDS)
GREETINGS: Final = st.builds(socks5.encodeMethods, FIELDS)


def read(decode: Callable[[Reader], Any], octets: bytes) -> tuple[Any, int] | None:
    """What a decoder reads, and of how many octets; None where that is nothing."""
    reader = Reader(octets)
    try:
        return decode(reader), reader.position
    except (NeedMoreData, WireError):
        return None


@given(GREETINGS | OCTETS, OCTETS)
@example(b"\5\0", b"")
def test_methods(octets: bytes, behind: bytes) -> None:
    octets += behind
    message = whole.methods(memoryview(octets))
    expected = read(socks5.readMethods, octets)
    if expected is None:
        assert message is None
    else:
        assert message == octets[: expected[1]]
        assert message[2:] == expected[0].methods


@given(LOGINS | OCTETS, OCTETS)
@example(b"\1\0\0", b"")
def test_login(octets: bytes, behind: bytes) -> None:
    octets += behind
    expected = read(userpass.readRequest, octets)
    found = whole.login(memoryview(octets))
    assert found == (None if expected is None else (*expected[0], expected[1]))


@given(REQUESTS | OCTETS, OCTETS)
@example(socks5.encodeRequest(1, Address(bytes(10) + b"\xff\xff\x7f\0\0\1"), 80), b"")
@example(b"\5\1\0\4" + bytes(10) + b"\xff\xff\x7f\0\0\1\0\x50", b"")
@example(b"\5\1\0\3\0\0\x50", b"")
@example(b"\5\1\0\3\x09[::1].foo\0\x50", b"")
def test_request(octets: bytes, behind: bytes) -> None:
    octets += behind
    expected = read(socks5.readRequest, octets)
    found = whole.request(memoryview(octets))
    if expected is None:
        assert found is None
    else:
        event, end = expected
        assert found == (event.command, event.host, event.port, event.asked, end)


@given(HOSTS.filter(lambda host: isinstance(host, Address)), st.integers(0, 0xFFFF))
def test_succeeded(address: Address, port: int) -> None:
    assert whole.succeeded(address, port) == socks5.encodeReply(
        Reply.SUCCEEDED, address, port
    )
