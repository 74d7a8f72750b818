"""
Which addresses lead to this host, asked once for each: for work that soon ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, final

from socksgw.gateway.host import HostRoutes
from socksgw.wire.address import Address

__all__ = ["KeptRoutes"]

#: Answers that are kept.
_KNOWN: Final = 1 << 17


@final
class KeptRoutes:
    """
    Answers of another source of routes, which are kept whatever changes meanwhile.

    Several configurations may be judged by them, and processes that are forked.
    """

    changes = 0

    def __init__(self, ask: Callable[[], HostRoutes]) -> None:
        """
        Find the other source.

        @param ask: makes it.
        @raise OSError: it cannot be used.
        """
        self._ask = ask
        self._routes = ask()
        self._owner = os.getpid()
        self._known: dict[bytes, bool] = {}

    def leadsHere(self, address: Address) -> bool:
        """As L{HostRoutes.leadsHere}."""
        known = self._known.get(address.packed)
        if known is None:
            if self._owner != os.getpid():
                # Whoever shares a socket to the kernel gets answers to others.
                self._routes, self._owner = self._ask(), os.getpid()
            if len(self._known) >= _KNOWN:
                self._known.clear()
            known = self._routes.leadsHere(address)
            self._known[address.packed] = known
        return known

    def look(self) -> None:
        """Nothing changes."""

    def close(self) -> None:
        """Close the other source."""
        self._routes.close()
