"""
Which names RESOLVE gave the addresses of, and to which clients.

Some programs (torsocks) ask for a name's address by RESOLVE and then send the
address. Rules by name do not match it; that is told.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from socksgw.interfaces import Asker
from socksgw.wire.address import Address

__all__ = ["Told"]

#: Seconds for which an answer counts, and answers remembered.
_SECONDS: Final = 60.0
_MOST: Final = 4096

_Key = tuple[bytes, str, bytes]


@final
class Told:
    """
    The answers of a moment ago. A client is a user from a source.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        @param clock: monotonic seconds.
        """
        self._clock = clock
        self._names: OrderedDict[_Key, tuple[str, float]] = OrderedDict()

    def tell(self, asker: Asker, name: str, address: Address) -> None:
        """Remember that a client was given the address of a name."""
        key = _key(asker, address)
        self._names[key] = (name, self._clock() + _SECONDS)
        self._names.move_to_end(key)
        if len(self._names) > _MOST:
            self._names.popitem(last=False)

    def name(self, asker: Asker, address: Address) -> str | None:
        """
        Return the name that a client was given the address of, L{None} where
        there was none.
        """
        if not self._names:
            return None
        found = self._names.get(_key(asker, address))
        return found[0] if found is not None and self._clock() < found[1] else None


def _key(asker: Asker, address: Address) -> _Key:
    return asker.source.sourceKey, asker.user.name, address.packed
