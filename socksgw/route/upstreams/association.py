"""
Associations at upstreams: what datagrams go through, in one hop or several.

The datagrams for the second hop of a chain go through the association at the first,
and so on: they never go round a hop. From a hop on that takes them inside its control
connection, they go the way of that connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, final

from socksgw.errors import UpstreamFailed
from socksgw.interfaces import Protection, StreamProtection
from socksgw.route.failures import failureFor
from socksgw.route.upstreams.ground import Here
from socksgw.route.upstreams.relayed import told, untrue
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.trip import Leg, Opener, Traveller, Trip
from socksgw.system.connection import Connection
from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.datagram import encodeHeader

__all__ = ["Associated", "Layer", "Upstream"]

#: The first octet of the first multicast address of IPv4 (RFC 5771; behind them is
#: what is reserved, and broadcast), and of each one of IPv6 (RFC 4291 section 2.7).
_MULTICAST4: Final = 224
_MULTICAST6: Final = 0xFF


class Layer(NamedTuple):
    """
    What one hop wants around each datagram, as L{socksgw.relay.seams.Layer}.
    """

    header: bytes
    protection: Protection | None


class Path(Protocol):
    """Opens connections through upstreams that are chosen already."""

    def __call__(self, used: Sequence[Standing], /) -> Opener:
        """Return what opens connections through upstreams, in this order."""


@final
class Associated:
    """
    An open association, as L{socksgw.relay.seams.Associated}.

    @ivar controls: the control connections, of the first hop that carries datagrams
        on first.
    @ivar socket: connected to that hop's relay address; L{None} where datagrams go
        inside its control connection.
    @ivar framing: in which framing they do; or empty.
    @ivar association: the ID of the association whose messages they are; or empty.
    @ivar surplus: what came on it behind the reply.
    @ivar layers: what stands around each datagram, the outermost first.
    @ivar path: the upstreams, for the record.
    """

    __slots__ = (
        "_legs", "_traveller", "association", "controls", "framing", "layers", "path", "socket",
        "surplus",
    )  # fmt: skip

    def __init__(self, legs: Sequence[Leg], traveller: Traveller) -> None:
        """
        Take control connections.

        @param legs: of the last hop last.
        @raise UpstreamFailed: one of them tells no relay address.
        """
        self._legs = legs
        self._traveller = traveller
        first = legs[0]
        self.controls: list[Connection] = [each.connection for each in legs]
        self.socket: socket.socket | None = None
        self.framing = first.framing
        self.association = first.association
        self.surplus = first.surplus
        self.path = legs[-1].path
        self.layers: list[Layer] = []
        # Inside the control connection they are protected with it.
        protection = None if first.inside else first.protection
        layers = [Layer(b"", protection)]
        layers += [Layer(encodeHeader(*told(e)), e.protection) for e in legs[1:]]
        if len(layers) > 1 or protection is not None:
            self.layers = layers

    def close(self) -> None:
        """Close everything."""
        if self.socket is not None:
            self.socket.close()
        _close(self._legs, self._traveller)


def _close(legs: Sequence[Leg], traveller: Traveller) -> None:
    """Close control connections; the session does not use their upstreams then."""
    for leg in legs:
        leg.connection.abortConnection()
        for each in leg.used:
            traveller.parts(each)


@final
class Upstream:
    """
    The associations of one session through a chain (L{socksgw.relay.seams.Upstream}).

    @ivar path: the upstreams of the last one, for the record.
    """

    def __init__(
        self,
        opener: Opener,
        path: Path,
        trip: Callable[[], Trip],
        makeSocket: Callable[[int], socket.socket],
        isOwn: Callable[[Address, int], bool],
    ) -> None:
        """
        Open nothing yet.

        @param opener: asks the last upstream, whichever is chosen.
        @param trip: begins a trip that asks for UDP.
        @param makeSocket: opens a socket for datagrams, of a version of IP.
        @param isOwn: whether one of the gateway's own listeners is at an address
            and port.
        """
        self._opener = opener
        self._path = path
        self._trip = trip
        self._makeSocket = makeSocket
        self._isOwn = isOwn
        self.path = ""
        self._prepared: Associated | None = None

    async def prepare(self) -> None:
        """
        Have an association before the first datagram.

        @raise SocksError: as L{associate}.
        """
        self._prepared = await self.associate()

    async def associate(self) -> Associated | None:
        """
        Have an association.

        @return: L{None} where none of the upstreams works, and the datagrams may leave
            from here then.
        @raise SocksError: there is none; nothing is left open then.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            return prepared
        try:
            return await self._associated(self._trip())
        except Here:
            self.path = ""
            return None

    def close(self) -> None:
        """Close what was prepared and not used."""
        if self._prepared is not None:
            self._prepared.close()

    async def _associated(self, trip: Trip) -> Associated:
        legs: list[Leg] = []
        try:
            legs.append(await self._opener.open(UNSPECIFIED4, 0, trip))
            # The datagrams for a hop go through the hops before it.
            while not legs[0].inside and len(legs[0].used) > 1:
                opener = self._path(legs[0].used[:-1])
                legs.insert(0, await opener.open(UNSPECIFIED4, 0, trip))
            _require(legs)
            associated = Associated(legs, trip.traveller)
            if not legs[0].inside:
                associated.socket = self._connected(legs[0])
        except BaseException:
            _close(legs, trip.traveller)
            raise
        self.path = associated.path
        return associated

    def _connected(self, leg: Leg) -> socket.socket:
        """
        Return a socket that sends to an upstream's relay address, and hears it alone.

        @raise SocksError: there is none.
        """
        address, port = told(leg)
        here = leg.connection.peer.address
        if _isMany(address) or (address.isLoopback and not here.isLoopback):
            raise untrue(leg, f"it tells {address} to send datagrams to")
        if self._isOwn(address, port):
            text = f"{address}:{port} is a listener of this gateway"
            raise UpstreamFailed(text, None, "loop", leg.name)
        made: socket.socket | None = None
        try:
            made = self._makeSocket(address.version)
            made.connect((address.text, port))
        except OSError as e:
            if made is not None:
                made.close()
            failure = failureFor(e.errno or 0)
            text = f'upstream "{leg.name}": its relay {address}:{port}: {failure}'
            raise UpstreamFailed(text, None, None, leg.name) from None
        return made


def _isMany(address: Address) -> bool:
    """Return whether an address is multicast, or broadcast."""
    first = address.packed[0]
    return first >= _MULTICAST4 if address.version == 4 else first == _MULTICAST6


def _require(legs: Sequence[Leg]) -> None:
    """
    Make sure that datagrams are as well protected as each control connection.

    What GSSAPI protects is unwrapped by that hop, and goes on to the next one.

    @param legs: from the first hop that carries datagrams on.
    @raise UpstreamFailed: they would go in the clear.
    """
    for leg in legs:
        if leg.inside or not leg.tls:
            continue
        if leg.protection is None or isinstance(leg.protection, StreamProtection):
            text = (
                f'upstream "{leg.name}": datagrams would go beside its protected '
                'connection in the clear: udp = "hev" or "gost" has them go inside it'
            )
            raise UpstreamFailed(text, None, "upstream-tls", leg.name)
