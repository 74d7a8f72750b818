"""
Routing domains: where sockets come from, and so which network an address is in.

The same address may be in several networks. What a socket reaches is decided by the
network namespace that it was made in, and by the device that it is bound to
(C{SO_BINDTODEVICE}, socket(7)); a VRF is such a device.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol, final

from twisted.internet.defer import Deferred

from socksgw.errors import ConnectFailed
from socksgw.wire.codes import Reply

__all__ = ["HERE", "OWN", "Device", "Domain", "Own", "Sockets", "Waiting", "unusable"]


class Domain(NamedTuple):
    """
    A routing domain of this host.

    @ivar kind: C{own}: the network namespace of the gateway, with no device.
    @ivar name: of the device or the namespace.
    """

    kind: Literal["own", "device", "netns"]
    name: str

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"' if self.name else "this host"

    @property
    def tag(self) -> str:
        """The domain as one word, for keys and the journal; empty for C{own}."""
        return f"{self.kind}:{self.name}" if self.name else ""


#: Where a listener names neither a device nor a namespace.
OWN: Final = Domain("own", "")


class Waiting(Protocol):
    """What is called when a socket is at hand."""

    def cancel(self) -> None:
        """Do not call it."""


class Sockets(Protocol):
    """Where the sockets of one routing domain come from."""

    @property
    def bound(self) -> bool:
        """Whether they are bound to an address already, for datagrams with a port."""

    def open(self, family: int, kind: int) -> socket.socket:
        """
        Return a new non-blocking socket.

        @param kind: C{SOCK_STREAM} or C{SOCK_DGRAM}.
        @raise BlockingIOError: none is at hand now: L{wait}.
        @raise OSError: there is none.
        @raise ConnectFailed: the domain cannot be used.
        """

    def wait(self, family: int, kind: int, call: Callable[[], object]) -> Waiting:
        """
        Call when L{open} may be tried again, after it has raised C{BlockingIOError}.

        It is called in a later turn of the reactor, once.
        """

    def ready(self, family: int, kind: int) -> Deferred[None] | None:
        """
        Return what fires when a socket is at hand; L{None} if that is so now.

        Whoever waited takes the socket in the call that resumes it.
        """


@final
class Own:
    """The sockets of the gateway's own network namespace."""

    bound: Final = False

    def open(self, family: int, kind: int) -> socket.socket:
        """As L{Sockets.open}."""
        return socket.socket(family, kind | socket.SOCK_NONBLOCK)

    def wait(self, family: int, kind: int, call: Callable[[], object]) -> Waiting:
        """As L{Sockets.wait}; there is never anything to wait for."""
        raise NotImplementedError

    def ready(self, family: int, kind: int) -> Deferred[None] | None:
        """As L{Sockets.ready}."""
        return None


HERE: Final = Own()


@final
class Device:
    """
    The sockets of one device, such as an interface or a VRF.

    Linux lets anybody bind a socket to a device that is bound to none (since 5.7).
    """

    bound: Final = False

    def __init__(self, name: str) -> None:
        self._name = name

    def open(self, family: int, kind: int) -> socket.socket:
        """As L{Sockets.open}."""
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            opened.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._name.encode()
            )
        except OSError as e:
            opened.close()
            if e.errno != errno.ENODEV:
                raise
            raise unusable(
                Domain("device", self._name), "there is no such device"
            ) from None
        return opened

    def wait(self, family: int, kind: int, call: Callable[[], object]) -> Waiting:
        """As L{Sockets.wait}; there is never anything to wait for."""
        raise NotImplementedError

    def ready(self, family: int, kind: int) -> Deferred[None] | None:
        """As L{Sockets.ready}."""
        return None


def unusable(domain: Domain, why: str) -> ConnectFailed:
    """Return the failure of what needs a domain that cannot be used now."""
    return ConnectFailed(f"{domain}: {why}", Reply.NETWORK_UNREACHABLE, "network-lost")
