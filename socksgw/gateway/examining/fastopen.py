"""
C{fast_open} of a listener: what goes with it, and whether the kernel does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from socksgw.config.listening import UNIX
from socksgw.config.schema import Config, Listen
from socksgw.gateway.examining.problems import Problems

__all__ = ["SWITCH", "examineFastOpen"]

#: What the kernel does of TCP Fast Open, in bits (Linux, ip-sysctl).
SWITCH: Final = Path("/proc/sys/net/ipv4/tcp_fastopen")
#: The bit of listening sockets.
_LISTENS: Final = 2


def examineFastOpen(config: Config, problems: Problems, switch: Path = SWITCH) -> None:
    """
    Examine C{fast_open} of all listeners.

    @param switch: as L{SWITCH}.
    """
    for i, listen in enumerate(config.listen):
        if not listen.fast_open:
            continue
        path = f"listen[{i}].fast_open"
        for why in _wrong(listen):
            problems.wrong(path, why)
        bits = _bits(switch)
        if not listen.netns and bits is not None and not bits & _LISTENS:
            problems.odd(
                path,
                "has no effect on this host: net.ipv4.tcp_fastopen is "
                f"{bits}; set it to {bits | _LISTENS} (sysctl)",
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
