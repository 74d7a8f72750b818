"""
Resolvers that know what the test told them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.errors import LookupFailed, SocksError
from socksgw.wire.address import Address


class _Resolver:
    """A resolver that waits for nothing."""

    async def lookUp(self, name: str, source: Address) -> tuple[Address, ...]:
        raise NotImplementedError

    def known(self, name: str) -> tuple[Address, ...] | None:
        return None

    def ask(
        self, name: str, source: Address, done: Callable[[Any], None]
    ) -> tuple[Address, ...] | SocksError:
        found: list[Any] = []
        Deferred.fromCoroutine(self.lookUp(name, source)).addCallbacks(
            found.append, lambda failure: found.append(failure.value)
        )
        answer: tuple[Address, ...] | SocksError = found[0]
        return answer


class Names(_Resolver):
    """
    A resolver with a table.

    @ivar addresses: from a name to its addresses.
    @ivar names: from an address to its name.
    @ivar asked: the names and addresses that it was asked for.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, Sequence[str]] = {}
        self.names: dict[str, str] = {}
        self.asked: list[str] = []

    async def lookUp(self, name: str, source: Address) -> tuple[Address, ...]:
        self.asked.append(name)
        if name not in self.addresses:
            raise LookupFailed("no such name")
        return tuple(map(Address.parse, self.addresses[name]))

    async def nameOf(self, address: Address, source: Address) -> str:
        self.asked.append(address.text)
        if address.text not in self.names:
            raise LookupFailed("no such name")
        return self.names[address.text]


class Scripted(_Resolver):
    """
    A resolver whose answers are given one after the other.

    @ivar asked: the names it was asked for.
    """

    def __init__(self, *answers: Sequence[str] | SocksError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def lookUp(self, name: str, source: Address) -> tuple[Address, ...]:
        self.asked.append(name)
        answer = self._answers.pop(0)
        if isinstance(answer, SocksError):
            raise answer
        return self.parsed(answer)

    def parsed(self, answer: Sequence[str]) -> tuple[Address, ...]:
        return tuple(map(Address.parse, answer))
