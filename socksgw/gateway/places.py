"""
The places where listeners listen, and who keeps the sockets there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Listen
from socksgw.system.domains import OWN, Domain

__all__ = [
    "DATAGRAMS",
    "DIVERTED",
    "SPOKEN",
    "Keeper",
    "Key",
    "NoKeeper",
    "keysOf",
    "portOf",
]

#: What comes to a port: clients that speak to the gateway, connections that are
#: diverted to it, datagrams that are.
SPOKEN: Final = "spoken"
DIVERTED: Final = "diverted"
DATAGRAMS: Final = "datagrams"


@final
class Key(NamedTuple):
    """
    One place where a listener listens.

    @ivar name: the listener's name.
    @ivar where: the address or the endpoint.
    @ivar endpoint: which of them it is: both may begin with C{unix:}.
    @ivar what: what comes there.
    @ivar domain: the routing domain that it is in.
    """

    name: str
    where: str
    endpoint: bool = False
    what: str = SPOKEN
    domain: Domain = OWN

    @property
    def place(self) -> tuple[object, ...]:
        """What is listened on, whatever the listener's name."""
        return self[1:]

    def __str__(self) -> str:
        return f"{self.where} ({self.domain})" if self.domain.name else self.where

    @property
    def told(self) -> tuple[str, ...]:
        """The key in words, for another process."""
        kind = "endpoint" if self.endpoint else "address"
        return self.name, self.where, kind, self.what, self.domain.tag


def keysOf(listens: Sequence[Listen]) -> list[Key]:
    """Return the places of some listeners, in their order."""
    return [
        Key(listen.name, where, where == listen.endpoint, what, listen.domain)
        for listen in listens
        for where in listen.places
        for what in (
            (DIVERTED, DATAGRAMS) if listen.transparent == "tproxy" else (SPOKEN,)
        )
    ]


def portOf(where: str) -> int:
    """Return the port of an address; 0 for any, and for endpoints."""
    try:
        return parseListenAddress(where)[1]
    except ValueError:
        return 0


class Keeper(Protocol):
    """Whoever has the sockets kept for the next process."""

    @property
    def keeps(self) -> bool:
        """Whether what listens at the end goes on listening."""

    def changed(self) -> None:
        """Take note that ports were opened or closed."""


@final
class NoKeeper:
    """Has nothing kept."""

    keeps = False

    def changed(self) -> None:
        """Do nothing."""
