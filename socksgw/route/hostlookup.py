"""
What this host looks names up by, without the C library's threads.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.errors import LookupFailed
from socksgw.interfaces import SetDeadline
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.hostsfile import HostsFile
from socksgw.route.librarylookup import LibraryLookup
from socksgw.route.lookup import Both, Each, questionsFor
from socksgw.route.nameservers import NameServers
from socksgw.route.pair import Came
from socksgw.route.resolvconf import (
    RESOLV_CONF,
    SERVERS,
    HostChoice,
    HostServers,
    readServers,
)
from socksgw.system.domains import HERE, Sockets
from socksgw.system.files import stampOf
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["HostLookup"]

#: Seconds between two looks whether a file has changed.
_LOOK: Final = 1.0

#: Names that only nss-myhostname(8) knows, besides this host's.
_LOCAL: Final = ("localhost", "localhost.localdomain", "_gateway", "_outbound")

#: The orders in which name servers are asked what the hosts file does not say.
_PLAIN: Final = (("files", "dns"), ("dns",))

_log: Final = Logger()


@final
class HostLookup:
    """
    What the C library would ask, in its order, without its threads.

    That is the hosts file and the name servers of resolv.conf; both are read again
    when they change.
    """

    cancels = True

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        choice: HostChoice,
        timeout: float,
        hosts: HostsFile,
        resolvConf: Path = RESOLV_CONF,
        sockets: Sockets = HERE,
    ) -> None:
        self._sockets = sockets
        self.places, self.perSource = questionsFor(SERVERS)
        self._reactor = reactor
        self._watch = watch
        self._setDeadline = setDeadline
        self._choice = choice
        self._timeout = timeout
        self._hosts = hosts
        self._resolvConf = resolvConf
        self._library = LibraryLookup(reactor, hosts)
        self._looked = 0.0
        self._stamp: object = None
        self._said: HostServers | None = None
        self._servers: NameServers
        self._read()

    def start(self) -> None:
        """Read the hosts file."""
        self._library.start()

    def stop(self) -> None:
        """End the questions that are asked."""
        self._servers.stop()
        self._library.stop()

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        As L{Lookup.addresses}.
        """
        self._refresh()
        if self._choice.local and _isLocal(name):
            return self._library.addresses(name, version)
        if self._choice.order == ("dns", "files"):
            asked = self._asked(name, version)
            return asked.addErrback(self._orListed, name, version)
        found = self._hosts.addresses(name) if "files" in self._choice.order else None
        if found is not None:
            return succeed([a for a in found if a.version == version])
        if "dns" in self._choice.order:
            return self._asked(name, version)
        raise NoSuchName

    def both(self, name: str, came: Came) -> Both:
        """
        As L{Lookup.both}.
        """
        self._refresh()
        assert self._said is not None
        if (
            self._choice.order not in _PLAIN
            or not self._said.aaaa
            or (self._choice.local and _isLocal(name))
            or (
                "files" in self._choice.order
                and self._hosts.addresses(name) is not None
            )
        ):
            return Each(self.addresses, name, came)
        return self._servers.both(name, came)

    def _asked(self, name: str, version: int) -> Deferred[list[Address]]:
        assert self._said is not None
        if version == 6 and not self._said.aaaa:
            return succeed([])
        return self._servers.addresses(name, version)

    def _orListed(self, failure: Any, name: str, version: int) -> Any:
        failure.trap(LookupFailed)
        found = self._hosts.addresses(name)
        if found is None:
            return failure
        return [a for a in found if a.version == version]

    def pointer(self, address: Address) -> Deferred[str]:
        """
        As L{Lookup.pointer}.
        """
        self._refresh()
        name = self._hosts.name(address)
        return succeed(name) if name is not None else self._servers.pointer(address)

    def _refresh(self) -> None:
        now = self._reactor.seconds()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._hosts.refresh(self._library.inThread)
            self._read()

    def _read(self) -> None:
        stamp = stampOf(self._resolvConf)
        if stamp == self._stamp and self._said is not None:
            return
        self._stamp = stamp
        said = readServers(self._resolvConf)
        if said == self._said:
            return
        self._said = said
        # Questions to the former servers go on.
        self._servers = NameServers(
            self._reactor,
            self._watch,
            self._setDeadline,
            said.settings,
            self._timeout,
            self._sockets,
        )
        _log.info(
            "names are looked up by {servers} ({file})",
            servers=", ".join(self._servers.names),
            file=str(self._resolvConf),
        )


def _isLocal(name: str) -> bool:
    """Return whether only nss-myhostname(8) knows a name."""
    return (
        name in _LOCAL
        or name.endswith((".localhost", ".localhost.localdomain"))
        or name == socket.gethostname().lower()
    )
