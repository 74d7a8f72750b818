"""
The upstreams of one generation, and the ways that lead through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from socksgw.client.socks import Socks5Proxy
from socksgw.config.schema import Upstream
from socksgw.config.upstreamurl import parseUpstreamURL
from socksgw.interfaces import SetDeadline
from socksgw.policy.leaving import Leaving
from socksgw.route.upstreams.chain import chained
from socksgw.route.upstreams.ground import Ground, Names
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.place import Place
from socksgw.route.upstreams.through import Through
from socksgw.route.ways import Direct
from socksgw.wire.address import Address

__all__ = ["Upstreams"]


@final
class Upstreams:
    """
    The hops that a configuration names, and what is made of them.
    """

    def __init__(
        self,
        tables: Sequence[Upstream],
        setDeadline: SetDeadline,
        timeout: float,
        clock: Callable[[], float],
        isOwn: Callable[[Address, int, str], bool],
    ) -> None:
        """
        Take the parts.

        @param tables: examined before.
        @param timeout: seconds for a whole chain, where the rule has no others.
        @param isOwn: whether a listener of the gateway is at an address and port, as
            the clients of a listener see it.
        """
        self._setDeadline = setDeadline
        self._timeout = timeout
        self._clock = clock
        self._isOwn = isOwn
        self._hops: Mapping[str, Hop] = {each.name: self._hop(each) for each in tables}

    def _hop(self, table: Upstream) -> Hop:
        url = parseUpstreamURL(table.url)
        return Hop(table.name, url.host, url.port, Socks5Proxy(), self._setDeadline)

    def through(
        self, listener: str, direct: Direct, names: Names, leaving: Leaving
    ) -> Through:
        """
        Return new ways for the sessions of a listener.

        @param direct: those that lead to the first upstream.
        @param names: what looks its name up.
        """
        ground = Ground(
            direct.connect,
            names,
            lambda address, port: self._isOwn(address, port, listener),
        )
        places = [Place([self._hops[name] for name in each]) for each in leaving.via]
        return Through(chained(ground, places), self._timeout, self._clock)
