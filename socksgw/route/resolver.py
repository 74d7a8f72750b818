"""
From a name to its addresses: looked up in threads of their own (or by
Twisted's resolver), with a deadline, once for all who ask at the same time.

A resolver that does not answer costs those who asked it their deadline, and
nobody else anything.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final, Protocol, final

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    maybeDeferred,
)
from twisted.internet.defer import (
    TimeoutError as DeferredTimeout,
)
from twisted.names.hosts import searchFileForAll
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath

from socksgw.config import ResolverConfig
from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.threads import DaemonPool
from socksgw.wire.address import Address, parseHost

__all__ = ["Resolver", "SystemLookup", "lookUpNow", "parseServer", "preferred"]

#: Threads for the system's resolver at most, and names looked up at a time.
_THREADS: Final = 128
_MOST: Final = 1024
#: Answers remembered, how long (seconds), and addresses kept of each.
_REMEMBERED: Final = 4096
_SECONDS: Final = 10.0
_SECONDS_FAILED: Final = 3.0
_ADDRESSES: Final = 32

Answer = tuple[Address, ...] | SocksError


class Unwanted(LookupFailed):
    """Nobody waited any more when a look-up's turn came."""


class Lookup(Protocol):
    """Where answers come from."""

    def look(self, name: str, wanted: Callable[[], bool]) -> Deferred[list[Address]]:
        """
        @param wanted: whether anybody still waits.
        @return: fires with what was found; fails with L{SocksError}
            (L{Unwanted} when nobody waits).
        """

    def name(self, address: Address) -> Deferred[str]:
        """
        @return: fires with the name that DNS gives the address; fails with
            L{SocksError}.
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


def lookUpNow(name: str, family: str) -> tuple[Address, ...]:
    """
    Ask the system's resolver, and wait: for commands, never in the gateway.

    @raise SocksError: there is no answer.
    """
    found = SystemLookup(None).inThread(name, lambda: True)
    return preferred(found, family)


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

        @raise SocksError: there is no answer.
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


def preferred(found: list[Address], family: str) -> tuple[Address, ...]:
    """
    Without repetitions, in the order of preference.

    @param family: C{prefer6}, C{prefer4}, C{only4} or C{only6}.
    @raise LookupFailed: nothing is left.
    """
    first = int(family[-1])
    addresses = list(dict.fromkeys(found))
    if family.startswith("only"):
        addresses = [a for a in addresses if a.version == first]
    addresses.sort(key=lambda a: a.version != first)
    if not addresses:
        raise LookupFailed("no such host")
    return tuple(addresses[:_ADDRESSES])


class _Question:
    """
    One name that is being looked up, and who waits for it.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[Deferred[Answer], Timer] = {}


@final
class Resolver:
    """
    Looks names up for the policy.
    """

    def __init__(
        self,
        lookup: Lookup,
        family: str,
        timeout: float,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
    ) -> None:
        """
        @param family: C{prefer6}, C{prefer4}, C{only4} or C{only6}.
        @param timeout: seconds.
        @param clock: monotonic seconds.
        """
        self._lookup = lookup
        self._family = family
        self._timeout = timeout
        self._setDeadline = setDeadline
        self._clock = clock
        self._known: OrderedDict[str, tuple[Answer, float]] = OrderedDict()
        self._reverse = 0
        self._asked: dict[str, _Question] = {}

    @classmethod
    def of(
        cls,
        reactor: Any,
        config: ResolverConfig,
        timeout: float,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
    ) -> Resolver:
        """
        The resolver that a configuration asks for.
        """
        lookup: Lookup
        if config.servers:
            servers = [parseServer(server) for server in config.servers]
            lookup = ServersLookup(reactor, servers, timeout)
        else:
            lookup = SystemLookup(reactor)
        return cls(lookup, config.family, timeout, setDeadline, clock)

    def start(self) -> None:
        """Be ready for look-ups."""
        self._lookup.start()

    def stop(self) -> None:
        """No look-ups any more."""
        self._lookup.stop()

    async def lookUp(self, name: str) -> tuple[Address, ...]:
        """
        As L{socksgw.interfaces.NameResolver.lookUp}.
        """
        known = self._known.get(name)
        if known is not None and self._clock() < known[1]:
            answer = known[0]
        else:
            answer = await self._wait(name)
        if isinstance(answer, SocksError):
            # A fresh one: an exception gathers the traceback of each raise.
            raise type(answer)(str(answer), answer.reply, answer.reason)
        return answer

    async def nameOf(self, address: Address) -> str:
        """
        The name that DNS gives an address: a claim of the address's owner.

        @raise LookupFailed: there is none, or no answer came in time.
        @raise LimitReached: too many look-ups are in flight.
        """
        if self._reverse >= _MOST:
            raise LimitReached("too many names are being looked up")
        answer: Deferred[str] = Deferred()

        def expired() -> None:
            answer.errback(LookupFailed("no answer in time", reason="lookup-timeout"))

        def found(result: Any) -> None:
            self._reverse -= 1
            deadline.clear()
            if not answer.called:
                answer.callback(result)

        deadline = self._setDeadline(self._timeout, expired)
        self._reverse += 1
        asked: Deferred[Any] = maybeDeferred(self._lookup.name, address)
        asked.addCallback(_hostName).addErrback(_errorOf).addCallback(found)
        name = await answer
        if isinstance(name, SocksError):
            raise name
        return name

    def _wait(self, name: str) -> Deferred[Answer]:
        question = self._asked.get(name)
        fresh = question is None
        if question is None:
            if len(self._asked) >= _MOST:
                raise LimitReached("too many names are being looked up")
            question = self._asked[name] = _Question()
        waiting = question.waiting

        def gone(answer: Deferred[Answer]) -> None:
            waiting.pop(answer).clear()

        def expired() -> None:
            del waiting[answer]
            answer.callback(LookupFailed("no answer in time", reason="lookup-timeout"))

        answer: Deferred[Answer] = Deferred(gone)
        waiting[answer] = self._setDeadline(self._timeout, expired)
        if fresh:
            self._look(name, question)
        return answer

    def _look(self, name: str, question: _Question) -> None:
        found: Deferred[Any] = maybeDeferred(
            self._lookup.look, name, lambda: bool(question.waiting)
        )
        found.addCallback(self._sorted)
        found.addErrback(_errorOf)
        found.addCallback(self._settle, name)

    def _sorted(self, found: list[Address]) -> Answer:
        return preferred(found, self._family)

    def _settle(self, answer: Answer, name: str) -> None:
        if isinstance(answer, Unwanted) and self._asked[name].waiting:
            # Somebody came since.
            self._look(name, self._asked[name])
            return
        waiting = self._asked.pop(name).waiting
        if waiting:
            lasts = _SECONDS_FAILED if isinstance(answer, SocksError) else _SECONDS
            self._known[name] = (answer, self._clock() + lasts)
            self._known.move_to_end(name)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        for each, timer in list(waiting.items()):
            timer.clear()
            each.callback(answer)


def _hostName(text: str) -> str:
    """
    @raise LookupFailed: what DNS gave is no host name.
    """
    host = parseHost(text.encode("ascii", "replace"))
    if not isinstance(host, str):
        raise LookupFailed("the address has no name")
    return host


def _errorOf(failure: Failure) -> Answer:
    error = failure.value
    if isinstance(error, SocksError):
        return error
    return LookupFailed(
        f"the look-up failed: {type(error).__name__}", reason="lookup-failed"
    )
