"""
The messages of SOCKS 4 and 4a.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, final

from socksgw.wire.address import UNSPECIFIED4, Address, parseHost
from socksgw.wire.codes import SOCKS4, Command, Method, Reply, Socks4Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Event, Replied, Requested
from socksgw.wire.reader import Reader, WireError

__all__ = [
    "REPLY_LIMIT",
    "REQUEST_LIMIT",
    "Socks4",
    "encodeReply",
    "encodeRequest",
    "readReply",
    "readRequest",
]

#: Neither text bounds USERID and the name; 255 octets each, as in SOCKS 5.
_FIELD: Final = 255
#: VN, CD, DSTPORT, DSTIP, USERID, NULL, and in 4a the name and another NULL.
REQUEST_LIMIT: Final = 8 + 2 * (_FIELD + 1)
#: VN, CD, DSTPORT, DSTIP.
REPLY_LIMIT: Final = 8

#: What SOCKS 4a puts in DSTIP to say that a name follows: 0.0.0.x, x not 0.
_NAME_FOLLOWS: Final = b"\0\0\0"
_DEFERRED: Final = b"\0\0\0\1"
_NO_LOGIN: Final = bytes((Method.NO_AUTHENTICATION,))


def readRequest(reader: Reader) -> Requested:
    """Read the client's request; its destination is a name where it is 4a's."""
    if reader.u8() != SOCKS4:
        raise WireError("not a SOCKS 4 request")
    command = reader.u8()
    port = reader.u16()
    packed = reader.take(4)
    userId = reader.until(0, _FIELD, "USERID")
    if packed[:3] == _NAME_FOLLOWS and packed[3]:
        raw = reader.until(0, _FIELD, "the name")
        return Requested(SOCKS4, command, parseHost(raw), port, raw, userId)
    address = Address(packed)
    return Requested(
        SOCKS4, command, address, port, address.text.encode("ascii"), userId
    )


def encodeRequest(
    command: int, host: Address | str, port: int, userId: bytes = b""
) -> bytes:
    """
    Return the client's request; 4a's when the destination is a name.

    @raise ValueError: SOCKS 4 cannot say it: an IPv6 address, a NULL inside
        a field, a field that is too long.
    """
    if not 0 <= port <= 0xFFFF:
        raise ValueError("a port is within 0 to 65535")
    name = b""
    if isinstance(host, Address):
        packed = host.packed
        if len(packed) != 4:
            raise ValueError("SOCKS 4 has no IPv6 addresses")
        if packed[:3] == _NAME_FOLLOWS and packed[3]:
            raise ValueError(f"{host} means something else in SOCKS 4a")
    else:
        packed = _DEFERRED
        name = host.encode("ascii")
        if not name:
            raise ValueError("the name is empty")
    for field in (userId, name):
        if b"\0" in field or len(field) > _FIELD:
            raise ValueError(f"a field has at most {_FIELD} octets, and no NULL")
    octets = bytes((SOCKS4, command)) + port.to_bytes(2, "big") + packed
    return octets + userId + b"\0" + (name + b"\0" if name else b"")


def readReply(reader: Reader) -> Replied:
    """Read the server's reply, whose version octet is 0."""
    if reader.u8() != 0:
        raise WireError("the reply's version is not 0")
    code = reader.u8()
    port = reader.u16()
    return Replied(SOCKS4, code, Address(reader.take(4)), port)


def encodeReply(reply: int, address: Address, port: int) -> bytes:
    """
    Return the server's reply.

    An IPv6 address cannot be said: 0.0.0.0:0 stands for it.

    @param reply: as in SOCKS 5; everything but success becomes 91.
    """
    if address.version != 4:
        address, port = UNSPECIFIED4, 0
    code = Socks4Reply.GRANTED if reply == Reply.SUCCEEDED else Socks4Reply.REJECTED
    return bytes((0, code)) + port.to_bytes(2, "big") + address.packed


@final
class Socks4(Dialect):
    """
    SOCKS 4 and 4a as a server speaks them.

    A client makes its request at once. It is treated as if it had offered no
    authentication, since its USERID proves nothing.
    """

    protocol = "socks4"
    version = SOCKS4
    first = bytes((SOCKS4,))
    firstLimit = REQUEST_LIMIT
    commands: ClassVar[Mapping[int, str]] = {
        Command.CONNECT: "connect",
        Command.BIND: "bind",
        Command.RESOLVE: "resolve",
    }
    families = frozenset({4})
    loginless = (
        "SOCKS 4 has no login, and one is wanted here; set the client to SOCKS 5 and "
        "to a user, or let it come by socksgw agent: socksgw help clients"
    )
    denial = Reply.NOT_ALLOWED
    fault = Reply.GENERAL_FAILURE

    readFirst = staticmethod(readRequest)
    encodeReply = staticmethod(encodeReply)

    @staticmethod
    def offered(_event: Event, /) -> bytes:
        """Return no authentication, which is all that a client can do."""
        return _NO_LOGIN

    def called(self, request: Requested) -> str:
        """Return C{socks4a} where the client sent a name (SOCKS 4a)."""
        return "socks4a" if isinstance(request.host, str) else "socks4"
