"""
What is asked for the addresses of a name.

That is the name servers of the configuration; those of this host, after its hosts
file; or the C library, in threads of its own.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.hostsfile import HostsFile
from socksgw.route.nameservers import NameServers, ServerSettings
from socksgw.route.resolvconf import (
    RESOLV_CONF,
    SERVERS,
    HostChoice,
    HostServers,
    readServers,
)
from socksgw.system.files import stampOf
from socksgw.system.sockets import FAMILIES
from socksgw.system.threads import DaemonPool, inPool
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = [
    "HostLookup",
    "LibraryLookup",
    "Lookup",
    "ServersLookup",
    "askLibrary",
]

#: Threads for the C library at most, and of one source.
THREADS: Final = 128
THREADS_PER_SOURCE: Final = 32
#: Questions to name servers at a time, at most, and the share of one source.
QUESTIONS: Final = 1024
_SOURCES: Final = 4
#: The share of the descriptors that their sockets take, as 1/n.
_SHARE: Final = 4
#: The limit on descriptors of most systems, where it cannot be asked for.
_USUAL: Final = 1024
#: Seconds between two looks whether a file has changed.
_LOOK: Final = 1.0

#: Names that only nss-myhostname(8) knows, besides this host's.
_LOCAL: Final = ("localhost", "localhost.localdomain", "_gateway", "_outbound")

_log: Final = Logger()


class Lookup(Protocol):
    """
    Where answers come from.

    @ivar places: questions at a time.
    @ivar perSource: the same, of one source.
    @ivar cancels: whether a question that is cancelled costs nothing more.
    """

    places: int
    perSource: int
    cancels: bool

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        Look up the addresses of a name.

        @param version: 4 or 6.
        @return: fires with what was found, nothing where the name has only
            others; fails with L{socksgw.errors.LookupFailed}, with
            L{NoSuchName} when there is no such name.
        """

    def pointer(self, address: Address) -> Deferred[str]:
        """
        Look up the name of an address.

        @return: fires with the name that DNS gives it; fails with
            L{socksgw.errors.LookupFailed}.
        """

    def start(self) -> None:
        """Be ready for questions."""

    def stop(self) -> None:
        """End the questions that are asked."""


def _places(servers: int) -> tuple[int, int]:
    """
    Return how many questions may be asked at a time, in all and by one source.

    A question that no server answers has a socket for each of them. Where there are
    few descriptors, few questions are allowed, so that one source's questions leave
    some for new clients.
    """
    try:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        limit = _USUAL
    places = QUESTIONS
    if limit != resource.RLIM_INFINITY:
        places = min(places, max(_SOURCES, limit // _SHARE // servers))
    return places, places // _SOURCES


@final
class ServersLookup:
    """
    Name servers alone.
    """

    cancels = True

    def __init__(
        self, reactor: Any, watch: Watcher, settings: ServerSettings, timeout: float
    ) -> None:
        self.places, self.perSource = _places(len(settings.servers))
        self._servers = NameServers(reactor, watch, settings, timeout)
        self.addresses = self._servers.addresses
        self.pointer = self._servers.pointer
        self.stop = self._servers.stop

    def start(self) -> None:
        """Do nothing: without questions nothing runs."""


@final
class LibraryLookup:
    """
    The hosts file, then C{getaddrinfo}, never with a search domain.
    """

    places = THREADS
    perSource = THREADS_PER_SOURCE
    cancels = False

    def __init__(
        self,
        reactor: Any,
        hosts: HostsFile,
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
    ) -> None:
        self._reactor = reactor
        self._pool = DaemonPool(0, THREADS, "lookups")
        self._getaddrinfo = getaddrinfo
        self._hosts = hosts
        self._looked = 0.0

    def start(self) -> None:
        """Read the hosts file; threads are started as they are needed."""
        self._hosts.refresh()
        self._pool.start()

    def stop(self) -> None:
        """Abandon the threads: the C library may hold them for long."""
        self._pool.abandon()

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        Ask in a thread for what the hosts file does not say.
        """
        self._refresh()
        found = self._hosts.addresses(name)
        if found is not None:
            return succeed([a for a in found if a.version == version])
        return self._do(askLibrary, name, FAMILIES[version], self._getaddrinfo)

    def pointer(self, address: Address) -> Deferred[str]:
        """
        Ask in a thread.
        """
        return self._do(_nameOf, address)

    def _refresh(self) -> None:
        now = self._reactor.seconds()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._hosts.refresh(self.inThread)

    def inThread(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """
        Have work done in a thread.

        @param done: called with what the work has returned, in the reactor's thread.
        """
        asking = self._do(work)
        # Where no thread can be started it is done here.
        asking.addErrback(lambda failure: failure.trap(LookupFailed) and work())
        asking.addCallback(done)

    def _do(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return inPool(self._reactor, self._pool, work, *arguments).addErrback(_noThread)


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
        choice: HostChoice,
        timeout: float,
        hosts: HostsFile,
        resolvConf: Path = RESOLV_CONF,
    ) -> None:
        self.places, self.perSource = _places(SERVERS)
        self._reactor = reactor
        self._watch = watch
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
            self._reactor, self._watch, said.settings, self._timeout
        )
        _log.info(
            "names are looked up by {servers} ({file})",
            servers=", ".join(self._servers.names),
            file=str(self._resolvConf),
        )


def _noThread(failure: Failure) -> NoReturn:
    """
    Turn the failure to start a thread into one of a look-up.

    @raise LookupFailed: always.
    """
    failure.trap(RuntimeError)
    raise LookupFailed(f"no thread: {failure.value}", reason="lookup-failed")


def _isLocal(name: str) -> bool:
    """Return whether only nss-myhostname(8) knows a name."""
    return (
        name in _LOCAL
        or name.endswith((".localhost", ".localhost.localdomain"))
        or name == socket.gethostname().lower()
    )


def askLibrary(
    name: str,
    family: int = socket.AF_UNSPEC,
    getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
) -> list[Address]:
    """
    Ask the C library, and wait.

    @raise LookupFailed: there is no answer.
    """
    try:
        # The root dot keeps search domains out.
        answers = getaddrinfo(f"{name}.", None, family, socket.SOCK_STREAM)
    except socket.gaierror as e:
        if e.errno in (socket.EAI_NODATA, socket.EAI_ADDRFAMILY):
            return []
        if e.errno == socket.EAI_NONAME:
            raise NoSuchName from None
        raise LookupFailed(
            f"the look-up failed: {e.strerror}", reason="lookup-failed"
        ) from None
    except UnicodeError:
        raise NoSuchName from None
    addresses = []
    for answer in answers:
        try:
            addresses.append(Address.parse(answer[4][0]))
        except ValueError:
            # An address with a zone id means nothing elsewhere.
            continue
    return addresses


def _nameOf(address: Address) -> str:
    """
    Ask the C library for the name of an address, and wait.

    @raise LookupFailed: there is none.
    """
    try:
        place = (address.text, 0)
        return socket.getnameinfo(place, socket.NI_NAMEREQD)[0]
    except socket.gaierror as e:
        if e.errno == socket.EAI_NONAME:
            raise LookupFailed("the address has no name") from None
        raise LookupFailed(
            f"the look-up failed: {e.strerror}", reason="lookup-failed"
        ) from None
