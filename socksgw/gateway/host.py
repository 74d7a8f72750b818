"""
This host's addresses, and the addresses of the gateway's listeners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Protocol, final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.system.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["HostAddresses", "HostRoutes"]


class HostRoutes(Protocol):
    """A way to find out which addresses lead to this host."""

    @property
    def changes(self) -> int:
        """The number of changes so far in what leads here."""

    def leadsHere(self, address: Address) -> bool:
        """
        Tell whether packets to the address stay on this host.

        @raise OSError: this way of finding out does not work any more.
        """

    def look(self) -> None:
        """
        Process changes that are pending.

        @raise OSError: this way of finding out does not work any more.
        """

    def close(self) -> None:
        """Close the sockets."""


@final
class HostAddresses:
    """
    What leads to this host, and to the gateway's own listeners.

    @ivar advertised: further addresses of this host, such as that of a NAT
        gateway in front of it (C{udp.advertise}).
    """

    def __init__(
        self,
        bound: Callable[[], Iterable[tuple[str, int]]],
        ask: Callable[[], HostRoutes] = KernelRoutes,
        probe: Callable[[], HostRoutes] = ProbedRoutes,
    ) -> None:
        """
        Find a source of routes.

        @param bound: returns the addresses and ports of the listeners.
        @param ask: makes the preferred source of routes; raises L{OSError}
            where a sandbox denies it.
        @param probe: makes the source of routes that is used then.
        """
        self._bound = bound
        self._probe = probe
        # A reload compiles rules in a thread, and asks from there.
        self._lock = Lock()
        self._missed = 0
        try:
            self._routes = ask()
        except OSError as e:
            self._routes = self._instead(e)
        self.advertised: frozenset[Address] = frozenset()

    @classmethod
    def of(cls, config: Config) -> HostAddresses:
        """
        Return this host as if the gateway ran with that configuration.
        """
        found = cls(tuple)
        found._suppose(config)
        return found

    @contextmanager
    def supposing(self, config: Config) -> Iterator[None]:
        """
        Take the listeners of another configuration meanwhile, to examine it.
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
            # Wrong addresses are reported by the examination.
            for text in listen.address:
                with suppress(ValueError):
                    address, port = parseListenAddress(text)
                    places.append((address.text, port))
            if listen.udp.advertise:
                with suppress(ValueError):
                    advertised.add(Address.parse(listen.udp.advertise))
        self._bound = lambda: places
        self.advertised = frozenset(advertised)

    @property
    def changes(self) -> int:
        """The number of changes so far in which addresses lead here."""
        with self._lock:
            try:
                self._routes.look()
            except OSError as e:
                self._degrade(e)
            return self._missed + self._routes.changes

    def _leadsHere(self, address: Address) -> bool:
        with self._lock:
            try:
                return self._routes.leadsHere(address)
            except OSError as e:
                self._degrade(e)
                return self._routes.leadsHere(address)

    def _degrade(self, error: OSError) -> None:
        """Use the other source of routes: the kernel answers no longer."""
        self._missed += self._routes.changes + 1
        self._routes.close()
        self._routes = self._instead(error)

    def _instead(self, error: OSError) -> HostRoutes:
        tellOnce(
            "netlink",
            error,
            "this host's addresses are found by /proc/net and by probing; a change of "
            "local routes counts a second later",
        )
        return self._probe()

    def close(self) -> None:
        """Close the sockets to the kernel."""
        self._routes.close()

    def isSelf(self, address: Address) -> bool:
        """
        Tell whether a connection to the address stays on this host.

        That is so for the addresses of its interfaces, for those of local
        routes, for loopback, and for the unspecified address (which the kernel
        takes for loopback).
        """
        return (
            address in self.advertised
            or address.isUnspecified
            or address.isLoopback
            or self._leadsHere(address)
        )

    def isListener(self, address: Address, port: int) -> bool:
        """
        Tell whether a listener of the gateway is at that address and port.
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
