"""
Name servers: which one is asked next, and for how long one is waited for.

A server that does not answer rests: the others are asked first until it answers a
probe. Only probes tell whether it answers, not the look-ups of clients: a name that
no server answers for makes none rest.
"""

from __future__ import annotations

from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from socksgw.errors import LookupFailed
from socksgw.interfaces import SetDeadline
from socksgw.route.asking import Asking, Probe
from socksgw.route.dnsmessages import Asked
from socksgw.route.nameserver import Server, ServerSettings, Stoppable
from socksgw.route.pair import Came, Pair
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["NameServers"]

#: Seconds that a server has, as a part of the time that a look-up has.
_PART: Final = 0.25
#: Seconds between two probes of a server that rests.
_REST: Final = 10.0

_log: Final = Logger()


@final
class NameServers:
    """
    The name servers that are asked.

    @ivar live: what is being asked.
    """

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        settings: ServerSettings,
        timeout: float,
        sockets: Sockets = HERE,
    ) -> None:
        """
        Begin with no question.

        @param setDeadline: the servers' time is bounded by such.
        @param timeout: seconds that a look-up has in all.
        @param sockets: where sockets to the servers come from.
        """
        self.sockets = sockets
        self.reactor = reactor
        self.watch = watch
        self.setDeadline = setDeadline
        self.settings = settings
        self.timeout = timeout
        self.patience = min(settings.patience, timeout * _PART)
        self._servers = [
            Server(host, port, settings.edns) for host, port in settings.servers
        ]
        self._first = 0
        self.live: set[Stoppable] = set()

    @property
    def names(self) -> list[str]:
        """The servers' addresses and ports."""
        return [server.name for server in self._servers]

    def stop(self) -> None:
        """End the questions that are asked."""
        for each in list(self.live):
            each.stop()

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        Ask for the addresses of a name.

        @param version: 4 or 6.
        @return: fires with them, none where the name has others; fails with
            L{socksgw.errors.LookupFailed}. It can be cancelled.
        """
        return self._ask(Asked.addresses(name, version))

    def pointer(self, address: Address) -> Deferred[str]:
        """
        Ask for the name of an address: as L{addresses}.
        """

        def named(records: list[Any]) -> str:
            if not records:
                raise LookupFailed("the address has no name")
            return str(records[0].target.to_text())

        return self._ask(Asked.pointer(address)).addCallback(named)

    def _ask(self, asked: Asked) -> Deferred[list[Any]]:
        asking = Asking(self, asked, self._order())
        asking.start()
        return asking.answer

    def both(self, name: str, came: Came) -> Pair:
        """
        Ask for the addresses of a name of either version.

        @param came: as of L{Pair}; it may be called before this returns.
        """
        pair = Pair(self, self._order(), name, came)
        pair.start()
        return pair

    def _order(self) -> list[Server]:
        """
        Return the servers in the order in which they are asked: resting ones last.

        Those whose rest is over are probed.
        """
        servers = self._servers
        if self.settings.rotate and servers:
            self._first = (self._first + 1) % len(servers)
            servers = servers[self._first :] + servers[: self._first]
        resting = [each for each in servers if each.resting is not None]
        if not resting:
            return servers
        now = self.reactor.seconds()
        for each in resting:
            if each.resting is not None and now >= each.resting:
                self._probe(each)
        return [each for each in servers if each not in resting] + resting

    # How servers are.

    def answered(self, server: Server) -> None:
        """Note that a server has answered."""
        server.heard = self.reactor.seconds()
        if server.resting is not None:
            server.resting = None
            _log.info("name server {name} answers again", name=server.name)

    def missed(self, server: Server, since: float) -> None:
        """
        Note that a server has not answered a question.

        @param since: when it was asked.
        """
        if server.heard < since and server.resting is None and len(self._servers) > 1:
            self._probe(server)

    def refused(self, server: Server) -> None:
        """Note that a server cannot be reached."""
        if len(self._servers) > 1:
            self._rest(server, "cannot be reached")

    def _rest(self, server: Server, why: str) -> None:
        if server.resting is None:
            _log.warn(
                "name server {name} {why}: others are asked before it until it answers",
                name=server.name,
                why=why,
            )
        server.resting = self.reactor.seconds() + _REST

    def _probe(self, server: Server) -> None:
        if not server.probing:
            server.probing = True
            Probe(self, server)

    def probed(self, server: Server, answered: bool) -> None:
        """Note what came of a probe."""
        server.probing = False
        if answered:
            self.answered(server)
        else:
            self._rest(server, "does not answer")
