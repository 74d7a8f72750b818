"""
Who is asked for the addresses of a name: the system's resolver, in threads of
its own, or servers, by Twisted's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.names.hosts import searchFileForAll
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from socksgw.errors import LookupFailed
from socksgw.threads import DaemonPool
from socksgw.wire.address import Address

__all__ = ["Lookup", "ServersLookup", "SystemLookup", "Unwanted", "parseServer"]

#: Threads for the system's resolver at most.
_THREADS: Final = 128


class Unwanted(LookupFailed):
    """Nobody waited any more when a look-up's turn came."""


class Lookup(Protocol):
    """Where answers come from."""

    def look(self, name: str, wanted: Callable[[], bool]) -> Deferred[list[Address]]:
        """
        @param wanted: whether anybody still waits.
        @return: fires with what was found; fails with
            L{socksgw.errors.SocksError} (L{Unwanted} when nobody waits).
        """

    def name(self, address: Address) -> Deferred[str]:
        """
        @return: fires with the name that DNS gives the address; fails with
            L{socksgw.errors.SocksError}.
        """

    def start(self) -> None: ...

    def stop(self) -> None: ...


def parseServer(text: str) -> tuple[str, int]:
    """
    The address and port of a DNS server: C{"9.9.9.9"}, C{"9.9.9.9:5353"},
    C{"[2620:fe::fe]:53"}.

    @raise ValueError: it is none of these.
    """
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError('must be "[address]" or "[address]:port"')
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("the port is not within 1 to 65535")
    return Address.parse(host).text, int(port)


@final
class SystemLookup:
    """
    The system's resolver: the hosts file, then C{getaddrinfo} for the name as
    it stands, never with a search domain.
    """

    def __init__(
        self,
        reactor: Any,
        threads: int = _THREADS,
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
        hostsFile: str = "/etc/hosts",
    ) -> None:
        self._reactor = reactor
        self._pool = DaemonPool(0, threads, "lookups")
        self._getaddrinfo = getaddrinfo
        self._hosts = FilePath(hostsFile)

    def start(self) -> None:
        """Threads come as they are needed."""
        self._pool.start()

    def stop(self) -> None:
        """Do not wait for the threads: a resolver may hold them for long."""
        self._pool.abandon()

    def look(self, name: str, wanted: Callable[[], bool]) -> Deferred[list[Address]]:
        """
        Ask in a thread.
        """
        return self._do(self.inThread, name, wanted)

    def name(self, address: Address) -> Deferred[str]:
        """
        Ask in a thread.
        """
        return self._do(self._nameInThread, address)

    def _do(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def finished(success: bool, result: Any) -> None:
            self._reactor.callFromThread(
                done.callback if success else done.errback, result
            )

        self._pool.callInThreadWithCallback(finished, work, *arguments)
        return done

    def _nameInThread(self, address: Address) -> str:
        try:
            place = (address.text, 0)
            return socket.getnameinfo(place, socket.NI_NAMEREQD)[0]
        except socket.gaierror as e:
            if e.errno == socket.EAI_NONAME:
                raise LookupFailed("the address has no name") from None
            raise LookupFailed(
                f"the look-up failed: {e.strerror}", reason="lookup-failed"
            ) from None

    def inThread(self, name: str, wanted: Callable[[], bool]) -> list[Address]:
        """
        Ask here and now.

        @raise socksgw.errors.SocksError: there is no answer.
        """
        if not wanted():
            raise Unwanted("nobody waits")
        found = searchFileForAll(self._hosts, name.encode("ascii"))
        if not found:
            found = self._ask(name)
        addresses = []
        for text in found:
            try:
                addresses.append(Address.parse(text))
            except ValueError:
                # A zone id: such an address means nothing to another host.
                continue
        return addresses

    def _ask(self, name: str) -> list[str]:
        try:
            # The root dot keeps search domains out.
            answers = self._getaddrinfo(f"{name}.", None, type=socket.SOCK_STREAM)
        except socket.gaierror as e:
            if e.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                raise LookupFailed("no such host") from None
            raise LookupFailed(
                f"the look-up failed: {e.strerror}", reason="lookup-failed"
            ) from None
        except UnicodeError:
            raise LookupFailed("no such host") from None
        return [answer[4][0] for answer in answers]


@final
class ServersLookup:
    """
    Twisted's resolver, asking the servers that the configuration names.
    """

    def __init__(
        self, reactor: Any, servers: Sequence[tuple[str, int]], timeout: float
    ) -> None:
        from twisted.names.client import Resolver as DNSResolver

        class Client(DNSResolver):
            """
            Fails by its Deferred, also when there is no descriptor: else the
            name would count as being asked for, for ever.
            """

            def queryUDP(self, *arguments: Any) -> Deferred[Any]:
                return maybeDeferred(super().queryUDP, *arguments)

        tries = (timeout / 4, timeout / 4, timeout / 2)
        self._resolver: Any = Client(  # type: ignore[no-untyped-call]
            servers=list(servers), timeout=tries, reactor=reactor
        )

    def start(self) -> None:
        """Nothing runs while nobody asks."""

    def stop(self) -> None:
        """Nothing runs while nobody asks."""

    def look(self, name: str, wanted: Callable[[], bool]) -> Deferred[list[Address]]:
        """
        Ask for A and AAAA records at once.
        """
        both = DeferredList(
            [
                self._resolver.lookupIPV6Address(name),
                self._resolver.lookupAddress(name),
            ],
            consumeErrors=True,
        )
        return both.addCallback(self._answered)

    def _answered(self, results: Any) -> list[Address]:
        from twisted.names import dns, error

        found: list[Address] = []
        failures: list[Failure] = []
        for success, result in results:
            if not success:
                failures.append(result)
                continue
            for record in result[0]:
                if record.type in (dns.A, dns.AAAA):
                    found.append(Address(record.payload.address))
        if not found and failures and not failures[0].check(error.DNSNameError):
            if failures[0].check(DeferredTimeout):
                raise LookupFailed("no answer in time", reason="lookup-timeout")
            raise LookupFailed("the look-up failed", reason="lookup-failed")
        return found

    def name(self, address: Address) -> Deferred[str]:
        """
        Ask for a PTR record.
        """
        reverse = ip_address(address.packed).reverse_pointer
        asked: Deferred[Any] = self._resolver.lookupPointer(reverse)
        return asked.addCallback(self._named)

    def _named(self, result: Any) -> str:
        from twisted.names import dns

        for record in result[0]:
            if record.type == dns.PTR:
                return str(record.payload.name)
        raise LookupFailed("the address has no name")
