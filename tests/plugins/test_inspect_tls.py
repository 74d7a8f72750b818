"""
ClientHellos (RFC 8446 section 4.1.2), and what only looks like them.
"""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding
from socksgw.plugins.inspect_tls import inspector
from tests.tools.looking import lookedAt, split


def extension(kind: int, body: bytes) -> bytes:
    """RFC 8446 section 4.2."""
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


def named(name: bytes, kind: int = 0) -> bytes:
    """RFC 6066 section 3."""
    entry = bytes([kind]) + len(name).to_bytes(2, "big") + name
    return extension(0, len(entry).to_bytes(2, "big") + entry)


def alpn(*names: bytes) -> bytes:
    """RFC 7301 section 3.1."""
    body = b"".join(bytes([len(each)]) + each for each in names)
    return extension(16, len(body).to_bytes(2, "big") + body)


#: RFC 9849 section 5: outer, a cipher suite, a config id, enc, payload.
ECH = extension(0xFE0D, b"\0\0\1\0\1\x2a\0\x02ab\0\x03xyz")


def message(extensions: bytes | None) -> bytes:
    """A ClientHello."""
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + b"\0\2\x13\x01" + b"\1\0"
    if extensions is not None:
        body += len(extensions).to_bytes(2, "big") + extensions
    return b"\1" + len(body).to_bytes(3, "big") + body


def records(octets: bytes, size: int = 1 << 14) -> bytes:
    """RFC 8446 section 5.1."""
    return b"".join(
        b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
        for part in (octets[i : i + size] for i in range(0, len(octets), size))
    )


def found(octets: bytes) -> Finding | int:
    return lookedAt(inspector, [octets])


def ofPython(name: str) -> bytes:
    """The hello of the ssl module's library, made now."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def test_theNameAndTheProtocols() -> None:
    """Server name and ALPN, whatever else there is; the name in normal form."""
    hello = records(message(extension(43, b"\2\3\4") + named(b"WWW.Example.") + ECH))
    assert found(hello) == Finding("tls", "www.example", outer=True)
    hello = records(message(alpn(b"h2", b"http/1.1", b"\xff\n") + named(b"a.b")))
    assert found(hello) == Finding("tls", "a.b", alpn=("h2", "http/1.1", "??"))
    assert found(records(message(named(b"2001:db8::1")))) == Finding(
        "tls", "2001:db8::1"
    )


@pytest.mark.parametrize("extensions", [None, b"", extension(43, b"\2\3\4")])
def test_noName(extensions: bytes | None) -> None:
    """A hello without a name, without extensions, and of SSL 3."""
    assert found(records(message(extensions))) == Finding("tls")


def test_theFormatOfSSL2() -> None:
    """RFC 5246 appendix E.2: it is TLS, and has no name."""
    hello = b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + bytes(37)
    assert found(hello) == Finding("tls")
    assert found(b"\x80\x2e\1\0\2") == NOT_MINE


MANY = message(named(b"www.example") + alpn(b"h2") + extension(51, bytes(1300)))


@given(st.integers(1, 2000), st.lists(st.integers(0, 20000), max_size=6))
def test_anyRecordsAndSegments(size: int, cuts: list[int]) -> None:
    """It is found in records and segments of any size."""
    octets = records(MANY, size)
    assert lookedAt(inspector, split(octets, cuts)) == Finding(
        "tls", "www.example", alpn=("h2",)
    )


def test_eachPrefixWantsMore() -> None:
    """No finding before the hello is whole; then behind octets change nothing."""
    octets = records(MANY, 700)
    for end in range(1, len(octets)):
        assert isinstance(found(octets[:end]), int), end
        assert found(octets[:end]) not in (MALFORMED, NOT_MINE)
    assert found(octets + b"\x17\x03\x03\0\1x") == found(octets)


@pytest.mark.parametrize(
    "hello",
    [
        records(message(named(b"a.example") + named(b"b.example"))),
        records(message(extension(0, b"\0\0"))),
        records(message(extension(0, b""))),
        records(message(named(b"a\0b"))),
        records(message(named(b""))),
        records(message(named(b"a.example", kind=1))),
        records(message(extension(0, b"\0\x08\0\0\1a\0\0\1b"))),
        records(message(alpn(b""))),
        records(message(extension(16, b"\0\4\2h2"))),
        records(message(named(b"a.example"))[:-3] + b"\xff\xff\xff"),
        records(message(b"\0\0\xff\xff")),
        records(message(b"")[:-1] + b"\x07"),
        records(b"\2" + message(b"")[1:]),
        records(message(b"") + b"\1\0\0\0"),
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\0\1\1" + b"\x17\x03\x03\0\1x",
        b"\x16\x03\x01\0\1\1" + b"\x16\x04",
    ],
)
def test_malformed(hello: bytes) -> None:
    """What breaks the rules is no finding: two names, lengths that do not fit."""
    assert found(hello) == MALFORMED


@pytest.mark.parametrize("octets", [b"\x16\x02", b"\x16GET", b"\x15\x03\x01\0\2\1\0"])
def test_somethingElse(octets: bytes) -> None:
    """Octets that do not begin as a handshake of TLS."""
    assert found(octets) == NOT_MINE


@given(st.binary(max_size=600))
def test_anything(octets: bytes) -> None:
    """Nothing makes it raise."""
    for begin in (b"", b"\x16", b"\x16\x03\x01", records(octets)[:600]):
        lookedAt(inspector, [begin + octets])


def test_theLibrary() -> None:
    """What OpenSSL sends now."""
    assert found(ofPython("host.example")) == Finding(
        "tls", "host.example", alpn=("h2", "http/1.1")
    )


def test_manyTinyRecords() -> None:
    """Each octet in a record of its own, and each octet by itself: in linear time."""
    octets = records(message(named(b"a.example") + extension(51, bytes(2000))), 1)
    parts = [octets[i : i + 1] for i in range(len(octets))]
    assert lookedAt(inspector, parts) == Finding("tls", "a.example")
