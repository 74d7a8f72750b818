"""
What the service manager is told: that the gateway serves, and that it stops
(sd_notify(3), systemd's C{Type=notify}).

Systemd sends a unit of that type no signal for a reload before it is ready, so
that none can come while the interpreter starts.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from twisted.logger import Logger

__all__ = ["notify"]

_log: Final = Logger()


def notify(state: str) -> None:
    """
    Tell the service manager, where there is one that wants to know; what keeps
    it from hearing is logged.

    @param state: C{READY=1} or C{STOPPING=1}.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    if place.startswith("@"):
        # In the abstract name space (unix(7)).
        place = f"\0{place[1:]}"
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        with socket.socket(socket.AF_UNIX, kind) as told:
            told.sendto(state.encode("ascii"), place)
    except OSError as e:
        _log.error("NOTIFY_SOCKET cannot be used: {why}", why=e.strerror or str(e))
