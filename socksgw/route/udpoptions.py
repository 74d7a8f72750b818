"""
The C{[listen.udp]} of a listener.

It says where the relay sockets of UDP associations and the listeners of BIND are, and
what is done with datagrams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, final

from socksgw.config.schema import Listen, ListenUDP
from socksgw.wire.address import Address

__all__ = ["UDPOptions", "portShares", "wrongOptions"]

_RANGE: Final = re.compile(r"(\d{1,5})-(\d{1,5})\Z", re.ASCII)


def _ports(text: str) -> range:
    """
    Return the ports of a range such as C{40000-40999}.

    @raise ValueError: it is no range of ports.
    """
    match = _RANGE.match(text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError('must be a range of ports such as "40000-40999"')
    return range(int(match[1]), int(match[2]) + 1)


def wrongOptions(udp: ListenUDP) -> Iterator[tuple[str, str]]:
    """
    Look for what is wrong with a C{[listen.udp]}.

    @return: keys, each with why.
    """
    ports = None
    if udp.ports:
        try:
            ports = _ports(udp.ports)
        except ValueError as e:
            yield "ports", str(e)
    if udp.ports_per_source is not None:
        if udp.ports_per_source < 1:
            yield "ports_per_source", "must be 1, at least"
        elif not udp.ports:
            yield "ports", "is needed with ports_per_source: it is a part of them"
        elif ports is not None and udp.ports_per_source > len(ports):
            yield (
                "ports_per_source",
                f"must be {len(ports)}, at most: as many as ports has",
            )
    if udp.advertise:
        try:
            address = Address.parse(udp.advertise)
        except ValueError as e:
            yield "advertise", f'"{udp.advertise}": {e}'
        else:
            if address.isUnspecified:
                yield "advertise", "clients cannot send to the unspecified address"
        if not udp.ports:
            yield "ports", "is needed with advertise: a firewall has to be opened"


@final
class UDPOptions:
    """
    A C{[listen.udp]}, ready for use.

    @ivar ports: the ports that may be used; L{None} for any.
    @ivar share: how many of these one source may have.
    @ivar reassemble: whether fragments are put together.
    @ivar tunnels: the framings of UDP in TCP that are allowed.
    @ivar outside: the address that is advertised, or L{None}.
    """

    __slots__ = ("outside", "ports", "reassemble", "share", "tunnels")

    def __init__(self, udp: ListenUDP) -> None:
        self.ports = _ports(udp.ports) if udp.ports else None
        self.share: int | None = None
        if self.ports:
            self.share = udp.ports_per_source or (len(self.ports) + 1) // 2
        self.outside = Address.parse(udp.advertise) if udp.advertise else None
        self.reassemble = udp.fragments == "reassemble"
        self.tunnels = frozenset(udp.tunnels)

    def advertised(self, bound: Address) -> Address:
        """
        Return the address that clients and peers are told.

        @param bound: the one that the socket is bound to. It is told where none of
            its family is advertised.
        """
        outside = self.outside
        if outside is not None and outside.version == bound.version:
            return outside
        return bound


def portShares(listens: Iterable[Listen]) -> dict[str, int]:
    """
    Return how many ports one source may have at each listener that has a range.
    """
    shares = ((listen.name, UDPOptions(listen.udp).share) for listen in listens)
    return {name: share for name, share in shares if share is not None}
