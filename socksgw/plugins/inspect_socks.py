"""
Look at the first message of SOCKS 4 and 5: a client that goes on to another proxy.
"""

from __future__ import annotations

from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import NOT_MINE, Finding, IInspector, Look
from socksgw.wire.address import Address, escaped

__all__ = ["inspector"]

#: Octets of a request of SOCKS 4 before its texts.
_FOUR: Final = 8
#: The most octets of each text.
_TEXT: Final = 255


@final
class _Four:
    """Reads a request of SOCKS 4 or 4a, whose texts end with a zero."""

    __slots__ = ("_name", "_searched")

    def __init__(self) -> None:
        self._searched = _FOUR
        # Where the name begins, once the user id has ended.
        self._name = 0

    def __call__(self, octets: Any) -> Finding | int:
        have = len(octets)
        # CONNECT and BIND.
        if have > 1 and octets[1] not in (1, 2):
            return NOT_MINE
        if have <= _FOUR:
            return _FOUR + 1
        host = bytes(octets[4:8])
        port = octets[2] << 8 | octets[3]
        named = host[:3] == b"\0\0\0" and host[3] != 0
        if not self._name:
            end = octets.find(b"\0", self._searched)
            if end < 0:
                self._searched = have
                return have + 1 if have <= _FOUR + _TEXT else NOT_MINE
            if not named:
                return Finding("socks", detail=f"4 {Address(host).text}:{port}")
            self._name = self._searched = end + 1
        end = octets.find(b"\0", self._searched)
        if end < 0:
            self._searched = have
            return have + 1 if have <= self._name + _TEXT else NOT_MINE
        name = escaped(bytes(octets[self._name : end]))
        return Finding("socks", detail=f"4a {name}:{port}")


def _five(octets: Any) -> Finding | int:
    """Look at the offer of methods (RFC 1928 section 3): each of them once."""
    if len(octets) < 2:
        return 2
    count: int = octets[1]
    if count == 0:
        return NOT_MINE
    methods = bytes(octets[2 : 2 + count])
    if len(set(methods)) < len(methods):
        return NOT_MINE
    if len(methods) < count:
        return 2 + count
    return Finding("socks", detail="5")


@implementer(IInspector)
@final
class _SOCKS:
    name = "socks"
    help = "SOCKS 4 and 5: requests to another proxy"
    fromClient = b"\4\5"
    fromServer = b""

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        four = _Four()
        return lambda octets: _five(octets) if octets[0] == 5 else four(octets)


inspector = _SOCKS()
