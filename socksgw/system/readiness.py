"""
Notifications for the service manager, as of sd_notify(3).

Systemd does not reload a unit of C{Type=notify} before it is ready, so that no
SIGHUP comes while the interpreter starts.
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
    Tell the service manager about a state, if it asks for that.

    An error is logged.

    @param state: C{READY=1} or C{STOPPING=1}.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    if place.startswith("@"):
        # The abstract name space of unix(7).
        place = f"\0{place[1:]}"
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        with socket.socket(socket.AF_UNIX, kind) as told:
            told.sendto(state.encode("ascii"), place)
    except OSError as e:
        _log.error("NOTIFY_SOCKET cannot be used: {why}", why=e.strerror or str(e))
