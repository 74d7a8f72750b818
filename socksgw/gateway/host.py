"""
This host's addresses, and the addresses of the gateway's listeners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Protocol, final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.system.domains import OWN, Domain
from socksgw.system.sockets import tellOnce
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address

__all__ = ["DomainRoutes", "HostAddresses", "HostRoutes", "Place", "Unknown"]

#: Where a listener is: its address, its port, and the domain of these.
Place = tuple[str, int, Domain]


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


class Unknown:
    """
    Routes that cannot be found out: every address counts as leading here.

    So nothing is dialled in a network of which it is not known what is our own.
    """

    changes = 0

    def leadsHere(self, address: Address) -> bool:
        """As L{HostRoutes.leadsHere}."""
        return True

    def look(self) -> None:
        """As L{HostRoutes.look}."""

    def close(self) -> None:
        """As L{HostRoutes.close}."""


@final
class DomainRoutes:
    """
    The routes of one routing domain, from what is able to tell.
    """

    def __init__(
        self,
        ask: Callable[[], HostRoutes],
        probe: Callable[[], HostRoutes],
        instead: str,
    ) -> None:
        """
        Find a source of routes.

        @param ask: makes the preferred one; raises L{OSError} where it is denied.
        @param probe: makes the one that is used then.
        @param instead: what is said then.
        """
        self._probe = probe
        self._said = instead
        # A reload compiles rules in a thread, and asks from there.
        self._lock = Lock()
        self._missed = 0
        self._followed: Watcher | None = None
        try:
            self._routes = ask()
        except OSError as e:
            self._routes = self._instead(e)

    @property
    def changes(self) -> int:
        """The number of changes so far in which addresses lead here."""
        with self._lock:
            try:
                self._routes.look()
            except OSError as e:
                self._degrade(e)
            return self._missed + self._routes.changes

    def follow(self, watch: Watcher) -> None:
        """Process changes as they come from now on, where something tells of them."""
        routes = self._routes
        if isinstance(routes, KernelRoutes):
            watch.add(routes.fileno(), READ, self._process)
            self._followed = watch

    def _process(self, _: int) -> None:
        """Process the changes that there are."""
        assert self.changes >= 0

    @property
    def seen(self) -> int | None:
        """
        A number that grows with whatever changes, as far as that is processed.

        It costs no system call; L{None} where changes are not processed as they come.
        """
        routes = self._routes
        if self._followed is None or not isinstance(routes, KernelRoutes):
            return None
        return routes.dropped

    def leadsHere(self, address: Address) -> bool:
        """Tell whether packets to the address stay on this host."""
        with self._lock:
            try:
                return self._routes.leadsHere(address)
            except OSError as e:
                self._degrade(e)
                return self._routes.leadsHere(address)

    def _degrade(self, error: OSError) -> None:
        """Use the other source of routes: the kernel answers no longer."""
        self._missed += self._routes.changes + 1
        if self._followed is not None and isinstance(self._routes, KernelRoutes):
            self._followed.closing(self._routes.fileno())
        self._routes.close()
        self._routes = self._instead(error)

    def _instead(self, error: OSError) -> HostRoutes:
        tellOnce("netlink", error, self._said)
        return self._probe()

    def close(self) -> None:
        """Close the sockets to the kernel."""
        self._routes.close()


@final
class HostAddresses:
    """
    What leads to this host, and to the gateway's own listeners.

    That differs between the networks of its listeners (L{Domain}).

    @ivar advertised: further addresses of this host, such as that of a NAT
        gateway in front of it (C{udp.advertise}).
    """

    def __init__(
        self,
        bound: Callable[[], Iterable[Place]],
        ask: Callable[[], HostRoutes] = KernelRoutes,
        probe: Callable[[], HostRoutes] = ProbedRoutes,
    ) -> None:
        """
        Find a source of routes.

        @param bound: returns the addresses, ports and domains of the listeners.
        @param ask: makes the preferred source of routes; raises L{OSError}
            where a sandbox denies it.
        @param probe: makes the source of routes that is used then.
        """
        self._bound = bound
        instead = (
            "this host's addresses are found by /proc/net and by probing; a change of "
            "local routes counts a second later"
        )
        self._here = DomainRoutes(ask, probe, instead)
        #: The domains besides, and their changes before they were joined again.
        self._there: dict[Domain, DomainRoutes] = {}
        self._before = 0
        #: By listener, where it is not L{OWN}.
        self._domains: Mapping[str, Domain] = {}
        #: Whether a domain that was not joined may be asked about.
        self._supposed = False
        self.advertised: frozenset[Address] = frozenset()

    @classmethod
    def of(
        cls,
        config: Config,
        ask: Callable[[], HostRoutes] = KernelRoutes,
        probe: Callable[[], HostRoutes] = ProbedRoutes,
    ) -> HostAddresses:
        """
        Return this host as if the gateway ran with that configuration.

        What is its own in network namespaces is not known, as only brokers tell.

        @param ask: as of L{HostAddresses}, and so is C{probe}.
        """
        found = cls(tuple, ask, probe)
        found._suppose(config)
        return found

    @contextmanager
    def supposing(self, config: Config) -> Iterator[None]:
        """
        Take the listeners of another configuration meanwhile, to examine it.
        """
        before = self._bound, self.advertised, self._domains, self._supposed
        self._suppose(config)
        try:
            yield
        finally:
            self._bound, self.advertised, self._domains, self._supposed = before

    def _suppose(self, config: Config) -> None:
        places: list[Place] = []
        advertised: set[Address] = set()
        for listen in config.listen:
            # Wrong addresses are reported by the examination.
            for text in listen.address:
                with suppress(ValueError):
                    address, port = parseListenAddress(text)
                    places.append((address.text, port, listen.domain))
            if listen.udp.advertise:
                with suppress(ValueError):
                    advertised.add(Address.parse(listen.udp.advertise))
        self._bound = lambda: places
        self.advertised = frozenset(advertised)
        self.apply(config)
        self._supposed = True

    def apply(self, config: Config) -> None:
        """Take the routing domains of a configuration's listeners."""
        self._domains = {
            listen.name: listen.domain for listen in config.listen if listen.domain.name
        }

    def join(self, domain: Domain, ask: Callable[[], HostRoutes]) -> None:
        """
        Ask about a routing domain from now on, from the beginning.

        @param ask: makes the source of its routes; raises L{OSError} where that is
            denied. Then every address there counts as this host's.
        """
        self.leave(domain)
        instead = f"of {domain} every address counts as this host's: nothing is dialled"
        self._there[domain] = DomainRoutes(ask, Unknown, instead)

    def leave(self, domain: Domain) -> None:
        """Ask about a routing domain no longer."""
        routes = self._there.pop(domain, None)
        if routes is not None:
            self._before += routes.changes + 1
            routes.close()

    @property
    def changes(self) -> int:
        """The number of changes so far in which addresses lead here."""
        there = sum(routes.changes for routes in self._there.values())
        return self._here.changes + self._before + there

    def follow(self, watch: Watcher) -> None:
        """Process changes of our own network as they come from now on."""
        self._here.follow(watch)

    def seen(self, listener: str) -> int | None:
        """
        Return a number that grows when an answer to L{isSelf} may change.

        @param listener: the one that is asked for.
        @return: L{None} where that cannot be told without asking the kernel.
        """
        return None if listener in self._domains else self._here.seen

    def close(self) -> None:
        """Close the sockets to the kernel."""
        self._here.close()
        for routes in self._there.values():
            routes.close()

    def isSelf(self, address: Address, listener: str | None = None) -> bool:
        """
        Tell whether a connection to the address stays on this host.

        That is so for the addresses of its interfaces, for those of local
        routes, for loopback, and for the unspecified address (which the kernel
        takes for loopback).

        @param listener: the client's, whose network the address is in; L{None} for
            any.
        """
        return (
            address in self.advertised
            or address.isUnspecified
            or address.isLoopback
            or self._leadsHere(address, listener)
        )

    def _leadsHere(self, address: Address, listener: str | None) -> bool:
        domains = self._domains
        if not domains:
            return self._here.leadsHere(address)
        if listener is None:
            every = {OWN, *domains.values()}
            return any(self._within(domain, address) for domain in every)
        return self._within(domains.get(listener, OWN), address)

    def _within(self, domain: Domain, address: Address) -> bool:
        if not domain.name:
            return self._here.leadsHere(address)
        routes = self._there.get(domain)
        if routes is None:
            # When a configuration is only examined, it is not known.
            return not self._supposed
        return routes.leadsHere(address)

    def isListener(
        self, address: Address, port: int, listener: str | None = None
    ) -> bool:
        """
        Tell whether a listener of the gateway is at that address and port.

        @param listener: as of L{isSelf}.
        """
        place = None
        if listener is not None:
            place = _namespaceOf(self._domains.get(listener, OWN))
        for host, number, domain in self._bound():
            if (
                number == port
                and place in (None, _namespaceOf(domain))
                and self.isSelf(address, listener)
            ):
                listening = Address.parse(host)
                if (
                    listening == address
                    or listening.isUnspecified
                    or address.isUnspecified
                ):
                    return True
        return False


def _namespaceOf(domain: Domain) -> str:
    """Return the name of a domain's network namespace; empty for our own."""
    return domain.name if domain.kind == "netns" else ""
