"""
The messages of SOCKS 6 (draft-olteanu-intarea-socks-6-11).

Where the authors' unpublished draft -12 differs, that is said at the place.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple, final

from socksgw.wire.address import UNSPECIFIED4, Address, Host, parseHost
from socksgw.wire.codes import SOCKS6, AddressType, Command, Reply
from socksgw.wire.dialect import UNBOUND, Dialect
from socksgw.wire.events import Requested
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.socks6login import Login6
from socksgw.wire.socks6options import (
    NO_OPTIONS,
    OPTIONS_LIMIT,
    AuthOptions,
    Kind,
    RequestOptions,
    encodeOption,
    readAuthOptions,
    readReplyOptions,
    readRequestOptions,
)
from socksgw.wire.stacks import NO, UDP_ERRORS, YES, Leg, Stack, encodeStack
from socksgw.wire.whole import Asked, Octets, known

__all__ = [
    "AUTH_REPLY_LIMIT",
    "ERRORS_WANTED",
    "FAILED",
    "REQUEST_LIMIT",
    "SUCCEEDED",
    "AuthReplied",
    "Socks6",
    "Socks6Replied",
    "Socks6Requested",
    "encodeReply",
    "encodeRequest",
    "readAnswer",
    "readAuthReply",
    "readRequest",
    "readWhole",
]

#: The fixed fields, a name with its length and its padding, the options (sections 4, 7).
REQUEST_LIMIT: Final = 8 + 256 + OPTIONS_LIMIT
#: Version, type, length of the options, the options (section 6).
AUTH_REPLY_LIMIT: Final = 4 + OPTIONS_LIMIT
#: That the client wants to hear what ICMP tells (section 8.1.8); the reply says the
#: same where it will.
ERRORS_WANTED: Final = Stack(Leg.REMOTE, UDP_ERRORS, YES)
_NO_ERRORS: Final = ERRORS_WANTED._replace(value=NO)
#: Types of an authentication reply (section 6).
SUCCEEDED: Final = 0
FAILED: Final = 1

_IPV4: Final = int(AddressType.IPV4)
_NAME: Final = int(AddressType.NAME)
_IPV6: Final = int(AddressType.IPV6)
_CONNECT: Final = int(Command.CONNECT)
_ASSOCIATE: Final = int(Command.UDP_ASSOCIATE)
#: Version, command, options' length, port, padding, address type, and four octets: an
#: IPv4 address, or the length of a name and its beginning.
_REQUEST: Final = struct.Struct("!BBHHxB4s").unpack_from
_SHORTEST: Final = 12
#: The octets of one for an IPv6 address.
_LONGEST: Final = 24
_ADDRESS_AT: Final = 8
_NAME_AT: Final = 9
_NO_LENGTH: Final = bytes(2)
#: Padding and address type, by the octets of the address.
_KINDS: Final = {4: bytes((0, _IPV4)), 16: bytes((0, _IPV6))}
#: The code of a connection attempt that timed out, which SOCKS 5 does not have (section
#: 7), by the reasons of the records.
_TIMED_OUT: Final = 0x09
_LATE: Final = frozenset({"connect-timeout", "lookup-timeout", "bind-timeout"})


@final
class Socks6Requested(Requested):
    """
    A request of SOCKS 6.

    Its options are never printed: they hold credentials.

    @ivar options: what they say.
    """

    options: RequestOptions


class Socks6Replied(NamedTuple):
    """
    The server's operation reply (section 7).

    @ivar code: the reply octet.
    @ivar host: where the server is bound.
    @ivar port: 0 to 65535.
    @ivar stack: what it tells of the stacks (section 8.1).
    """

    code: int
    host: Host
    port: int
    stack: tuple[Stack, ...] = ()


class AuthReplied(NamedTuple):
    """
    The server's authentication reply (section 6).

    @ivar succeeded: whether the client is let in.
    @ivar options: what they say.
    """

    succeeded: bool
    options: AuthOptions


def _within(length: int) -> int:
    """
    Return the octets of all options.

    @raise WireError: there are too many, or not a multiple of 4.
    """
    if length > OPTIONS_LIMIT or length % 4:
        raise WireError(f"{length} octets of options")
    return length


def _options(reader: Reader) -> int:
    """Read the length of the options, as L{_within}."""
    return _within(reader.u16())


def readHost(reader: Reader) -> tuple[Host, bytes]:
    """
    Read the padding, the address type and the address (section 4).

    A name is padded by NUL to four octets, with the octet of its length. That octet
    counts the padding in draft -12, and not in -11: both are read.

    @return: what it means, and how the peer spelled it.
    @raise WireError: the address type is unknown.
    """
    reader.u8()
    kind = reader.u8()
    if kind == _IPV4:
        address = Address(reader.take(4))
    elif kind == _NAME:
        length = reader.u8()
        raw = reader.take(length).rstrip(b"\0")
        reader.take(-(length + 1) % 4)
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
    Return the padding, the address type and the address (section 4).

    The length of a name does not count its padding, as in draft -11.

    @raise ValueError: the name is empty or too long.
    """
    if isinstance(host, Address):
        kind = _IPV4 if host.version == 4 else _IPV6
        return bytes((0, kind)) + host.packed
    name = host.encode("ascii")
    if not 1 <= len(name) <= 255:
        raise ValueError("a name has 1 to 255 octets")
    return bytes((0, _NAME, len(name))) + name + bytes(-(len(name) + 1) % 4)


