"""
Clients that speak to their destination, and that the kernel diverts to the gateway.

They send the gateway nothing, and read nothing of it. Where they wanted to go is
their request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, final

from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Requested

__all__ = ["Transparent", "connection", "datagrams"]

#: Numbers of this protocol alone: nobody sends them.
_CONNECTION: Final = 1
_DATAGRAMS: Final = 2
_NO_LOGIN: Final = bytes((Method.NO_AUTHENTICATION,))


def connection(address: Address, port: int) -> Requested:
    """Return the request of a client that connected to an address and port."""
    return _requested(_CONNECTION, address, port)


def datagrams(address: Address, port: int) -> Requested:
    """Return the request of a client that sent its first datagram there."""
    return _requested(_DATAGRAMS, address, port)


def _requested(command: int, address: Address, port: int) -> Requested:
    return Requested(0, command, address, port, address.text.encode("ascii"), b"")


@final
class Transparent(Dialect):
    """Neither a message of the client's, nor one of ours."""

    protocol = "transparent"
    commands: ClassVar[Mapping[int, str]] = {
        _CONNECTION: "connect",
        _DATAGRAMS: "diverted",
    }
    silent = True
    loginless = "a client of a transparent listener cannot log in"

    @staticmethod
    def offered(_request: Any, /) -> bytes:
        """Return the method without messages: no login is possible."""
        return _NO_LOGIN

    @staticmethod
    def encodeReply(_reply: Reply, _host: Any, _port: int, /) -> bytes:
        """Return nothing: what the client reads is its destination's."""
        return b""
