"""
Datagrams of a program in a network of its own.

The kernel sends them, and the supervisor tells the program if they would go nowhere.
"""

from __future__ import annotations

import socket
from typing import final

from socksgw.interfaces import SetDeadline
from socksgw.run.datagrams import Came, Carriage, check, decided
from socksgw.run.enclosure import OWN
from socksgw.run.gates import DNS, Bundles
from socksgw.run.memory import Place
from socksgw.wire.address import Address

__all__ = ["IsolatedDatagrams"]


@final
class IsolatedDatagrams(Carriage):
    """
    Has associations before datagrams are sent (L{Carriage}).
    """

    def __init__(self, bundles: Bundles, setDeadline: SetDeadline) -> None:
        self._bundles = bundles
        self._setDeadline = setDeadline

    def connect(self, own: socket.socket, place: Place) -> int | None:
        """As L{Carriage.connect}: the kernel does it."""

    async def send(self, own: socket.socket, place: Place, octets: bytes) -> int | None:
        """As L{Carriage.send}."""
        if place.port == DNS:
            return None
        if not own.getsockname()[1]:
            # As the kernel does when it sends.
            own.bind(("", 0))
        host, port = own.getsockname()[:2]
        if (address := Address.parse(host.partition("%")[0])).isUnspecified:
            address = Address.parse(OWN[place.address.version])
        bundle = self._bundles.at(place, (address.text, port))
        check(bundle)
        bundle.open()
        if bundle.decided is not None:
            await decided(bundle.decided, self._setDeadline)
        check(bundle)
        return None

    async def receive(self, own: socket.socket, thread: int, flags: int) -> Came | None:
        """As L{Carriage.receive}: the kernel does it."""
