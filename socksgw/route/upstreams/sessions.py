"""
Sessions with one upstream (draft-olteanu-intarea-socks-6-11, section 8.4).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from socksgw.client.proxy import Proxy
from socksgw.client.session import Session
from socksgw.route.upstreams.standing import Standing
from socksgw.system.connection import Connection

__all__ = ["MOST", "Sessions"]

#: Sessions that are kept; more make the one that was used longest ago forgotten.
MOST: Final = 64
#: The size of a window of tokens; half of it can be under way at a time.
_TOKENS: Final = 256


@final
class Sessions:
    """
    One session for each way to an upstream.

    A proxy may bind a session to the address that its client comes from.
    """

    __slots__ = ("_begin", "_known")

    def __init__(self, begin: Callable[[Any, Session], Proxy]) -> None:
        """
        Begin with none.

        @param begin: returns what makes a proxy's requests in a session.
        """
        self._begin = begin
        self._known: OrderedDict[tuple[str, ...], Session] = OrderedDict()

    def within(
        self, proxy: Proxy, connection: Connection, before: Sequence[Standing]
    ) -> Proxy:
        """
        Return what makes a proxy's requests in the session of a connection.

        @param before: the upstreams that the connection goes through.
        """
        way = (str(connection.local[0]), *(each.name for each in before))
        session = self._known.setdefault(way, Session(_TOKENS))
        self._known.move_to_end(way)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return self._begin(proxy, session)
