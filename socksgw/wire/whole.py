"""
Messages of clients that came whole, as most do: each is read at one look.

What begins with none, or with a part of one, is left to
L{socksgw.wire.server.ServerConversation}, which reads the same of the same octets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, final

from socksgw.wire.address import Address, Host, parseHost
from socksgw.wire.codes import SOCKS5, AddressType, Reply

__all__ = [
    "Asked", "Octets", "Whole", "known", "login", "methods", "request", "succeeded",
]  # fmt: skip

Octets = bytes | memoryview
#: A command, the host, the port, the host as the client spelled it, and how many octets
#: say that.
Asked = tuple[int, Host, int, bytes, int]

#: The version of RFC 1929.
_LOGIN: Final = 1
_IPV4: Final = int(AddressType.IPV4)
_NAME: Final = int(AddressType.NAME)
_IPV6: Final = int(AddressType.IPV6)
#: What a reply begins with, by the octets of the address.
_HEADS: Final = {
    size: bytes((SOCKS5, Reply.SUCCEEDED, 0, kind))
    for size, kind in ((4, _IPV4), (16, _IPV6))
}

#: Reads the most usual request at once, that for an IPv4 address.
_REQUEST_IPV4: Final = struct.Struct("!BBxB4sH").unpack_from
_IPV4_OCTETS: Final = 10
#: Returns the address of packed octets. The same clients go to the same places.
known: Final = lru_cache(maxsize=4096)(Address)


@final
class Whole:
    """
    The messages of a protocol that has an offer of methods, a login and a request.

    @ivar offer: reads the offer (L{methods}).
    @ivar selection: returns the answer to it.
    @ivar request: reads the request (L{request}).
    """

    __slots__ = ("offer", "request", "selection")

    def __init__(
        self,
        offer: Callable[[Octets], bytes | None],
        selection: Callable[[int], bytes],
        request: Callable[[Octets], Asked | None],
    ) -> None:
        self.offer = offer
        self.selection = selection
        self.request = request


def methods(octets: Octets) -> bytes | None:
    """
    Return the method identifier message at the beginning (RFC 1928 section 3).

    @return: all of it; the methods are behind its first two octets. L{None} where there
        is none that is whole.
    """
    have = len(octets)
    if have < 2 or octets[0] != SOCKS5:
        return None
    end = octets[1] + 2
    return bytes(octets[:end]) if have >= end else None


def login(octets: Octets) -> tuple[bytes, bytes, int] | None:
    """
    Return the name and the password at the beginning (RFC 1929 section 2).

    @return: with the octets of the message; L{None} where there is none that is whole.
    """
    have = len(octets)
    if have < 3 or octets[0] != _LOGIN:
        return None
    name = octets[1] + 2
    if have <= name:
        return None
    end = name + 1 + octets[name]
    if have < end:
        return None
    return bytes(octets[2:name]), bytes(octets[name + 1 : end]), end


def request(octets: Octets) -> Asked | None:
    """
    Return the request at the beginning (RFC 1928 section 4).

    @return: L{None} where there is none that is whole.
    """
    have = len(octets)
    if have >= _IPV4_OCTETS:
        version, command, kind, packed, port = _REQUEST_IPV4(octets)
        if kind == _IPV4 and version == SOCKS5:
            address = known(packed)
            text = address.text.encode("ascii")
            return command, address, port, text, _IPV4_OCTETS
    if have < 5 or octets[0] != SOCKS5:
        return None
    kind = octets[3]
    if kind == _NAME:
        end = octets[4] + 5
    elif kind == _IPV6:
        end = 20
    else:
        return None
    if have < end + 2:
        return None
    port = octets[end] << 8 | octets[end + 1]
    if kind == _NAME:
        asked = bytes(octets[5:end])
        return octets[1], parseHost(asked), port, asked, end + 2
    address = known(bytes(octets[4:end]))
    return octets[1], address, port, address.text.encode("ascii"), end + 2


def succeeded(address: Address, port: int) -> bytes:
    """Return the reply to a request that succeeded (RFC 1928 section 6)."""
    packed = address.packed
    return _HEADS[len(packed)] + packed + port.to_bytes(2, "big")
