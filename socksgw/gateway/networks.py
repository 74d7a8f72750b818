"""
The routing domains of listeners besides the gateway's own: devices and namespaces.

Each is looked at once a second. What has gone is said, and what is there again, or is
another one of the same name, is used anew.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, final

from twisted.logger import Logger

from socksgw.audit.process import networkLine
from socksgw.config.schema import Config
from socksgw.errors import SocksError
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.gateway.starting import CannotStart
from socksgw.route.outward import Elsewhere, Last, Outward, nowhere
from socksgw.system.brokered import Brokered
from socksgw.system.domains import HERE, OWN, Device, Domain, Sockets
from socksgw.system.watch import Watcher

__all__ = ["Fresh", "Networks", "domainsOf"]

_log = Logger()


def domainsOf(config: Config) -> dict[Domain, int]:
    """Return the domains of a configuration, with the number of the listener."""
    found: dict[Domain, int] = {}
    for i, listen in enumerate(config.listen):
        if listen.domain.name:
            found.setdefault(listen.domain, i)
    return found


@final
class _Network:
    """
    One domain in use.

    @ivar identity: what told it from others of its name, when it was there last; 0
        before that.
    @ivar there: whether it is there.
    """

    def __init__(
        self,
        domain: Domain,
        directory: Path,
        watch: Watcher,
        elsewhere: Elsewhere,
    ) -> None:
        self.sockets: Device | Brokered
        if domain.kind == "netns":
            self.sockets = Brokered(
                domain.name, directory / f"{domain.name}.sock", watch
            )
        else:
            self.sockets = Device(domain.name)
        self.domain = domain
        self.outward = Outward(domain, elsewhere)
        self.identity = 0
        self.there = False

    def prepare(self) -> None:
        """
        Find out whether it is there; this may block for some seconds.

        @raise CannotStart: it is not.
        """
        if isinstance(self.sockets, Brokered):
            self.sockets.prepare()
        self.identity = self.now()
        if not self.identity:
            raise CannotStart(f"{self.domain}: {self.why}")
        self.there = True

    def now(self) -> int:
        """Return what tells the domain from others; 0 where there is none."""
        if isinstance(self.sockets, Brokered):
            return self.sockets.identity
        try:
            return socket.if_nametoindex(self.domain.name)
        except OSError:
            return 0

    @property
    def why(self) -> str:
        """Why it is not there."""
        if isinstance(self.sockets, Brokered):
            return self.sockets.why
        return "there is no such device (ip link shows those there are)"

    def routes(self) -> KernelRoutes:
        """
        Return the kernel's routes there.

        @raise OSError: it does not tell.
        """
        if isinstance(self.sockets, Device):
            return KernelRoutes(device=self.domain.name)
        return KernelRoutes(self._netlink)

    def _netlink(self) -> socket.socket:
        try:
            return self.sockets.open(socket.AF_NETLINK, socket.SOCK_RAW)
        except SocksError as e:
            raise OSError(errno.ENETDOWN, str(e)) from None

    def close(self) -> None:
        """Let go of it."""
        if isinstance(self.sockets, Brokered):
            self.sockets.close()


#: Networks that are not in use yet.
Fresh = Mapping[Domain, _Network]


@final
class Networks:
    """The domains that the listeners of the configuration in force name."""

    def __init__(
        self,
        directory: Path,
        hosts: HostAddresses,
        watch: Watcher,
        append: Callable[[str], None],
        elsewhere: Elsewhere = nowhere,
    ) -> None:
        """
        Begin without any.

        @param directory: of the brokers' Unix sockets.
        @param append: adds a line to the journal.
        @param elsewhere: what other processes know of where clients connected to.
        """
        self._elsewhere = elsewhere
        self._own = Outward(OWN, elsewhere)
        self._directory = directory
        self._hosts = hosts
        self._watch = watch
        self._append = append
        self._known: dict[Domain, _Network] = {}
        self._started = False
        #: Domains whose listeners are in what had the name before.
        self._stale: set[Domain] = set()

    def socketsOf(self, domain: Domain) -> Sockets:
        """Return where a domain's sockets come from."""
        return self._of(domain).sockets if domain.name else HERE

    def outwardOf(self, domain: Domain) -> Outward:
        """Return what knows where each client of a domain connected to last."""
        return self._of(domain).outward if domain.name else self._own

    def last(self, domain: Domain, client: Any, version: int) -> Last | None:
        """Return where a client connected to last in a domain, if it is in use."""
        if domain.name and domain not in self._known:
            return None
        return self.outwardOf(domain).last(client, version)

    def _of(self, domain: Domain) -> _Network:
        if domain not in self._known:
            self._known[domain] = self._made(domain)
        return self._known[domain]

    def _made(self, domain: Domain) -> _Network:
        return _Network(domain, self._directory, self._watch, self._elsewhere)

    # Changing.

    def prepare(self, config: Config) -> Fresh:
        """
        Find the domains that are not in use yet; this may block, as in a thread.

        @raise CannotStart: one is not there.
        """
        fresh: dict[Domain, _Network] = {}
        try:
            for domain, number in domainsOf(config).items():
                known = self._known.get(domain)
                if known is not None and known.identity:
                    continue
                made = known or self._made(domain)
                fresh[domain] = made
                try:
                    made.prepare()
                except CannotStart as e:
                    where = f"{config.file}: " if config.file else ""
                    raise CannotStart(
                        f"{where}listen[{number + 1}].{domain.kind}: {e}"
                    ) from None
        except BaseException:
            self.discard(fresh)
            raise
        return fresh

    def adopt(self, fresh: Fresh) -> None:
        """Use domains that were prepared."""
        for domain, network in fresh.items():
            self._known[domain] = network
            self._hosts.join(domain, network.routes)
            if self._started:
                self._start(network)

    def discard(self, fresh: Fresh) -> None:
        """Let go of domains that were prepared, and are not to be used."""
        for domain, network in fresh.items():
            if self._known.get(domain) is network:
                del self._known[domain]
                self._hosts.leave(domain)
            network.close()

    def keep(self, config: Config, fresh: Collection[Domain]) -> None:
        """
        Let go of the domains that a configuration does not name.

        @param fresh: those that it names for the first time; they are recorded.
        """
        wanted = domainsOf(config)
        for domain in [each for each in self._known if each not in wanted]:
            self._known.pop(domain).close()
            self._hosts.leave(domain)
            self._stale.discard(domain)
            self._append(networkLine(domain.tag, "left"))
        for domain in fresh:
            self._append(networkLine(domain.tag, "joined"))

    # Watching.

    def start(self) -> None:
        """Read what brokers say from now on, as it comes."""
        self._started = True
        for network in self._known.values():
            self._start(network)

    def _start(self, network: _Network) -> None:
        if isinstance(network.sockets, Brokered):
            network.sockets.start()

    def look(self, reopen: Callable[[Domain], bool]) -> None:
        """
        Look whether the domains are there; call it once a second.

        @param reopen: opens the listeners of a domain anew; returns whether all are
            open.
        """
        for domain, network in self._known.items():
            if isinstance(network.sockets, Brokered):
                network.sockets.dial()
            self._compare(domain, network, network.now())
        for domain in list(self._stale):
            if self._known[domain].there and reopen(domain):
                self._stale.discard(domain)

    def _compare(self, domain: Domain, network: _Network, now: int) -> None:
        was, network.there = network.there, bool(now)
        if not now:
            if was:
                self._tell(domain, "lost", network.why)
            return
        if now != network.identity:
            network.identity = now
            self._stale.add(domain)
            self._hosts.join(domain, network.routes)
            self._tell(domain, "replaced", "another of that name is there")
        elif not was:
            self._tell(domain, "found", "it is there again")

    def _tell(self, domain: Domain, state: str, why: str) -> None:
        log = _log.error if state == "lost" else _log.warn
        instead = "; its clients' requests fail" if state == "lost" else ""
        log("{domain}: {why}{instead}", domain=str(domain), why=why, instead=instead)
        self._append(networkLine(domain.tag, state, why))

    def close(self) -> None:
        """Let go of all."""
        for network in self._known.values():
            network.close()
        self._known.clear()
