"""
The program that a gateway runs in: started again, found by its pid file and its manager.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from socksgw.gateway.starting import CannotStart
from socksgw.system.files import unreadable
from socksgw.system.readiness import notify

__all__ = ["FLAG", "Program", "handed"]

_log: Final = Logger()

#: The option of C{twistd socksgw} that has it take over.
FLAG: Final = "--take-over"
#: Names the descriptor of the channel, in the environment of a process that was started
#: by the one that serves.
_CHANNEL: Final = "SOCKSGW_HANDOVER"
#: What tells a process of its own start, and not of that of another one.
_OWN: Final = ("WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
#: The option of twistd's for the file.
_PIDFILE: Final = "pidfile"


def handed() -> socket.socket | None:
    """
    Return the channel that the process which started this one has handed over.

    It is there once.
    """
    number = os.environ.pop(_CHANNEL, "")
    if not number.isdecimal():
        return None
    with suppress(OSError):
        channel = socket.socket(fileno=int(number))
        channel.set_inheritable(False)
        return channel
    return None


@final
class Program:
    """
    The program, C{twistd} with its command line.

    It is made before twistd changes the directory.
    """

    def __init__(self, settings: MutableMapping[str, Any], takesOver: bool) -> None:
        """
        Note how it was started.

        @param settings: twistd's options.
        @param takesOver: whether it takes the place of a gateway that serves: the pid
            file is that one's until then.
        """
        self._command = [sys.executable, *sys.orig_argv[1:]]
        self._directory = Path.cwd()
        self._settings = settings
        self._pidfile = settings.get(_PIDFILE) or ""
        if self._pidfile:
            self._pidfile = str(Path(self._pidfile).absolute())
        if takesOver:
            # twistd would take the other gateway for a mistake.
            settings[_PIDFILE] = ""

    def start(self, reactor: Any, channel: socket.socket) -> None:
        """
        Start it once more, to take over.

        @param channel: what leads to this process; it may be closed after that.
        @raise CannotStart: that is not possible.
        """
        if os.getpid() == 1:
            raise CannotStart(
                "this gateway is process 1 of a container, which ends with it: start "
                "another container instead"
            )
        command = self._command
        if FLAG not in command:
            command = [*command, FLAG]
        try:
            reactor.spawnProcess(
                ProcessProtocol(),
                command[0],
                command,
                env=_environment(3),
                path=str(self._directory),
                childFDs={0: 0, 1: 1, 2: 2, 3: channel.fileno()},
            )
        except OSError as e:
            why = unreadable(Path(command[0]), e)
            raise CannotStart(f"the new process cannot be started: {why}") from None

    def taken(self) -> None:
        """Take the pid file: this process serves by now."""
        if not self._pidfile:
            return
        self._settings[_PIDFILE] = self._pidfile
        try:
            beside = Path(f"{self._pidfile}.new")
            beside.write_text(str(os.getpid()))
            beside.replace(self._pidfile)
        except OSError as e:
            _log.error(
                "the pid file {path} cannot be written: {why}",
                path=self._pidfile,
                why=e.strerror,
            )

    def left(self, pid: int) -> None:
        """
        Tell the service manager that another process serves; leave the pid file to it.

        @param pid: the number of that process.
        """
        self._settings[_PIDFILE] = ""
        notify(f"MAINPID={pid}")


def _environment(channel: int) -> Mapping[str, str]:
    """
    Return the environment of the new process.

    @param channel: the descriptor of the channel there.
    """
    found = {name: value for name, value in os.environ.items() if name not in _OWN}
    return {**found, _CHANNEL: str(channel)}
