"""
C{listen.proxy_protocol_from}: whose word about clients is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

from socksgw.accept.endpoints import isSecured
from socksgw.config.listening import UNIX
from socksgw.config.schema import Config, Listen
from socksgw.gateway.examining.problems import Problems
from socksgw.policy.conditions import Addresses
from socksgw.policy.document import Compiler
from socksgw.policy.exposure import amountOf, areStrangers
from socksgw.policy.extent import Extent, extentOf

__all__ = ["Senders"]

#: More senders than this are not the balancers alone: a /24, or a /64.
_FEW: Final = (1 << 8, 1 << 64)
_LOOPBACK: Final = Extent([(127 << 24, (128 << 24) - 1)], [(1, 1)])


@final
class Senders:
    """
    The senders of PROXY headers of one configuration.

    @ivar believed: the addresses of each listener that reads headers, by its name.
    """

    def __init__(self, config: Config, compiler: Compiler, problems: Problems) -> None:
        self._config = config
        believed: dict[str, Addresses] = {}
        for i, listen in enumerate(config.listen):
            path = f"listen[{i}].proxy_protocol_from"
            addresses = compiler.addresses(listen.proxy_protocol_from, path)
            if addresses is None:
                continue
            believed[listen.name] = addresses
            if listen.endpoint and isSecured(listen.endpoint):
                problems.wrong(
                    path,
                    "goes with address (and [listen.tls]), or with an endpoint without "
                    "TLS: balancers send the header before TLS begins",
                )
            _judge(path, addresses, problems)
        self.believed: Mapping[str, Addresses] = believed

    def lines(self) -> Iterator[str]:
        """Yield for each such listener whose word is taken, for people."""
        for listen in self._config.listen:
            addresses = self.believed.get(listen.name)
            if addresses is None or not listen.proxy_protocol_from:
                continue
            whose = ", ".join(listen.proxy_protocol_from)
            line = f'"{listen.name}": whoever connects from {whose} can be any client'
            if extentOf(addresses) & _LOOPBACK and not listen.endpoint:
                line += "; " + _locals(listen)
            yield line


def _locals(listen: Listen) -> str:
    """Return who of this machine can send headers, for people."""
    sockets = [each for each in listen.address if each.startswith(UNIX)]
    if len(sockets) < len(listen.address):
        return "every program of this machine can"
    if any(each.startswith(f"{UNIX}@") for each in sockets):
        return "every program that sees the abstract name can"
    return f"on this machine that is whoever may open {', '.join(sockets)}"


def _judge(path: str, addresses: Addresses, problems: Problems) -> None:
    """Tell which lists are too long, or empty."""
    extent = extentOf(addresses)
    if not addresses:
        problems.odd(path, "is empty: every connection is closed")
    elif areStrangers(extent):
        problems.wrong(
            path,
            f"takes the word of {amountOf(extent)} about who the client is, so that "
            "anybody could claim any address; name the balancers' own addresses",
        )
    elif any(
        size > few for size, few in zip((extent - _LOOPBACK).sizes(), _FEW, strict=True)
    ):
        problems.odd(
            path,
            "is more than a few balancers: every host with such an address, and "
            "whoever can send from one, can claim any address; name the balancers' own",
        )
