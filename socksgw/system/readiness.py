"""
Notifications for the service manager, as of sd_notify(3).

Systemd does not reload a unit of C{Type=notify} before it is ready, so that no
SIGHUP comes while the interpreter starts.
"""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from twisted.logger import Logger

from socksgw.system.once import Once

__all__ = ["Manager", "notify", "received"]

_log: Final = Logger()

_UNUSABLE: Final = "NOTIFY_SOCKET cannot be used: {why}"
#: The first descriptor that the manager passes on (sd_listen_fds(3)).
_FIRST: Final = 3


def notify(state: str) -> None:
    """
    Tell the service manager about a state, if it asks for that.

    An error is logged.

    @param state: C{READY=1}, say.
    """
    why = _send(state)
    if why:
        _log.error(_UNUSABLE, why=why)


def received(prefix: str) -> dict[str, int]:
    """
    Return the descriptors that the manager has kept for us, by their names.

    They are closed when a program is executed; others stay as they are.

    @param prefix: of the names of ours (C{LISTEN_FDNAMES}). What has a name that came
        before is closed.
    """
    given = _atTheStart()
    count = given.get("LISTEN_FDS", "")
    if not count.isdecimal() or given.get("LISTEN_PID", "") != str(os.getpid()):
        return {}
    found: dict[str, int] = {}
    names = given.get("LISTEN_FDNAMES", "").split(":")
    for fd, name in zip(range(_FIRST, _FIRST + int(count)), names, strict=False):
        if not name.startswith(prefix):
            continue
        if name in found:
            os.close(fd)
            continue
        os.set_inheritable(fd, False)
        found[name] = fd
    return found


def _atTheStart() -> dict[str, str]:
    """
    Return the environment that the process was started with.

    Twisted takes the names of sockets out of it when it is imported.
    """
    try:
        octets = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(each).partition("=") for each in octets.split(b"\0"))
    return {name: value for name, _, value in pairs}


def _send(states: str, descriptors: Sequence[int] = ()) -> str:
    """
    Tell the service manager about states, one in each line.

    @param descriptors: go with them.
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
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
            control = [rights] if descriptors else []
            told.sendmsg([states.encode("utf-8")], control, 0, place)
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
        self._isLeft = False
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

    @property
    def isThere(self) -> bool:
        """Whether there is one."""
        return os.environ.get("NOTIFY_SOCKET", "").startswith(("/", "@"))

    def keep(self, name: str, descriptor: int) -> bool:
        """
        Have a descriptor kept for the next process, also when this one crashes.

        Without C{FileDescriptorStoreMax=} in the unit the manager closes it. What it
        has already stays as it is.

        @param name: what L{received} calls it there.
        @return: whether it was told.
        """
        # A hang-up would take it out of the store.
        states = "FDSTORE=1", f"FDNAME={name}", "FDPOLL=0"
        return self._tell(*states, descriptors=[descriptor])

    def forget(self, name: str) -> bool:
        """
        Have what has a name kept no longer.

        @return: whether it was told.
        """
        return self._tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def leave(self) -> None:
        """Tell nothing any more: another process is heard by now."""
        self._isLeft = True

    def _tell(self, *states: str, descriptors: Sequence[int] = ()) -> bool:
        if self._isLeft:
            return False
        why = _send("\n".join(states), descriptors)
        if not why:
            self._failing.ends()
        elif self._failing.begins():
            _log.error(_UNUSABLE, why=why)
        return not why


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
