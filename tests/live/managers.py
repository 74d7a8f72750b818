"""
A service manager of our own, which speaks what systemd speaks (sd_notify(3),
sd_listen_fds(3)) and keeps descriptors as it does (systemd.service(5)).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from array import array
from contextlib import suppress
from pathlib import Path

from tests.tools.waiting import until

#: Gets descriptors, and becomes the program, which has them from 3 on.
_PASS = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as manager:
    manager.connect(sys.argv[1])
    names, fds, *_ = socket.recv_fds(manager, 1 << 16, 250)
high = [os.dup2(fd, 500 + i, False) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, True)
if fds:
    os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()),
                      LISTEN_FDNAMES=names.decode())
os.execv(sys.argv[2], sys.argv[2:])
"""
_CREDENTIALS = struct.Struct("iII")
_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(253 * 4)


class ServiceManager:
    """
    Keeps descriptors; it hears nobody but the main process (C{NotifyAccess=main}).

    @ivar told: all that was told, in order, by whoever it was.
    @ivar store: what it keeps, the last that came first, as systemd passes it on.
    @ivar main: the main process; 0 for none yet: whoever comes first.
    """

    def __init__(self, directory: Path) -> None:
        self._place = directory / "notify"
        self._door = directory / "pass"
        self.told: list[tuple[int, str]] = []
        self.store: list[tuple[str, int]] = []
        self.main = 0
        self._lock = threading.Lock()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._notify.bind(str(self._place))
        self._passing = socket.socket(socket.AF_UNIX)
        self._passing.bind(str(self._door))
        self._passing.listen()
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for run in (self._hear, self._pass)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def extra(self) -> dict[str, str]:
        """Of the environment of its service."""
        return {"NOTIFY_SOCKET": str(self._place)}

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command that runs the service with what is kept."""
        return sys.executable, "-c", _PASS, str(self._door)

    @property
    def names(self) -> list[str]:
        """The names of what it keeps."""
        with self._lock:
            return sorted(name for name, _ in self.store)

    def has(self, *names: str) -> None:
        """Wait until it keeps these, and nothing else."""
        until(lambda: self.names == sorted(names), 30, seen=lambda: self.names)

    def _hear(self) -> None:
        while True:
            octets, control, *_ = self._notify.recvmsg(4096, _ANCILLARY)
            if not octets:
                return
            fds, pid = array("i"), 0
            for _, kind, data in control:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[: len(data) - len(data) % 4])
                else:
                    pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            with self._lock:
                self._act(pid, octets.decode(), fds.tolist())

    def _act(self, pid: int, text: str, fds: list[int]) -> None:
        self.told.append((pid, text))
        self.main = self.main or pid
        lines = dict(each.partition("=")[::2] for each in text.split("\n"))
        name = lines.get("FDNAME", "")
        if pid == self.main:
            if "FDSTOREREMOVE" in lines:
                for each in [each for each in self.store if each[0] == name]:
                    self.store.remove(each)
                    os.close(each[1])
            elif "FDSTORE" in lines:
                same = {os.fstat(fd).st_ino for _, fd in self.store}
                for fd in list(fds):
                    if os.fstat(fd).st_ino not in same:
                        self.store.insert(0, (name, fd))
                        fds.remove(fd)
            elif "MAINPID" in lines:
                self.main = int(lines["MAINPID"])
        for fd in fds:
            os.close(fd)

    def _pass(self) -> None:
        while True:
            try:
                connection, _ = self._passing.accept()
            except OSError:
                return
            with connection, self._lock:
                names = ":".join(name for name, _ in self.store) or "-"
                self.main = 0
                socket.send_fds(
                    connection, [names.encode()], [fd for _, fd in self.store]
                )

    def close(self) -> None:
        """End: what it keeps is closed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self._place))
        with suppress(OSError):
            self._passing.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        for each in (self._passing, self._notify):
            each.close()
        for _, fd in self.store:
            os.close(fd)
        self.store.clear()