def _message(code: int, host: Address | str, port: int, options: bytes) -> bytes:
    """Return a request or an operation reply, which have one form."""
    if not 0 <= port <= 0xFFFF:
        raise ValueError("a port is within 0 to 65535")
    if len(options) > OPTIONS_LIMIT:
        raise ValueError(f"options have {OPTIONS_LIMIT} octets at most")
    head = bytes((SOCKS6, code)) + len(options).to_bytes(2, "big")
    return head + port.to_bytes(2, "big") + encodeHost(host) + options


def _connect(octets: Octets | bytearray, start: int = 0) -> tuple[Asked, int] | None:
    """
    Read a request of CONNECT at one look, up to its options.

    @return: with the octets of the options; L{None} for any other, and for one that is
        not whole up to there.
    """
    have = len(octets) - start
    if have < _SHORTEST:
        return None
    version, command, length, port, kind, packed = _REQUEST(octets, start)
    if command != _CONNECT or version != SOCKS6:
        return None
    host: Host
    if kind == _IPV4:
        end, host = _SHORTEST, known(packed)
        asked = host.text.encode("ascii")
    elif kind == _NAME:
        size = packed[0]
        end = _SHORTEST + (size & ~3)
        if have < end:
            return None
        name = start + _NAME_AT
        asked = bytes(octets[name : name + size]).rstrip(b"\0")
        host = parseHost(asked)
    elif kind == _IPV6 and have >= _LONGEST:
        end = _LONGEST
        host = known(bytes(octets[start + _ADDRESS_AT : start + end]))
        asked = host.text.encode("ascii")
    else:
        return None
    return (command, host, port, asked, end), length


def readWhole(octets: Octets) -> tuple[Asked, Login6, bytes] | None:
    """
    Read a request at the beginning that is whole: one that most clients make.

    That is CONNECT without options, or with those of a login.

    @return: with the login, and the octets without the options; L{None} for any other,
        and where there is none.
    """
    found = _connect(octets)
    if found is None:
        return None
    said, length = found
    command, host, port, asked, end = said
    if not length:
        return said, Login6(NO_OPTIONS), bytes(octets[:end])
    options = _ofLogin(octets[end:], length)
    if options is None:
        return None
    bare = bytes(octets[:2]) + _NO_LENGTH + bytes(octets[4:end])
    return (command, host, port, asked, end + length), Login6(options), bare


def _ofLogin(octets: Octets, length: int) -> RequestOptions | None:
    """
    Read options that say nothing but how the client logs in.

    @return: L{None} where they say more, are not whole, or break the draft.
    """
    if len(octets) < length or length > OPTIONS_LIMIT or length % 4:
        return None
    try:
        options = readRequestOptions(bytes(octets[:length]))
    except WireError:
        return None
    if options.wantsSession or options.session is not None or options.stack:
        return None
    return options


def readRequest(reader: Reader) -> Socks6Requested:
    """
    Read the client's request (section 4).

    Padding is not looked at.
    """
    plain = _connect(reader.octets, reader.position)
    if plain is not None:
        (command, host, port, asked, end), length = plain
        _within(length)
        reader.position += end
    else:
        if reader.u8() != SOCKS6:
            raise WireError("not a SOCKS 6 request")
        command = reader.u8()
        length = _options(reader)
        port = reader.u16()
        host, asked = readHost(reader)
    octets = reader.take(length)
    request = Socks6Requested(SOCKS6, command, host, port, asked, b"")
    if command == Command.NOOP and (
        port or not isinstance(host, Address) or not host.isUnspecified
    ):
        raise WireError("a NOOP request with a destination")
    options = readRequestOptions(octets) if octets else NO_OPTIONS
    if options.initial and command != Command.CONNECT:
        # It has a meaning there alone (section 8.2).
        options.initial = 0
    request.options = options
    return request


def encodeRequest(
    command: int, host: Address | str, port: int, options: bytes = b""
) -> bytes:
    """
    Return the client's request (section 4).

    @param host: an address, or a name of 1 to 255 octets.
    @param options: encoded ones.
    @raise ValueError: the name is empty or too long, there is no such port, or there
        are too many options.
    """
    return _message(command, host, port, options)


