"""
What two processes of a handover say to each other, seen and held on its way.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.tools.waiting import until

__all__ = ["Between"]

_KIND: Final = socket.SOCK_SEQPACKET
#: More than any packet has, and the descriptors of one.
_PACKET, _MOST = 1 << 17, 253
#: Of a packet: its kind, and a number of four octets.
_HEAD: Final = 5
#: The kind of a packet that is not the last of its message.
_PART: Final = b"+"
#: Descriptors of "lock" before those that lead to workers: the journal's lock, and what
#: workers share.
_SHARED: Final = 4


class Between:
    """
    Stands where a gateway waits for its successor, and passes on what both say.

    It needs a process that comes by itself (C{--take-over}). What is held has been said
    by the one process, and the other one knows nothing of it: both are at a known step.

    @ivar said: what was said, in order: who said it, and what.
    """

    def __init__(self, state: Path, hold: Sequence[tuple[str, str]]) -> None:
        """
        @param state: the C{state_dir}.
        @param hold: what is not passed on until L{passOn}: who says it, and what. C{new}
            and C{old} are the processes; C{new 1} is what the new worker 1 says to the
            one in whose place it comes.
        """
        self._place, self._real = state / "handover", state / "real"
        self._place.rename(self._real)
        self._listening = socket.socket(socket.AF_UNIX, _KIND)
        self._listening.bind(str(self._place))
        self._listening.listen(4)
        self._holding = {each: threading.Event() for each in hold}
        self.said: list[tuple[str, str]] = []
        self.failed: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self._begin(self._accept)

    def __enter__(self) -> Between:
        return self

    def __exit__(self, *_: object) -> None:
        """Let all pass, and be in nobody's way any more."""
        for each in self._holding.values():
            each.set()
        # It may wait for somebody yet.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        for end in (*self._ends, self._listening):
            end.close()
        if self._real.exists():
            self._real.replace(self._place)
        assert self.failed == []

    def reached(self, who: str, what: str) -> None:
        """Wait until somebody has said something."""
        until(lambda: (who, what) in self.said, 90, seen=lambda: self.said)

    def passOn(self, who: str, what: str) -> None:
        """Hold that no longer."""
        self._holding[who, what].set()

    def _begin(self, run: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=self._run, args=(run, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, run: Any, *arguments: Any) -> None:
        try:
            run(*arguments)
        except BaseException as e:
            self.failed.append(e)

    def _accept(self) -> None:
        try:
            new, _ = self._listening.accept()
        except OSError:
            return  # Nobody came.
        old = socket.socket(socket.AF_UNIX, _KIND)
        old.connect(str(self._real))
        self._join(new, old, "")

    def _join(self, new: socket.socket, old: socket.socket, worker: str) -> None:
        self._ends += [new, old]
        for end in (new, old):
            end.setblocking(True)
        self._begin(self._pass, new, old, "new" + worker)
        self._begin(self._pass, old, new, "old" + worker)

    def _pass(self, here: socket.socket, there: socket.socket, who: str) -> None:
        """Pass on what one process says, until it is gone."""
        whole = b""
        while True:
            try:
                octets, fds = _received(here)
            except ConnectionResetError:
                continue  # Its end is behind what it said.
            if not octets:
                break
            whole += octets[_HEAD:]
            if octets[:1] != _PART:
                what = str(json.loads(whole).get("what", ""))
                whole = b""
                if (who, what) == ("old", "lock"):
                    fds[_SHARED:] = map(self._between, fds[_SHARED:], (1, 2))
                self.said.append((who, what))
                if (who, what) in self._holding:
                    _hold(here, self._holding[who, what])
            with suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(there, [octets], fds)
            for fd in fds:
                os.close(fd)
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _between(self, old: int, number: int) -> int:
        """Stand between two workers; return what leads the new one to the old one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, _KIND)
        self._join(ours, socket.socket(fileno=old), f" {number}")
        return theirs.detach()


def _hold(here: socket.socket, until: threading.Event) -> None:
    """Wait; but what a process has said before it died comes at once."""
    poll = select.poll()
    poll.register(here, 0)
    while not until.wait(0.02) and not poll.poll(0):
        pass


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    octets, control, flags, _ = connection.recvmsg(
        _PACKET, socket.CMSG_SPACE(_MOST * array("i").itemsize), socket.MSG_CMSG_CLOEXEC
    )
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    fds = array("i")
    for _, _, rights in control:
        fds.frombytes(rights)
    return octets, fds.tolist()
