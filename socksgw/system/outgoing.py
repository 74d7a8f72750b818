"""
Sockets that leave by a chosen address, device or mark.

An address alone is no choice of network: the kernel chooses the route by the
destination, unless a rule of ip-rule(8) says C{from}. The device does choose
(C{SO_BINDTODEVICE}), and so does the mark (C{SO_MARK}) where a rule says C{fwmark}.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, final

from socksgw.errors import CannotLeave, ConnectFailed
from socksgw.system.domains import Domain, Sockets, unusable
from socksgw.system.sockets import FAMILIES, portLater
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

__all__ = ["Marked", "Near", "Outgoing", "noWay"]

_VERSIONS: Final[Mapping[int, int]] = {
    family: version for version, family in FAMILIES.items()
}
_STREAM: Final = socket.SOCK_STREAM


class Near(NamedTuple):
    """
    The addresses that something leaves by, one of each version of IP.

    @ivar four: the IPv4 address; L{None} for none.
    @ivar six: the IPv6 address.
    @ivar any: whether a version without an address leaves by the one that the kernel
        chooses. Else it does not leave.
    """

    four: Address | None
    six: Address | None
    any: bool = False

    def of(self, version: int) -> Address | None:
        """Return the address of a version of IP."""
        return self.four if version == 4 else self.six

    def serves(self, version: int) -> bool:
        """Return whether anything of a version of IP may leave."""
        return self.any or self.of(version) is not None


@final
class Marked:
    """
    The sockets of a routing domain, with a device or a mark (L{Sockets}).

    They are bound to no address: what binds them itself begins with these.
    """

    bound: Final = False

    def __init__(
        self, sockets: Sockets, device: str = "", mark: int | None = None
    ) -> None:
        """
        Put something around a routing domain's sockets.

        @param sockets: bound to no device where C{device} names one.
        @param device: the name of the device that they leave by.
        @param mark: for the kernel's rules, from 0 to 4,294,967,295.
        """
        self._sockets = sockets
        self._device = device
        self._mark = mark
        self.wait = sockets.wait
        self.ready = sockets.ready

    def open(self, family: int, kind: int) -> socket.socket:
        """
        As L{Sockets.open}.

        @raise CannotLeave: this process may not set the mark.
        @raise ConnectFailed: there is no such device.
        """
        opened = self._sockets.open(family, kind)
        try:
            self._choose(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _choose(self, opened: socket.socket) -> None:
        if self._device:
            try:
                opened.setsockopt(
                    socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode()
                )
            except OSError as e:
                if e.errno != errno.ENODEV:
                    raise
                domain = Domain("device", self._device)
                raise unusable(domain, "there is no such device") from None
        if self._mark is not None:
            try:
                opened.setsockopt(
                    socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", self._mark)
                )
            except PermissionError:
                raise CannotLeave(
                    f"mark {self._mark}: the gateway may not set marks; it needs "
                    "CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17"
                ) from None


@final
class Outgoing:
    """
    Sockets that are bound to the address that they leave by (L{Sockets}).

    Sockets for streams have no port yet: the kernel chooses it when they connect, so
    that each port serves as many destinations as there are (ip(7),
    IP_BIND_ADDRESS_NO_PORT).
    """

    bound: Final = True

    def __init__(
        self,
        sockets: Sockets,
        near: Near,
        found: Callable[[Address, bool], None] = lambda _, __: None,
    ) -> None:
        """
        Put something around sockets that are bound to no address.

        @param near: the addresses.
        @param found: told each time whether an address was there.
        """
        self._sockets = sockets
        self._near = near
        self._found = found
        self.wait = sockets.wait
        self.ready = sockets.ready

    def open(self, family: int, kind: int) -> socket.socket:
        """
        As L{Sockets.open}.

        @raise CannotLeave: no address of this family was chosen, or this host does
            not have it.
        """
        version = _VERSIONS[family]
        address = self._near.of(version)
        if address is None and not self._near.any:
            raise noWay(version)
        opened = self._sockets.open(family, kind)
        try:
            if kind == _STREAM:
                if address is None:
                    return opened
                portLater(opened)
            elif version == 6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind(("" if address is None else address.text, 0))
        except OSError as e:
            opened.close()
            if e.errno != errno.EADDRNOTAVAIL or address is None:
                raise
            self._found(address, False)
            raise CannotLeave(
                f"leave_by: {address.text} is no address of this host now"
            ) from None
        if address is not None:
            self._found(address, True)
        return opened


def noWay(version: int) -> ConnectFailed:
    """Return the failure of what has no address to leave by."""
    return CannotLeave(
        f"leave_by has no IPv{version} address; add one to reach such destinations",
        Reply.NETWORK_UNREACHABLE,
    )
