"""
What the policy knows of the host that the gateway runs on.
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
    """Knows which addresses lead to this host."""

    @property
    def changes(self) -> int:
        """How often something has changed that leads here."""

    def leadsHere(self, address: Address) -> bool:
        """
        Whether packets to the address stay on this host.

        @raise OSError: that cannot be found out this way any more.
        """

    def look(self) -> None:
        """
        Take in what has changed.

        @raise OSError: that cannot be found out this way any more.
        """

    def close(self) -> None:
        """Ask nothing any more."""


@final
class HostAddresses:
    """
    This host's addresses and our listeners' places.

    @ivar advertised: addresses under which others reach us.
    """

    def __init__(
        self,
        bound: Callable[[], Iterable[tuple[str, int]]],
        ask: Callable[[], HostRoutes] = KernelRoutes,
        probe: Callable[[], HostRoutes] = ProbedRoutes,
    ) -> None:
        """
        @param bound: where we listen, by address and port.
        @param ask: makes what asks the kernel; raises L{OSError} where that is
            denied.
        @param probe: makes what serves instead.
        """
        self._bound = bound
        self._probe = probe
        # A reload tests its expectations in a thread.
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

    @property
    def changes(self) -> int:
        """How often it has changed which addresses lead here."""
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
        """The kernel does not answer any more."""
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
        """Ask the kernel nothing any more."""
        self._routes.close()

    def isSelf(self, address: Address) -> bool:
        """
        Whether a connection to the address stays on this host: it is one of
        ours, a local route covers it, or it is loopback or unspecified (the
        kernel takes that for loopback).
        """
        return (
            address in self.advertised
            or address.isUnspecified
            or address.isLoopback
            or self._leadsHere(address)
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
