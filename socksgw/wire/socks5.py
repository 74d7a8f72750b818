"""
The messages of SOCKS 5 (RFC 1928).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, final

from socksgw.wire.address import UNSPECIFIED4, Address, Host, parseHost
from socksgw.wire.codes import SOCKS5, AddressType, Command, Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import MethodSelected, MethodsOffered, Replied, Requested
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.whole import Whole, methods, request, succeeded

__all__ = [
    "METHODS_LIMIT",
    "REQUEST_LIMIT",
    "SELECTION_LIMIT",
    "Socks5",
    "encodeHost",
    "encodeMethods",
    "encodeReply",
    "encodeRequest",
    "encodeSelection",
    "readAnswer",
    "readHost",
    "readMethods",
    "readReply",
    "readRequest",
    "readSelection",
]

#: VER, NMETHODS, METHODS (section 3).
METHODS_LIMIT: Final = 2 + 255
#: VER, METHOD (section 3).
SELECTION_LIMIT: Final = 2
#: VER, CMD or REP, RSV, ATYP, a name with its length, port (sections 4, 6).
REQUEST_LIMIT: Final = 4 + 1 + 255 + 2

_IPV4: Final = int(AddressType.IPV4)
_NAME: Final = int(AddressType.NAME)
_IPV6: Final = int(AddressType.IPV6)


def readMethods(reader: Reader) -> MethodsOffered:
    """Read the client's method identifier message (section 3)."""
    if reader.u8() != SOCKS5:
        raise WireError("not a SOCKS 5 greeting")
    return MethodsOffered(reader.take(reader.u8()))


def encodeMethods(methods: bytes) -> bytes:
    """
    Return the client's method identifier message (section 3).

    @param methods: 1 to 255 method octets.
    @raise ValueError: there are none, or too many.
    """
    if not 1 <= len(methods) <= 255:
        raise ValueError("1 to 255 methods are offered")
    return bytes((SOCKS5, len(methods))) + methods


def readSelection(reader: Reader) -> MethodSelected:
    """Read the server's choice of method (section 3)."""
    if reader.u8() != SOCKS5:
        raise WireError("the server does not speak SOCKS 5")
    return MethodSelected(reader.u8())


def encodeSelection(method: int) -> bytes:
    """Return the server's choice of method (section 3)."""
    return bytes((SOCKS5, method))


def readRequest(reader: Reader) -> Requested:
    """
    Read the client's request (section 4).

    RSV is not looked at: some clients put something there.
    """
    if reader.u8() != SOCKS5:
        raise WireError("the request's version is not 5", Reply.GENERAL_FAILURE)
    command = reader.u8()
    reader.u8()
    host, asked = readHost(reader)
    return Requested(SOCKS5, command, host, reader.u16(), asked, b"")


def encodeRequest(command: int, host: Address | str, port: int) -> bytes:
    """
    Return the client's request (section 4).

    @param host: an address, or a name of 1 to 255 octets.
    @raise ValueError: the name is empty or too long, or there is no such
        port.
    """
    if not 0 <= port <= 0xFFFF:
        raise ValueError("a port is within 0 to 65535")
    return bytes((SOCKS5, command, 0)) + encodeHost(host) + port.to_bytes(2, "big")


def readReply(reader: Reader) -> Replied:
    """Read the server's reply (section 6)."""
    if reader.u8() != SOCKS5:
        raise WireError("the reply's version is not 5")
    code = reader.u8()
    reader.u8()
    host, _ = readHost(reader)
    return Replied(SOCKS5, code, host, reader.u16())


def readAnswer(reader: Reader) -> Replied:
    """
    Read the server's reply as far as it counts: of a refusal, VER and REP alone.

    What stands behind them tells nothing, and servers differ: ATYP is 00 (Tor) or 03
    (Dante), and some close the connection in the middle.
    """
    start = reader.position
    if reader.u8() != SOCKS5:
        raise WireError("the reply's version is not 5")
    code = reader.u8()
    if code:
        return Replied(SOCKS5, code, UNSPECIFIED4, 0)
    reader.position = start
    return readReply(reader)


def encodeReply(reply: int, address: Address | str, port: int) -> bytes:
    """
    Return the server's reply (section 6).

    @param address: a name only in the answer to RESOLVE_PTR.
    """
    return bytes((SOCKS5, reply, 0)) + encodeHost(address) + port.to_bytes(2, "big")


def readHost(reader: Reader) -> tuple[Host, bytes]:
    """
    Read ATYP and the address behind it (section 5).

    @return: what it means, and how the peer spelled it.
    @raise WireError: the ATYP is unknown.
    """
    kind = reader.u8()
    if kind == _IPV4:
        address = Address(reader.take(4))
    elif kind == _NAME:
        raw = reader.take(reader.u8())
        return parseHost(raw), raw
    elif kind == _IPV6:
        address = Address(reader.take(16))
    else:
        raise WireError(
            f"address type {kind} is unknown", Reply.ADDRESS_TYPE_NOT_SUPPORTED
        )
    return address, address.text.encode("ascii")


def encodeHost(host: Address | str) -> bytes:
    """
    Return ATYP and the address behind it (section 5).

    @raise ValueError: the name is empty or too long.
    """
    if isinstance(host, Address):
        kind = _IPV4 if host.version == 4 else _IPV6
        return bytes((kind,)) + host.packed
    name = host.encode("ascii")
    if not 1 <= len(name) <= 255:
        raise ValueError("a name has 1 to 255 octets")
    return bytes((_NAME, len(name))) + name


@final
class Socks5(Dialect):
    """SOCKS 5 as a server speaks it: methods, a login, then the request."""

    protocol = "socks5"
    version = SOCKS5
    first = bytes((SOCKS5,))
    firstLimit = METHODS_LIMIT
    requestLimit = REQUEST_LIMIT
    whole = Whole(methods, encodeSelection, request)
    commands: ClassVar[Mapping[int, str]] = {
        Command.CONNECT: "connect",
        Command.BIND: "bind",
        Command.UDP_ASSOCIATE: "udp",
        Command.RESOLVE: "resolve",
        Command.RESOLVE_PTR: "resolve-ptr",
        Command.ENHANCED_UDP_MODE: "multicast",
        Command.UDP_IN_TCP: "hev",
        Command.UDP_TUNNEL: "gost",
    }

    readFirst = staticmethod(readMethods)
    readMethods = staticmethod(readMethods)
    readRequest = staticmethod(readRequest)
    encodeSelection = staticmethod(encodeSelection)
    encodeReply = staticmethod(encodeReply)
    succeeded = staticmethod(succeeded)

    @staticmethod
    def offered(event: MethodsOffered, /) -> bytes:
        """Return the methods that the client offered."""
        return event.methods
