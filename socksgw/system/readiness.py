"""
Notifications for the service manager, as of sd_notify(3).

Systemd does not reload a unit of C{Type=notify} before it is ready, so that no
SIGHUP comes while the interpreter starts.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final, final

from twisted.logger import Logger

from socksgw.system.once import Once

__all__ = ["Manager", "notify"]

_log: Final = Logger()

_UNUSABLE: Final = "NOTIFY_SOCKET cannot be used: {why}"


def notify(state: str) -> None:
    """
    Tell the service manager about a state, if it asks for that.

    An error is logged.

    @param state: C{READY=1}, say.
    """
    why = _send(state)
    if why:
        _log.error(_UNUSABLE, why=why)


def _send(states: str) -> str:
    """
    Tell the service manager about states, one in each line.

    @return: why it could not be told; empty where it could, or where there is none.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return ""
    if place.startswith("@"):
        # The abstract name space of unix(7).
        place = f"\0{place[1:]}"
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        with socket.socket(socket.AF_UNIX, kind) as told:
            told.sendto(states.encode("utf-8"), place)
    except OSError as e:
        return e.strerror or str(e)
    return ""


@final
class Manager:
    """
    The service manager, where there is one that asks to be told.

    An error is logged once, until it can be told again.

    @ivar every: seconds within which it wants to hear of us (C{WATCHDOG_USEC}); it
        restarts what is silent for longer. 0 where it does not ask for that.
    """

    def __init__(self) -> None:
        self._failing = Once()
        self.every = _watchdog()

    def ready(self, status: str) -> None:
        """
        Tell that the start, or a reload, is over.

        @param status: what people are told, in one line; empty for nothing.
        """
        self._tell("READY=1", *_status(status))

    def reloading(self) -> None:
        """Tell that a reload begins; L{ready} ends it, also where it changed nothing."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self, status: str, seconds: float) -> None:
        """
        Tell that the end begins.

        @param seconds: how long it may take; the manager waits at least so long.
        """
        extended = f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}"
        self._tell("STOPPING=1", extended, *_status(status))

    def alive(self) -> None:
        """Tell that the reactor runs."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Tell people how it stands, in one line."""
        self._tell(*_status(text))

    def _tell(self, *states: str) -> None:
        why = _send("\n".join(states))
        if not why:
            self._failing.ends()
        elif self._failing.begins():
            _log.error(_UNUSABLE, why=why)


def _status(text: str) -> tuple[str, ...]:
    """Return how it stands as a state; none for an empty text."""
    return (f"STATUS={text}",) if text else ()


def _watchdog() -> float:
    """Return the seconds of sd_watchdog_enabled(3), or 0."""
    process = os.environ.get("WATCHDOG_PID", "")
    asked = os.environ.get("WATCHDOG_USEC", "")
    if not asked.isdecimal() or process not in ("", str(os.getpid())):
        return 0.0
    return int(asked) / 1_000_000
