"""
The C library, asked in threads of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, NoReturn, final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.hostsfile import HostsFile
from socksgw.route.lookup import Each
from socksgw.route.pair import Came
from socksgw.system.sockets import FAMILIES
from socksgw.system.threads import DaemonPool, inPool
from socksgw.wire.address import Address

__all__ = ["THREADS", "THREADS_PER_SOURCE", "LibraryLookup", "askLibrary"]

#: Threads for the C library at most, and of one source.
THREADS: Final = 128
THREADS_PER_SOURCE: Final = 32
#: Seconds between two looks whether the hosts file has changed.
_LOOK: Final = 1.0


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

    def both(self, name: str, came: Came) -> Each:
        """
        As L{Lookup.both}: a thread for each.
        """
        return Each(self.addresses, name, came)

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


def _noThread(failure: Failure) -> NoReturn:
    """
    Turn the failure to start a thread into one of a look-up.

    @raise LookupFailed: always.
    """
    failure.trap(RuntimeError)
    raise LookupFailed(f"no thread: {failure.value}", reason="lookup-failed")


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
