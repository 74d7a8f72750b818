"""
The socket for the datagrams of a client's groups, where they go beside its connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, final

from socksgw.relay.membership import Membership, Memberships
from socksgw.relay.segments import BATCH
from socksgw.system.filter import admitOnly, dropped
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.multicast import HEADER, encodeHeader, readHeader

__all__ = ["GroupRelay", "Relayed"]

_BUFFER: Final = bytearray(1 << 16)
_VIEW: Final = memoryview(_BUFFER)


class Relayed(NamedTuple):
    """
    The relay socket for the datagrams of a client's groups.

    @ivar socket: bound and non-blocking, or what protects that.
    @ivar told: where the client sends its datagrams.
    """

    socket: Any
    told: tuple[Address, int]


@final
class GroupRelay:
    """
    The relay socket of a client: its datagrams for groups, and those of groups for it.

    Only datagrams from the client's address count.

    @ivar told: where the client sends them.
    @ivar strangers: how many came from elsewhere.
    """

    def __init__(
        self,
        relayed: Relayed,
        source: Address,
        memberships: Memberships,
        watch: Watcher,
        isClients: Callable[[tuple[str, int]], bool] | None,
        mark: int,
    ) -> None:
        """
        Begin to take datagrams.

        @param source: the client's address.
        @param isClients: tells whether a socket of this host is the client's.
        @param mark: the mark that the datagrams have to have; 0: any or none.
        """
        self._socket, self.told = relayed
        self._source = socket.inet_ntop(self._socket.family, source.packed)
        self._memberships = memberships
        self._watch = watch
        self._isClients = isClients
        self._isHere = self._socket.getsockname()[0].partition("%")[0] == self._source
        self._scope = ""
        self.strangers = 0
        admitOnly(self._socket, source, None, mark)
        watch.add(self._socket.fileno(), READ, self._ready)

    @property
    def proves(self) -> bool:
        """
        Whether a port is the client's only once a datagram came from it.

        Of a client on this host another may be one of ours, and what is sent to it a
        circle without an end.
        """
        return self._isHere or self._isClients is not None

    def _ready(self, _events: int) -> None:
        receive = self._socket.recvfrom_into
        for _ in range(BATCH):
            try:
                length, peer = receive(_VIEW)
            except OSError:
                # There is no more; or the client's host says that the port is shut.
                return
            membership = self._from(peer, length)
            if membership is None:
                self.strangers += 1
            elif length > HEADER:
                # One without a payload only tells the client's port.
                membership.send(_VIEW[HEADER:length])

    def _from(self, peer: tuple[str, int], length: int) -> Membership | None:
        """Return the group that the datagram in the buffer is for."""
        # A link-local address has its interface behind it.
        text, percent, zone = peer[0].partition("%")
        if text != self._source:
            return None
        aid = readHeader(_VIEW[:length])
        membership = None if aid is None else self._memberships.byNumber.get(aid)
        if membership is None or membership.inside:
            return None
        if not membership.near:
            if self._isClients is not None and not self._isClients(peer[:2]):
                return None
            membership.near = peer[1]
        if membership.near != peer[1]:
            return None
        self._scope = percent + zone
        return membership

    def deliver(self, membership: Membership, datagram: memoryview) -> None:
        """As L{socksgw.relay.membership.Delivers}."""
        if not membership.near:
            return
        datagram[:HEADER] = encodeHeader(membership.aid)
        with suppress(OSError):
            # The kernel has no room for it, or it is too long: lost.
            self._socket.sendto(datagram, (self._source + self._scope, membership.near))

    def close(self) -> None:
        """Close the socket."""
        self.strangers += dropped(self._socket)
        self._watch.remove(self._socket.fileno())
        self._socket.close()
