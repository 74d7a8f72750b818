"""
How the policy learns the addresses of a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from socksgw.errors import SocksError
from socksgw.wire.address import Address

__all__ = ["Looking", "NameResolver"]


class Looking(Protocol):
    """A look-up that is under way."""

    def cancel(self) -> None:
        """Wait for it no longer; nothing is called then."""


class NameResolver(Protocol):
    """How the policy learns the addresses of a name, once per request."""

    def lookUp(self, name: str, source: Address) -> Awaitable[tuple[Address, ...]]:
        """
        Look up every address of a name, in the order of preference.

        @param name: in normal form (L{socksgw.wire.address.parseHost}).
        @param source: the client's address: each source may have so many look-ups
            under way.
        @raise socksgw.errors.LookupFailed: there is none, or no answer came
            in time.
        @raise socksgw.errors.LimitReached: too many look-ups of the source wait.
        """

    def ask(
        self,
        name: str,
        source: Address,
        done: Callable[[tuple[Address, ...] | SocksError], None],
    ) -> tuple[Address, ...] | SocksError | Looking:
        """
        Look a name up as L{lookUp} does, without a coroutine.

        @param done: called later with the addresses, or with why there are none, where
            they are not returned.
        @raise socksgw.errors.LimitReached: too many look-ups of the source wait.
        """

    def known(self, name: str) -> tuple[Address, ...] | None:
        """
        Return what L{lookUp} would, where that needs no look-up now.

        @return: L{None} where it needs one, or would raise.
        """
