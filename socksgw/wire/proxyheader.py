"""
The header of the PROXY protocol, versions 1 and 2.

A proxy in front of a server puts it before the octets of each connection, to tell
whose they are. Written from HAProxy's text of 2026-04-27, whose sections are named
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from socksgw.wire.address import Address
from socksgw.wire.looks import lookOf
from socksgw.wire.reader import WireError

__all__ = [
    "AUTHORITY",
    "LONGEST",
    "SIGNATURE",
    "HeaderMissing",
    "Origin",
    "ProxyHeader",
    "crc32c",
    "readProxyHeader",
    "vectorOf",
]

#: Most octets of a header of version 2. The format allows 65,551; what is told
#: besides the addresses is some hundred octets, and the certificate of a client
#: (section 2.2.6) a few thousand.
LONGEST: Final = 8_192
#: The longest line of version 1 (section 2.1).
_LONGEST_LINE: Final = 107
_PROXY1: Final = b"PROXY "
_UNKNOWN: Final = b"PROXY UNKNOWN"
#: How a header of version 2 begins (section 2.2), and octets up to its length.
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21

#: Octets of the addresses, by the family in the upper half of octet 14.
_ADDRESSES: Final = {0: 0, 1: 12, 2: 36, 3: 216}
_UNSPECIFIED: Final = 0x00
#: Octets of one address of TCP, by octet 14.
_TCP: Final = {0x11: 4, 0x21: 16}
#: Families and protocols whose connections cannot be a client's.
_OTHERS: Final = {
    0x12: "UDP over IPv4",
    0x22: "UDP over IPv6",
    0x31: "a Unix socket",
    0x32: "a Unix datagram socket",
}
#: The type of what names the host that the client asked for (section 2.2.2).
AUTHORITY: Final = 0x02
_CRC32C: Final = 0x03
_UNIQUE_ID: Final = 0x05
_TLS: Final = 0x20
#: What a sender may tell besides the addresses, by the word for the record.
_TOLD: Final = {
    0x01: "alpn",
    AUTHORITY: "authority",
    _UNIQUE_ID: "unique_id",
    0x30: "netns",
}
_TOLD_OF_TLS: Final = {0x21: "tls_version", 0x22: "tls_name", 0x23: "tls_cipher"}
_LONGEST_ID: Final = 128
#: Bits of the client octet (section 2.2.6): TLS, and a certificate in this connection
#: or in its TLS session.
_OVER_TLS: Final = 0x01
_WITH_CERTIFICATE: Final = 0x06

_NOTHING: Final[Mapping[str, bytes]] = {}


class HeaderMissing(WireError):
    """The octets that came are no PROXY header."""


class ProxyHeader(NamedTuple):
    """
    What a header says.

    @ivar source: the client's address and port; L{None} where the sender speaks for
        itself, or cannot say whose connection it is (LOCAL, UNKNOWN, AF_UNSPEC).
    @ivar destination: the address and port that the client connected to.
    @ivar told: what the sender tells besides, by the word for the record.
    """

    source: tuple[Address, int] | None
    destination: tuple[Address, int] | None = None
    told: Mapping[str, bytes] = _NOTHING


_ITSELF: Final = ProxyHeader(None)


class Origin(NamedTuple):
    """
    Where a client comes from, of whom a header tells.

    @ivar header: the header.
    @ivar sender: the address of who sent it.
    @ivar port: its port.
    """

    header: ProxyHeader
    sender: Address
    port: int

    @property
    def own(self) -> bool:
        """
        Whether the connection is the sender's own, as far as anybody can say.

        Such are its health checks: HAProxy's of version 1 name the two ends of the
        connection that they come on (section 2.1 asks for that).
        """
        source = self.header.source
        return source is None or source == (self.sender, self.port)


def readProxyHeader(octets: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    """
    Read the header at the start of a connection.

    @param octets: what has come so far.
    @return: the header and how many octets it has; L{None} if it is not whole.
    @raise HeaderMissing: there is none.
    @raise WireError: it breaks the protocol, or is of no connection by TCP.
    """
    if octets[: len(SIGNATURE)] == SIGNATURE[: len(octets)]:
        return _version2(octets)
    if octets[: len(_PROXY1)] == _PROXY1[: len(octets)]:
        return _version1(octets)
    raise HeaderMissing(f"no PROXY header came, but {_instead(octets)}")


def _instead(octets: bytes | bytearray) -> str:
    """Return what came in the place of a header, for people."""
    if octets[0] in (4, 5):
        return f"SOCKS {octets[0]}"
    # The remedies behind the first word are for other listeners.
    return lookOf(bytes(octets[:6])).partition(",")[0].partition(":")[0]


# Version 1.


def _version1(octets: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    end = octets.find(b"\r\n", 0, _LONGEST_LINE)
    if end < 0:
        if len(octets) >= _LONGEST_LINE:
            raise WireError(f"a PROXY line longer than {_LONGEST_LINE} octets")
        if b"\n" in octets and not octets.startswith(_UNKNOWN):
            raise WireError("a PROXY line that does not end with CR LF")
        return None
    line = bytes(octets[:end])
    if line == _UNKNOWN or line.startswith(_UNKNOWN + b" "):
        # What follows is to be ignored.
        return _ITSELF, end + 2
    try:
        _, family, source, destination, near, far = line.decode("ascii").split(" ")
    except ValueError:
        raise WireError("a PROXY line that has not six words in ASCII") from None
    version = {"TCP4": 4, "TCP6": 6}.get(family)
    if version is None:
        raise WireError("a PROXY line that is neither of TCP4, TCP6 nor UNKNOWN")
    ends = _written(source, version), _written(destination, version)
    return ProxyHeader((_client(ends[0]), _port(near)), (ends[1], _port(far))), end + 2


def _written(text: str, version: int) -> Address:
    """Return an address of a line, whose spelling has to be that of its family."""
    try:
        if (":" in text) == (version == 6):
            return Address.parse(text)
    except ValueError:
        pass
    raise WireError(f"a PROXY line with what is no IPv{version} address")


def _port(text: str) -> int:
    if text.isdigit() and len(text) <= 5 and (text == "0" or text[0] != "0"):
        port = int(text)
        if port <= 65535:
            return port
    raise WireError("a PROXY line with what is no port")


def _client(address: Address) -> Address:
    """
    Return the address of a client, which is that of one host.

    @raise WireError: no connection can come from there.
    """
    packed = address.packed
    if address.version == 4:
        group = packed[0] == 0 or 224 <= packed[0] < 240 or packed == b"\xff" * 4
    else:
        group = packed[0] == 0xFF or address.isUnspecified
    if group:
        raise WireError("a PROXY header with a client's address that no host has")
    return address


# Version 2.


def _version2(octets: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    if len(octets) > len(SIGNATURE) and octets[len(SIGNATURE)] not in (_LOCAL, _PROXY):
        raise WireError("a PROXY header of a version or command that does not exist")
    if len(octets) < _FIXED:
        return None
    end = _FIXED + int.from_bytes(octets[14:_FIXED], "big")
    if end > LONGEST:
        raise WireError(f"a PROXY header of {end:,} octets; {LONGEST:,} are taken")
    kind = octets[13]
    size = _TCP.get(kind)
    if octets[12] == _PROXY and kind != _UNSPECIFIED:
        if size is None:
            other = _OTHERS.get(kind, "a family or protocol that does not exist")
            raise WireError(f"a PROXY header of {other}, and not of TCP")
        if end < _FIXED + _ADDRESSES[kind >> 4]:
            raise WireError("a PROXY header too short for its addresses")
    if len(octets) < end:
        return None
    header = bytes(octets[:end])
    if octets[12] == _LOCAL or size is None:
        return ProxyHeader(None, told=_toldOfItself(header)), end
    addresses = _FIXED + 2 * size
    ports = int.from_bytes(header[addresses : addresses + 4], "big")
    source = _client(Address(header[_FIXED : _FIXED + size]))
    destination = Address(header[_FIXED + size : addresses])
    told = _told(header, addresses + 4)
    return ProxyHeader((source, ports >> 16), (destination, ports & 0xFFFF), told), end


def _toldOfItself(header: bytes) -> Mapping[str, bytes]:
    """
    Return what a sender tells of a connection whose addresses are to be ignored.

    HAProxy sends its id for a client on a Unix socket, and a checksum.

    @raise WireError: the checksum is wrong.
    """
    start = _FIXED + _ADDRESSES.get(header[13] >> 4, len(header))
    try:
        for _ in _vectors(header, start, len(header)):
            pass
    except WireError:
        # A sender may put anything there (section 2.2).
        return _NOTHING
    return _told(header, start)


def _vectors(octets: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """
    Yield the type, position and length of each value (section 2.2).

    @raise WireError: the lengths do not add up.
    """
    while start < end:
        value = start + 3
        length = int.from_bytes(octets[start + 1 : value], "big")
        if value + length > end:
            raise WireError("a PROXY header whose lengths do not add up")
        yield octets[start], value, length
        start = value + length


def vectorOf(octets: bytes | bytearray, kind: int) -> bytes | None:
    """
    Return a value of a whole header of version 2, as L{readProxyHeader} has read it.

    @param kind: its type.
    @return: the first of that type; L{None} where there is none.
    """
    end = _FIXED + int.from_bytes(octets[14:_FIXED], "big")
    start = _FIXED + _ADDRESSES.get(octets[13] >> 4, end)
    for each, at, length in _vectors(bytes(octets[:end]), start, end):
        if each == kind:
            return bytes(octets[at : at + length])
    return None


def _told(header: bytes, start: int) -> Mapping[str, bytes]:
    """Return what is told besides the addresses; of values twice told the first."""
    if start >= len(header):
        return _NOTHING
    told: dict[str, bytes] = {}
    checked = False
    for kind, at, length in _vectors(header, start, len(header)):
        if kind == _CRC32C:
            if checked:
                raise WireError("a PROXY header with two checksums")
            checked = True
            _verify(header, at, length)
        elif kind == _TLS:
            _toldOfTLS(header, at, at + length, told)
        elif kind in _TOLD:
            if kind == _UNIQUE_ID and length > _LONGEST_ID:
                raise WireError("a PROXY header with an id longer than 128 octets")
            told.setdefault(_TOLD[kind], header[at : at + length])
    return told


def _toldOfTLS(header: bytes, start: int, end: int, told: dict[str, bytes]) -> None:
    """Read PP2_TYPE_SSL (section 2.2.6)."""
    if end - start < 5:
        raise WireError("a PROXY header whose lengths do not add up")
    client, verify = header[start], header[start + 1 : start + 5]
    vectors = [*_vectors(header, start + 5, end)]
    if not client & _OVER_TLS or "tls_certificate" in told:
        return
    # Without a certificate, HAProxy says 0 as for one that is good.
    shown = b"not verified" if any(verify) else b"verified"
    told["tls_certificate"] = shown if client & _WITH_CERTIFICATE else b"none"
    for kind, at, length in vectors:
        if kind in _TOLD_OF_TLS:
            told.setdefault(_TOLD_OF_TLS[kind], header[at : at + length])


# The checksum.


def _step(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
    return octet


_STEPS: Final = tuple(map(_step, range(256)))


def crc32c(octets: bytes) -> int:
    """Return the CRC32c of octets (RFC 4960 appendix B)."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = _STEPS[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _verify(header: bytes, at: int, length: int) -> None:
    """
    Compare the checksum with the header, where it counts as zero (section 2.2.3).
    """
    whole = header[:at] + bytes(length) + header[at + length :]
    if length != 4 or crc32c(whole) != int.from_bytes(header[at : at + 4], "big"):
        raise WireError("a PROXY header whose checksum is wrong")
