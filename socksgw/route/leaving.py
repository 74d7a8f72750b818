"""
Which of this host's addresses a session leaves by.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final, final

from attrs import frozen

from socksgw.errors import ConnectFailed, LeadsHere
from socksgw.route.probe import localTowards
from socksgw.system.connection import SocketName
from socksgw.system.outgoing import Marked, Near, Outgoing, noWay
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["Departure", "LeaveBy", "away", "means"]

#: How the link-local addresses of IPv6 begin (RFC 4291 section 2.5.6): fe80::/10.
_LINK_LOCAL: Final = 0xFE80
_LINK_LOCAL_BITS: Final = 0xFFC0


@final
class LeaveBy:
    """
    The addresses that the sessions of a rule, or of a listener, may leave by.

    @ivar only: those of every session, where there is no choice; else L{None}.
    """

    __slots__ = ("_all", "_same", "only")

    def __init__(self, addresses: Iterable[Address], same: bool = False) -> None:
        """
        Take the addresses of C{leave_by}.

        @param same: whether it is C{"same"}, the address that the client came to.
        """
        found = tuple(addresses)
        self._all = tuple(
            tuple(each for each in found if each.version == version)
            for version in (4, 6)
        )
        self._same = same
        self.only: Near | None = None
        if not same and max(map(len, self._all)) < 2:
            four, six = (each[0] if each else None for each in self._all)
            self.only = Near(four, six)

    def near(self, whose: bytes, local: SocketName | None) -> Near:
        """
        Return the addresses that a session leaves by.

        Of several addresses of one version, a user has the same one each time: what
        it connects to, and what connects to it, belong together (FTP), and servers
        bind logins to addresses. Users are spread evenly, and if the list changes,
        few of them move (rendezvous hashing).

        @param whose: what tells the session's user from others.
        @param local: our end of the client's connection; L{None} where it has none.
        """
        if self.only is not None:
            return self.only
        if self._same:
            return _same(local)
        four, six = (_chosen(each, whose) for each in self._all)
        return Near(four, six)


def _same(local: SocketName | None) -> Near:
    """
    Return the address that a client came to, where other hosts can answer to it.

    The other version of IP leaves as usual, and so does everything where that address
    means nothing elsewhere: loopback, link-local addresses, Unix sockets.
    """
    address = None if local is None else local.address
    if address is None or not means(address):
        return Near(None, None, True)
    if address.version == 4:
        return Near(address, None, True)
    return Near(None, address, True)


def means(address: Address) -> bool:
    """Return whether an address means the same to other hosts, on every link."""
    if address.isLoopback:
        return False
    start = int.from_bytes(address.packed[:2], "big")
    return address.version == 4 or start & _LINK_LOCAL_BITS != _LINK_LOCAL


def _chosen(addresses: Sequence[Address], whose: bytes) -> Address | None:
    if len(addresses) < 2:
        return addresses[0] if addresses else None
    # The addresses have one length, so that the two parts cannot be confused.
    return max(
        addresses, key=lambda each: blake2b(each.packed + whose, digest_size=8).digest()
    )


@final
@frozen
class Departure:
    """
    How sessions leave that do not leave as usual.

    @ivar near: the addresses that they leave by.
    @ivar bare: sockets with the device and the mark, for what is bound otherwise.
    @ivar sockets: sockets that are bound to C{near}.
    @ivar bans: whether an address and port are banned if they lead to this host.
    """

    near: Near
    bare: Marked
    sockets: Outgoing
    bans: Callable[[Address, int], bool]

    def reachable(self, addresses: Sequence[Address]) -> Sequence[Address]:
        """
        Return the addresses of those versions of IP that may leave.

        @raise ConnectFailed: there is none.
        """
        if self.near.any:
            return addresses
        found = [each for each in addresses if self.near.serves(each.version)]
        if not found:
            raise noWay(addresses[0].version)
        return found

    def leadsHere(self, address: Address, port: int) -> bool:
        """
        Return whether packets to an address do not leave this host, and that is banned.

        The policy was asked about the client's network, and a device or a mark may
        lead to another one, where other addresses are ours. That both ends of a
        connection have one address does not show it either, where ours is chosen.

        @raise LimitReached: there is no socket to find out with.
        """
        if not self.bans(address, port):
            return False
        try:
            return localTowards(address, self.bare) == address
        except ConnectFailed:
            # There is no way at all, and whoever connects will be told why.
            return False

    def leading(self, addresses: Sequence[Address], port: int) -> tuple[Address, ...]:
        """
        Return the addresses that packets may leave to.

        @raise LeadsHere: packets to all of them would stay here.
        @raise SocksError: as L{reachable} and L{leadsHere}.
        """
        return away(
            [
                each
                for each in self.reachable(addresses)
                if not self.leadsHere(each, port)
            ]
        )

    def inward(self, version: int) -> Address | None:
        """
        Return the address that peers come to; L{None} for the usual one.

        @raise ConnectFailed: no such address is there, or was chosen.
        """
        address = self.near.of(version)
        if address is None:
            if not self.near.any:
                raise noWay(version)
            return None
        with self.sockets.open(FAMILIES[version], socket.SOCK_DGRAM):
            return address


def away(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """
    Return the addresses that do not lead to this host.

    @raise LeadsHere: there is none.
    """
    if not addresses:
        raise LeadsHere("the destination turned out to be this host")
    return tuple(addresses)
