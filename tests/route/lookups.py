"""
A resolver whose look-ups a test answers, on a clock that is not real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.errors import SocksError
from socksgw.route.lookup import Both, Each
from socksgw.route.pair import Came
from socksgw.route.request import unanswered
from socksgw.route.resolver import Resolver
from socksgw.system.deadlines import Deadlines
from socksgw.wire.address import Address

US = Address.parse("192.0.2.200")


class Bounded:
    """Both questions about a name, as name servers are asked them: they end in time."""

    bounded = True

    def __init__(self, asks: Callable[[Came], Each], came: Came, end: Any) -> None:
        self._came = came
        self._left = {4, 6}
        self._deadline = end(5.0, self._expired)
        self._each = asks(self._got)

    def _got(self, version: int, answer: list[Address] | SocksError) -> None:
        if version in self._left:
            self._left.remove(version)
            if not self._left:
                self._deadline.clear()
            self._came(version, answer)

    def _expired(self) -> None:
        for version in list(self._left):
            self._got(version, unanswered())

    def cancel(self, version: int) -> None:
        """As of L{Each}."""
        self._each.cancel(version)


class Answers:
    """
    Look-ups that the test answers.

    @ivar asked: every look-up: the name, the version, the answer.
    @ivar ended: those that were cancelled.
    """

    places = 8
    perSource = 4

    def __init__(self, cancels: bool, end: Any = None) -> None:
        self.cancels = cancels
        self._end = end
        self.asked: list[tuple[str | Address, int, Deferred[Any]]] = []
        self.ended: list[str | Address] = []

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        return self._ask(name, version)

    def both(self, name: str, came: Came) -> Both:
        def asks(got: Came) -> Each:
            return Each(self.addresses, name, got)

        return asks(came) if self._end is None else Bounded(asks, came, self._end)

    def pointer(self, address: Address) -> Deferred[str]:
        return self._ask(address, 0)

    def _ask(self, subject: str | Address, version: int) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred(lambda _: self.ended.append(subject))
        self.asked.append((subject, version, answer))
        return answer

    def names(self, version: int) -> list[str | Address]:
        """What was asked for of one version."""
        return [name for name, its, _ in self.asked if its == version]

    def _of(self, name: str | Address, version: int) -> Deferred[Any]:
        return next(
            answer
            for asked, its, answer in reversed(self.asked)
            if asked == name and its == version and not answer.called
        )

    def give(self, version: int, *texts: str, name: str = "www.example") -> None:
        """Answer about one version."""
        self._of(name, version).callback([Address.parse(text) for text in texts])

    def fail(self, version: int, why: Exception, name: str = "www.example") -> None:
        """Fail about one version."""
        self._of(name, version).errback(why)

    def answer(self, *texts: str, name: str = "www.example") -> None:
        """Answer about both versions."""
        for version in (4, 6):
            every = [text for text in texts if (":" in text) == (version == 6)]
            self.give(version, *every, name=name)

    def start(self) -> None: ...

    def stop(self) -> None: ...


class World:
    """
    A resolver, its clock, and what is asked.

    @ivar bounded: whether what is asked ends by itself.
    """

    def __init__(
        self, family: str = "prefer6", cancels: bool = True, bounded: bool = False
    ) -> None:
        self.bounded = bounded
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock.seconds)
        self.answers = Answers(cancels, self.deadlines.set if bounded else None)
        self.resolver = Resolver(
            self.clock,
            self.answers,
            family,
            5.0,
            self.deadlines.set,
            self.clock.seconds,
        )

    def ask(
        self, name: str = "www.example", source: Address = US
    ) -> tuple[list[Any], Deferred[Any]]:
        """Look up; what comes of it will be in the list."""
        found: list[Any] = []
        asking = Deferred.fromCoroutine(self.resolver.lookUp(name, source))
        asking.addCallbacks(
            lambda addresses: found.append([a.text for a in addresses]),
            lambda failure: found.append(failure.value),
        )
        return found, asking

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.deadlines.scan()