def readAuthReply(reader: Reader) -> AuthReplied:
    """
    Read the server's authentication reply (section 6).

    @raise WireError: it is none; a server that does not speak SOCKS 6 sends another
        version (section 5).
    """
    if reader.u8() != SOCKS6:
        raise WireError("the server does not speak SOCKS 6")
    kind = reader.u8()
    octets = reader.take(_options(reader))
    if kind not in (SUCCEEDED, FAILED):
        raise WireError(f"an authentication reply of type {kind}")
    return AuthReplied(kind == SUCCEEDED, readAuthOptions(octets))


def readAnswer(reader: Reader) -> Socks6Replied:
    """
    Read the server's operation reply (section 7) as far as it counts.

    Of a refusal that is its code: what stands behind it need not come.

    @raise WireError: it is none.
    """
    if reader.u8() != SOCKS6:
        raise WireError("the reply's version is not 6")
    code = reader.u8()
    if code:
        return Socks6Replied(code, UNSPECIFIED4, 0)
    length = _options(reader)
    port = reader.u16()
    host, _ = readHost(reader)
    return Socks6Replied(code, host, port, readReplyOptions(reader.take(length)))


def encodeReply(
    reply: int, address: Address | str, port: int, options: bytes = b""
) -> bytes:
    """Return the server's operation reply (section 7)."""
    if not options and isinstance(address, Address):
        packed = address.packed
        head = bytes((SOCKS6, reply, 0, 0)) + port.to_bytes(2, "big")
        return head + _KINDS[len(packed)] + packed
    return _message(reply, address, port, options)


class Socks6(Dialect):
    """
    SOCKS 6 as a server speaks it: the request first, which brings the login.
    """

    protocol = "socks6"
    version = SOCKS6
    first = bytes((SOCKS6,))
    firstLimit = REQUEST_LIMIT
    commands: ClassVar[Mapping[int, str]] = {
        Command.NOOP: "noop",
        Command.CONNECT: "connect",
        Command.BIND: "bind",
        Command.UDP_ASSOCIATE: "udp-inside",
    }
    denial = Reply.NOT_ALLOWED
    fault = Reply.GENERAL_FAILURE
    secret = True

    readFirst = staticmethod(readRequest)
    readWhole = staticmethod(readWhole)
    encodeReply = staticmethod(encodeReply)

    @staticmethod
    def wantsErrors(request: Any, /) -> bool:
        """As L{Dialect.wantsErrors}, by an option of the request (section 8.1.8)."""
        return request.command == _ASSOCIATE and ERRORS_WANTED in request.options.stack

    def called(self, request: Requested) -> str:
        """Return C{socks6}; the credentials have done their work."""
        if isinstance(request, Socks6Requested) and request.options is not NO_OPTIONS:
            request.options.data = {}
        return self.protocol

    def answering(self, request: Requested) -> Dialect:
        """As L{Dialect.answering}: a client that wants something of the stacks hears."""
        if not isinstance(request, Socks6Requested) or not request.options.stack:
            return self
        if self.wantsErrors(request):
            request.options.told = (ERRORS_WANTED,)
        elif request.command == _ASSOCIATE and _NO_ERRORS in request.options.stack:
            request.options.told = (_NO_ERRORS,)
        return _Stacked(request.options)

    def login(self, request: Socks6Requested | None) -> Login6:
        """As L{Dialect.login}."""
        return Login6(NO_OPTIONS if request is None else request.options)

    def stranger(self) -> Login6:
        """As L{Dialect.stranger}: the version mismatch reply (section 5)."""
        return Login6(NO_OPTIONS, bytes((SOCKS6,)))

    def encodeRefusal(
        self, reply: Reply, reason: str, why: str, rule: str = "", keep: bool = False
    ) -> bytes:
        """As L{Dialect.encodeRefusal}: what came too late has a code of its own."""
        return self.encodeReply(_TIMED_OUT if reason in _LATE else reply, *UNBOUND)


@final
class _Stacked(Socks6):
    """What answers one request, and tells how the stacks are (section 8.1)."""

    def __init__(self, options: RequestOptions) -> None:
        self._options = options

    def encodeReply(  # type: ignore[override]
        self, reply: int, host: Address | str, port: int, /
    ) -> bytes:
        """As L{Dialect.encodeReply}."""
        told = self._options.told
        if reply and ERRORS_WANTED in told:
            # What is refused reports nothing.
            told = (_NO_ERRORS,)
        octets = [encodeOption(Kind.STACK, encodeStack(s)) for s in told]
        return encodeReply(reply, host, port, b"".join(octets))
