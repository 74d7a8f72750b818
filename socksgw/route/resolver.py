"""
From a name to its addresses: looked up with a deadline, once for all who ask
at the same time.

A resolver that does not answer costs those who asked it their deadline, and
nobody else anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.lookup import (
    Lookup,
    ServersLookup,
    SystemLookup,
    Unwanted,
    parseServer,
)
from socksgw.shape import ResolverConfig
from socksgw.wire.address import Address, parseHost

__all__ = ["Resolver", "lookUpNow", "preferred"]

#: Names looked up at a time.
_MOST: Final = 1024
#: Answers remembered, how long (seconds), and addresses kept of each.
_REMEMBERED: Final = 4096
_SECONDS: Final = 10.0
_SECONDS_FAILED: Final = 3.0
_ADDRESSES: Final = 32

Answer = tuple[Address, ...] | SocksError


def lookUpNow(name: str, family: str) -> tuple[Address, ...]:
    """
    Ask the system's resolver, and wait: for commands, never in the gateway.

    @raise SocksError: there is no answer.
    """
    found = SystemLookup(None).inThread(name, lambda: True)
    return preferred(found, family)


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
