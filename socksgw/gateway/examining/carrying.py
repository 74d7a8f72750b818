"""
Whether the upstreams of a rule can do what it allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from socksgw.config.schema import Upstream
from socksgw.config.upstreamurl import UpstreamURL, parseUpstreamURL
from socksgw.policy.leaving import DIRECT

__all__ = ["cannotBind", "cannotCarry"]

_BINDS: Final = ("socks4a", "socks5", "socks6")
_CARRIES: Final = ("socks5", "socks6")
#: Those that have datagrams inside their connection.
_INSIDE: Final = ("socks6",)
_BESIDE: Final = "associate"
#: The login whose protection is for datagrams, too (RFC 1961 section 5).
_PROTECTING: Final = "gssapi"


def _urls(
    place: Iterable[str], known: Mapping[str, Upstream]
) -> Iterator[tuple[Upstream, UpstreamURL]]:
    """Return the upstreams of a place whose tables are right, with their URLs."""
    for name in place:
        if name == DIRECT or name not in known:
            continue
        try:
            yield known[name], parseUpstreamURL(known[name].url)
        except ValueError:
            # That is told of the table.
            continue


def _lacks(name: str, protocol: str, what: str) -> str:
    return f'upstream "{name}" speaks {protocol}, which has no {what}'


def cannotBind(
    via: Sequence[Sequence[str]], known: Mapping[str, Upstream]
) -> Iterator[str]:
    """Return what is in the way of BIND: the last upstream listens."""
    for upstream, url in _urls(via[-1], known):
        if url.protocol not in _BINDS:
            yield _lacks(upstream.name, url.protocol, "BIND")


def cannotCarry(
    via: Sequence[Sequence[str]], known: Mapping[str, Upstream]
) -> Iterator[str]:
    """
    Return what is in the way of UDP.

    Datagrams go through each upstream, up to one that has them inside its connection.
    """
    for place in reversed(via):
        inside = True
        for upstream, url in _urls(place, known):
            name = upstream.name
            if url.protocol not in _CARRIES:
                yield _lacks(name, url.protocol, "UDP")
            elif upstream.udp == _BESIDE and url.protocol not in _INSIDE:
                inside = False
                if url.tls and upstream.login.method != _PROTECTING:
                    yield (
                        f'datagrams would go beside the TLS of upstream "{name}" in '
                        'the clear: set its udp = "hev" or "gost" (in a socksgw there, '
                        "listen.udp.tunnels), which has them go inside it"
                    )
        if inside:
            return
