"""
C{fast_open} of listeners and upstreams: what goes with it, and whether the kernel does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from socksgw.config.listening import UNIX
from socksgw.config.schema import Config, Listen
from socksgw.config.upstreamurl import parseUpstreamURL
from socksgw.gateway.examining.problems import Problems

__all__ = ["SWITCH", "examineFastOpen"]

#: What the kernel does of TCP Fast Open, in bits (Linux, ip-sysctl).
SWITCH: Final = Path("/proc/sys/net/ipv4/tcp_fastopen")
#: The bits of connections that are made, and of listening sockets.
_CONNECTS: Final = 1
_LISTENS: Final = 2


def examineFastOpen(config: Config, problems: Problems, switch: Path = SWITCH) -> None:
    """
    Examine C{fast_open} of all listeners and upstreams.

    @param switch: as L{SWITCH}.
    """
    bits = _bits(switch)
    _examineUpstreams(config, problems, bits)
    for i, listen in enumerate(config.listen):
        if not listen.fast_open:
            continue
        path = f"listen[{i}].fast_open"
        for why in _wrong(listen):
            problems.wrong(path, why)
        if not listen.netns:
            _examineSwitch(path, problems, bits, _LISTENS)


def _examineUpstreams(config: Config, problems: Problems, bits: int | None) -> None:
    for i, upstream in enumerate(config.upstream):
        if not upstream.fast_open:
            continue
        path = f"upstream[{i}].fast_open"
        try:
            url = parseUpstreamURL(upstream.url)
        except ValueError:
            # It is reported where upstreams are examined.
            continue
        if not url.isGreeted:
            problems.wrong(
                path,
                f"does not go with {url.protocol} in clear, which answers the request "
                "alone; use TLS below it, or leave it out",
            )
        if not any(listen.netns for listen in config.listen):
            _examineSwitch(path, problems, bits, _CONNECTS)


def _examineSwitch(
    path: str, problems: Problems, bits: int | None, needed: int
) -> None:
    """Report a kernel that does not do what is needed, as far as that is known."""
    if bits is not None and not bits & needed:
        problems.odd(
            path,
            "has no effect on this host: net.ipv4.tcp_fastopen is "
            f"{bits}; set it to {bits | needed} (sysctl)",
        )


def _wrong(listen: Listen) -> Iterator[str]:
    """Yield what does not go with C{fast_open}."""
    if listen.endpoint or all(each.startswith(UNIX) for each in listen.address):
        yield "goes with an address that has a port"
    if listen.transparent is not None:
        yield "does not go with transparent: clients here do not know of the gateway"


def _bits(switch: Path) -> int | None:
    try:
        return int(switch.read_text())
    except (OSError, ValueError):
        # In a container /proc may not have it: nothing is known.
        return None
