"""
The methods that clients are offered, by their listener and source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar, final

from socksgw.interfaces import IConditional
from socksgw.negotiate.capabilities import UNDECLARED, Capabilities
from socksgw.negotiate.exchange import Exchange
from socksgw.wire.address import Address

__all__ = ["Certain", "Choice", "Methods", "OfferedMethod", "firstFor"]

M = TypeVar("M")

#: The most choices that are remembered.
_MOST: Final = 4096


@final
class OfferedMethod:
    """
    A method that a generation can use.

    @ivar name: the policy's name of it.
    @ivar codes: its numbers on the wire, best first.
    @ivar authenticator: an L{socksgw.interfaces.IAuthenticator}, or an
        L{socksgw.interfaces.IWrapper}.
    @ivar inner: the methods inside, of an C{IWrapper}.
    @ivar capabilities: what it declares of itself.
    """

    __slots__ = (
        "_applies", "authenticator", "capabilities", "codes", "inner", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        codes: int | tuple[int, ...],
        authenticator: Any,
        inner: Sequence[OfferedMethod] = (),
        capabilities: Capabilities = UNDECLARED,
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self.codes = (codes,) if isinstance(codes, int) else codes
        self.authenticator = authenticator
        self.inner = tuple(inner)
        self._applies = (
            authenticator.applies if IConditional.providedBy(authenticator) else None
        )

    @property
    def conditional(self) -> bool:
        """Whether it can serve some connections, and others not."""
        return self._applies is not None

    def isFor(self, exchange: Exchange) -> bool:
        """Return whether it can serve this connection."""
        return self._applies is None or self._applies(exchange)


@final
class Choice(Generic[M]):
    """
    One C{[[auth.choose]]}: what clients of some listeners and sources are offered.

    @ivar methods: in order of preference; of a generation L{OfferedMethod}s.
    @ivar moves: whether it may be for other sources at another time.
    """

    __slots__ = ("_listeners", "_sources", "methods", "moves")

    def __init__(
        self,
        methods: Sequence[M],
        listeners: frozenset[str] | None,
        sources: Callable[[Address, int, str], bool] | None,
        moves: bool = False,
    ) -> None:
        self.methods = tuple(methods)
        self.moves = moves
        self._listeners = listeners
        self._sources = sources

    def isFor(self, listener: str) -> bool:
        """Return whether it is for clients of a listener."""
        return self._listeners is None or listener in self._listeners

    def matches(self, listener: str, source: Address) -> bool:
        """Return whether it is for a client."""
        return self.isFor(listener) and (
            self._sources is None or self._sources(source, 0, listener)
        )


def firstFor(
    choices: Iterable[Choice[M]], listener: str, source: Address
) -> tuple[int, Choice[M]] | None:
    """
    Find the choice that counts for a client: the first one that is for it.

    @param listener: the name of the client's listener.
    @return: its index and itself; L{None} when none is.
    """
    for i, choice in enumerate(choices):
        if choice.matches(listener, source):
            return i, choice
    return None


class Certain(NamedTuple):
    """
    The method that some clients are offered and want.

    @ivar wanted: all that are acceptable from them, best first.
    @ivar method: the one; L{None} where it depends on the connection which it is,
        where there is another one inside, and where there is none.
    @ivar code: its number.
    """

    wanted: Sequence[OfferedMethod]
    method: OfferedMethod | None
    code: int


@final
class Methods:
    """
    What the clients of one generation may use to log in.

    @ivar choices: what is offered to whom; the first that matches counts.
    """

    __slots__ = ("_certain", "_moves", "choices")

    def __init__(self, choices: Sequence[Choice[OfferedMethod]]) -> None:
        self.choices = tuple(choices)
        self._moves = any(each.moves for each in self.choices)
        self._certain: dict[tuple[str, bytes, bytes], Certain] = {}

    @property
    def authenticators(self) -> list[Any]:
        """Every authenticator that some client is offered, also inside another."""
        methods = [each for choice in self.choices for each in choice.methods]
        for each in methods:
            methods += each.inner
        return list(dict.fromkeys(each.authenticator for each in methods))

    @property
    def names(self) -> set[str]:
        """The names of all methods."""
        methods = {each for choice in self.choices for each in choice.methods}
        return {each.name for one in methods for each in (one, *one.inner)}

    def bring(self, checker: Any) -> bool:
        """Return whether some client may bring credentials that a checker decides on."""
        methods = [each for choice in self.choices for each in choice.methods]
        for each in [*methods]:
            methods += each.inner
        return any(
            each.capabilities.needsChecker
            if (kinds := each.capabilities.credentials) is None
            else any(
                k.isOrExtends(t) for k in kinds for t in checker.credentialInterfaces
            )
            for each in methods
        )

    def wanted(self, listener: str, source: Address) -> tuple[OfferedMethod, ...]:
        """
        Return the methods acceptable from a client, best first.

        @return: none when no choice is for it.
        """
        found = firstFor(self.choices, listener, source)
        return () if found is None else found[1].methods

    def certain(self, listener: str, source: Address, offered: bytes) -> Certain:
        """
        Return the method that is chosen on any connection in the clear.

        That is remembered: the same clients come again and again.

        @param offered: what the client offers.
        """
        key = listener, source.packed, offered
        known = self._certain.get(key)
        if known is None:
            wanted = self.wanted(listener, source)
            known = Certain(wanted, *_certain(offered, wanted))
            if not self._moves:
                if len(self._certain) >= _MOST:
                    self._certain.clear()
                self._certain[key] = known
        return known


def _certain(
    offered: bytes, wanted: Sequence[OfferedMethod]
) -> tuple[OfferedMethod | None, int]:
    for method in wanted:
        for code in method.codes:
            if code in offered:
                if method.conditional or method.inner:
                    return None, 0
                return method, code
    return None, 0
