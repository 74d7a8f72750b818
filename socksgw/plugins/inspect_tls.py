"""
Look at the ClientHello of TLS: the server's name, and the protocols inside (ALPN).
"""

from __future__ import annotations

from struct import Struct, error
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding, IInspector, Look, nameIn

__all__ = ["inspector"]

#: Records and messages (RFC 8446 sections 5.1 and 4).
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_RECORD: Final = 5
_LONGEST: Final = 1 << 14
#: Extensions (RFC 6066 section 3, RFC 7301 section 3.1, RFC 9849 section 5).
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_ECH: Final = 0xFE0D
_HOST_NAME: Final = 0
_TELLING: Final = frozenset((_SERVER_NAME, _ALPN, _ECH))
#: The type and the length of one (RFC 8446 section 4.2).
_extension: Final = Struct(">HH").unpack_from
#: How many protocols are told, and how many characters of each.
_MOST: Final = 8
_SHOWN: Final = 32
#: The first octet of a ClientHello in the format of SSL 2 (RFC 5246 appendix E.2) that
#: is shorter than 256 octets. It has no extensions.
_OLD: Final = 0x80


@final
class _Looking:
    """Puts one ClientHello together, which several records may carry."""

    __slots__ = ("_at", "_message")

    def __init__(self) -> None:
        self._at = 0
        self._message: bytes | bytearray = b""

    def __call__(self, octets: Any) -> Finding | int:
        if octets[0] == _OLD:
            return _old(octets)
        while True:
            at, have = self._at, len(octets)
            if have > at and octets[at] != _HANDSHAKE:
                return MALFORMED
            if have > at + 1 and octets[at + 1] != 3:
                return MALFORMED if at else NOT_MINE
            body = at + _RECORD
            if have < body:
                return body
            length: int = octets[at + 3] << 8 | octets[at + 4]
            if not 0 < length <= _LONGEST:
                # A fragment of a handshake message is never empty.
                return MALFORMED
            end: int = body + length
            if have < end:
                return end
            fragment = bytes(octets[body:end])
            if at == 0:
                if (
                    fragment[0] == _CLIENT_HELLO
                    and int.from_bytes(fragment[1:4], "big") == length - 4
                ):
                    # Nearly always one record carries all of it.
                    return _found(fragment)
                message: bytes | bytearray = fragment
            else:
                message = self._message
                if isinstance(message, bytes):
                    message = bytearray(message)
                message += fragment
            self._message, self._at = message, end
            if message[0] != _CLIENT_HELLO:
                return MALFORMED
            if len(message) < 4:
                continue
            whole = 4 + int.from_bytes(message[1:4], "big")
            if len(message) == whole:
                return _found(bytes(message))
            if len(message) > whole:
                # Nothing may follow in one record before the server has answered.
                return MALFORMED


def _old(octets: Any) -> Finding | int:
    """Return what a ClientHello in the format of SSL 2 tells: that it is one."""
    if len(octets) < 5:
        return 5
    # Length, type, and the version that is wanted.
    if octets[2] == _CLIENT_HELLO and octets[3] == 3:
        return Finding("tls")
    return NOT_MINE


def _found(hello: bytes) -> Finding | int:
    """Return what a whole ClientHello tells (RFC 8446 section 4.1.2)."""
    # Type and length, legacy_version, random.
    at = 4 + 2 + 32
    try:
        at += 1 + hello[at]
        at += 2 + (hello[at] << 8 | hello[at + 1])
        at += 1 + hello[at]
        end = len(hello)
        if at == end:
            return Finding("tls")
        if at + 2 + (hello[at] << 8 | hello[at + 1]) != end:
            return MALFORMED
        return _extensions(hello, at + 2, end)
    except (IndexError, error):
        return MALFORMED


def _extensions(hello: bytes, at: int, end: int) -> Finding | int:
    """
    Return what the extensions of a ClientHello tell.

    @raise struct.error: they are cut off.
    """
    name: str | None = None
    outer = False
    alpn: tuple[str, ...] = ()
    kinds: list[int] = []
    known = kinds.append
    while at < end:
        kind, length = _extension(hello, at)
        begin = at + 4
        at = begin + length
        known(kind)
        if kind not in _TELLING:
            continue
        if kind == _SERVER_NAME:
            name = _nameIn(hello[begin:at])
            if name is None:
                return MALFORMED
        elif kind == _ALPN:
            found = _protocols(hello[begin:at])
            if found is None:
                return MALFORMED
            alpn = found
        else:
            outer = True
    if at != end or len(set(kinds)) != len(kinds):
        return MALFORMED
    return Finding("tls", name, outer, alpn=alpn)


def _nameIn(body: bytes) -> str | None:
    """
    Return the one name in an extension C{server_name}.

    @return: L{None} where there is none that is well-formed, or several.
    """
    # List of: type, length, name. Other types than host_name were never defined.
    if len(body) < 5 or body[2] != _HOST_NAME:
        return None
    length = body[3] << 8 | body[4]
    if (body[0] << 8 | body[1]) != len(body) - 2 or length != len(body) - 5:
        return None
    return nameIn(body[5:])


def _protocols(body: bytes) -> tuple[str, ...] | None:
    """Return the first protocols of an ALPN extension; L{None} if it is malformed."""
    end = len(body)
    if end < 4 or (body[0] << 8 | body[1]) != end - 2:
        return None
    found: list[str] = []
    at = 2
    while at < end:
        begin = at + 1
        at = begin + body[at]
        if at > end or at == begin:
            return None
        if len(found) < _MOST:
            text = body[begin : min(at, begin + _SHOWN)].decode("ascii", "replace")
            found.append("".join(c if " " <= c <= "~" else "?" for c in text))
    return tuple(found)


@implementer(IInspector)
@final
class _TLS:
    name = "tls"
    help = "TLS: server name and ALPN of the ClientHello"
    fromClient = bytes((_HANDSHAKE, _OLD))
    fromServer = b""

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        return _Looking()


inspector = _TLS()
