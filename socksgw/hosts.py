"""
What the policy knows of the host that the gateway runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import final

import ifaddr

from socksgw.accept.endpoints import parseListenAddress
from socksgw.shape import Config
from socksgw.wire.address import Address

__all__ = ["HostAddresses"]


@final
class HostAddresses:
    """
    This host's addresses and our listeners' places.

    @ivar advertised: addresses under which others reach us.
    """

    def __init__(self, bound: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """
        @param bound: where we listen, by address and port.
        """
        self._bound = bound
        self._addresses: frozenset[Address] = frozenset()
        self.advertised: frozenset[Address] = frozenset()
        self.refresh()

    @classmethod
    def of(cls, config: Config) -> HostAddresses:
        """
        This host, as if the gateway ran here with that configuration.
        """
        found = cls(tuple)
        found._suppose(config)
        return found

    @contextmanager
    def supposing(self, config: Config) -> Iterator[None]:
        """
        Meanwhile we are where that configuration wants us, for its tests.
        """
        before = self._bound, self.advertised
        self._suppose(config)
        try:
            yield
        finally:
            self._bound, self.advertised = before

    def _suppose(self, config: Config) -> None:
        places: list[tuple[str, int]] = []
        advertised: set[Address] = set()
        for listen in config.listen:
            # What is wrong in these is told elsewhere.
            for text in listen.address:
                with suppress(ValueError):
                    address, port = parseListenAddress(text)
                    places.append((address.text, port))
            if listen.udp.advertise:
                with suppress(ValueError):
                    advertised.add(Address.parse(listen.udp.advertise))
        self._bound = lambda: places
        self.advertised = frozenset(advertised)

    def refresh(self) -> None:
        """
        Ask the system again.
        """
        found = set()
        for adapter in ifaddr.get_adapters():
            for ip in adapter.ips:
                text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
                found.add(Address.parse(text.partition("%")[0]))
        self._addresses = frozenset(found)

    def isSelf(self, address: Address) -> bool:
        """
        Whether a connection to the address stays on this host: it is one of
        ours, loopback, or unspecified (the kernel takes that for loopback).
        """
        return (
            address in self._addresses
            or address in self.advertised
            or address.isUnspecified
            or address.isLoopback
        )

    def isListener(self, address: Address, port: int) -> bool:
        """
        Whether we listen there.
        """
        for host, number in self._bound():
            if number == port and self.isSelf(address):
                listening = Address.parse(host)
                if (
                    listening == address
                    or listening.isUnspecified
                    or address.isUnspecified
                ):
                    return True
        return False
