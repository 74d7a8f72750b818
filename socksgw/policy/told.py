"""
Remember which names RESOLVE was asked for, by client and answer.

Some programs (torsocks) ask for the address of a name by RESOLVE, and then request
the address. Rules by name do not match it; a hint in the journal tells that.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from socksgw.interfaces import Asker
from socksgw.wire.address import Address

__all__ = ["Told"]

#: Seconds for which an answer is remembered, and how many are.
_SECONDS: Final = 60.0
_MOST: Final = 4096

_Key = tuple[bytes, str, bytes]


@final
class Told:
    """
    The recent answers to RESOLVE. A client is a user at a source address.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Begin without any.

        @param clock: returns monotonic seconds.
        """
        self._clock = clock
        self._names: OrderedDict[_Key, tuple[str, float]] = OrderedDict()

    def tell(self, asker: Asker, name: str, address: Address) -> None:
        """Remember that a client got an address as that of a name."""
        key = _key(asker, address)
        self._names[key] = (name, self._clock() + _SECONDS)
        self._names.move_to_end(key)
        if len(self._names) > _MOST:
            self._names.popitem(last=False)

    def name(self, asker: Asker, address: Address) -> str | None:
        """
        Return the name whose address a client got, L{None} if it got none.
        """
        if not self._names:
            return None
        found = self._names.get(_key(asker, address))
        return found[0] if found is not None and self._clock() < found[1] else None


def _key(asker: Asker, address: Address) -> _Key:
    return asker.source.sourceKey, asker.user.name, address.packed
