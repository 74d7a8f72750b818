"""
The sockets of another network namespace, which its broker hands out.

A stock of each kind is kept, so that nothing waits for the broker but when many are
taken at once. Nothing blocks: the broker is asked before the stock ends, and its
answers are read when they come.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from socksgw.system.broker import GREETING, HELLO, KINDS, MOST, peerOf
from socksgw.system.domains import Domain, Waiting, unusable
from socksgw.system.watch import READ, Watcher

__all__ = ["Brokered"]

_log: Final = Logger()

_BY_KIND: Final = {(family, kind): k for k, (family, kind, _) in KINDS.items()}
#: Sockets of each kind that are kept at hand.
_STOCK: Final = {1: 64, 2: 32, 3: 32, 4: 16, 5: 2}
#: Seconds that the broker may take to answer before it counts as gone.
_PATIENCE: Final = 5.0
_ROOT: Final = 0
#: Octets of the largest message, and of the descriptors with it.
_MESSAGE: Final = max(GREETING.size, 3)
_RIGHTS: Final = socket.CMSG_SPACE(MOST * array("i").itemsize)


@final
class _Stock:
    """
    The sockets of one kind.

    @ivar waiting: what is called when there is one, in order.
    """

    __slots__ = ("asked", "code", "sockets", "waiting")

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.asked = 0
        self.code = 0
        self.waiting: deque[_Waiting] = deque()


@final
class _Waiting:
    """One that waits (L{Waiting})."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Do not call it."""
        self.call = None


@final
class Brokered:
    """
    The sockets of one namespace (L{socksgw.system.domains.Sockets}).

    @ivar identity: what tells the namespace from one that had its name before; 0
        while there is no broker, or one that has not answered everything yet.
    @ivar why: why there is no broker, for the operator.
    """

    bound: Final = False

    def __init__(self, name: str, where: Path, watch: Watcher) -> None:
        """
        Begin without a broker: L{dial} asks for one.

        @param where: the broker's Unix socket.
        """
        self._domain = Domain("netns", name)
        self._where = where
        self._watch = watch
        self._watched = False
        self._started = False
        self._broker: socket.socket | None = None
        self._stocks = {kind: _Stock() for kind in KINDS}
        self._since = 0.0
        self._inode = 0
        self.identity = 0
        self.why = "its broker was not asked yet"

    # Sockets.

    def open(self, family: int, kind: int) -> socket.socket:
        """As L{socksgw.system.domains.Sockets.open}."""
        number = _BY_KIND[family, kind]
        stock = self._stocks[number]
        if self._broker is None:
            raise unusable(self._domain, self.why)
        if not stock.sockets:
            code, stock.code = stock.code, 0
            self._ask(number)
            if self._broker is None:
                raise unusable(self._domain, self.why)
            if code:
                raise OSError(code, os.strerror(code))
            raise BlockingIOError(errno.EAGAIN, "no socket of the namespace is at hand")
        found = stock.sockets.pop()
        if len(stock.sockets) <= _STOCK[number] // 2:
            self._ask(number)
        return found

    def wait(self, family: int, kind: int, call: Callable[[], object]) -> Waiting:
        """As L{socksgw.system.domains.Sockets.wait}."""
        waiting = _Waiting(call)
        self._stocks[_BY_KIND[family, kind]].waiting.append(waiting)
        return waiting

    def ready(self, family: int, kind: int) -> Deferred[None] | None:
        """As L{socksgw.system.domains.Sockets.ready}."""
        number = _BY_KIND[family, kind]
        stock = self._stocks[number]
        if self._broker is None or stock.sockets or stock.code:
            return None
        self._ask(number)
        if self._broker is None:
            return None
        fired: Deferred[None] = Deferred(lambda _: waiting.cancel())
        waiting = self.wait(family, kind, lambda: fired.callback(None))
        return fired

    # The broker.

    def dial(self) -> None:
        """
        Connect to the broker, if there is no connection; no effect with one.

        That does not wait: the broker's answers come later. If it does not answer
        in time, the connection is given up.
        """
        if self._broker is not None:
            if self._since and time.monotonic() - self._since > _PATIENCE:
                self._lose("its broker does not answer")
                return
            for kind, stock in self._stocks.items():
                if stock.waiting:
                    self._ask(kind)
            return
        broker = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        )
        try:
            broker.connect(str(self._where))
            owner = peerOf(broker)
        except OSError as e:
            broker.close()
            self.why = (
                f"no broker serves at {self._where} ({e.strerror}): start "
                f"socksgw netns-broker {self._domain.name}"
            )
            return
        # A gateway that is root yet becomes another user, whom it does not know here.
        # Then who may write to the directory decides.
        if os.geteuid() not in (_ROOT, owner) and owner != _ROOT:
            broker.close()
            self.why = (
                f"the broker at {self._where} belongs to user {owner}: it has to be "
                "ours, or root's"
            )
            return
        self._broker = broker
        for kind in KINDS:
            self._stocks[kind].asked = 0
            self._ask(kind)
        if self._started and self._broker is not None:
            self._begin()

    def prepare(self, seconds: float = _PATIENCE) -> bool:
        """
        Connect to the broker, and wait until everything is in stock.

        This blocks: it is for the start, and for threads, before L{start}.

        @return: whether the namespace can be used.
        """
        self.dial()
        until = time.monotonic() + seconds
        while (broker := self._broker) is not None:
            if not self._since and self.identity:
                return True
            left = until - time.monotonic()
            if left <= 0:
                self._lose("its broker does not answer")
                break
            # Not select(2), which takes no descriptor above 1023.
            waiting = select.poll()
            waiting.register(broker, select.POLLIN)
            if waiting.poll(left * 1000):
                self._ready(READ)
        return False

    def start(self) -> None:
        """Read the broker's answers from now on, as they come."""
        if not self._started:
            self._started = True
            if self._broker is not None:
                self._begin()

    def _begin(self) -> None:
        assert self._broker is not None
        self._watch.add(self._broker.fileno(), READ, self._ready)
        self._watched = True

    def close(self) -> None:
        """Let go of the broker and of all sockets that were not taken."""
        self._lose("it is not used any more")

    def _ask(self, kind: int) -> None:
        """Ask for as many sockets as the stock lacks."""
        stock, broker = self._stocks[kind], self._broker
        lacking = min(_STOCK[kind] - len(stock.sockets) - stock.asked, MOST)
        if broker is None or lacking <= 0:
            return
        try:
            broker.send(bytes((kind, lacking)))
        except BlockingIOError:
            # It has not read what it was asked before, and this is asked again.
            return
        except OSError as e:
            self._lose(f"its broker is gone ({e.strerror})")
            return
        stock.asked += lacking
        if not self._since:
            self._since = time.monotonic()

    def _ready(self, events: int) -> None:
        """Take what the broker has sent."""
        while self._broker is not None:
            try:
                octets, control, _, _ = self._broker.recvmsg(
                    _MESSAGE, _RIGHTS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError as e:
                self._lose(f"its broker is gone ({e.strerror})")
                return
            if not self._take(octets, control):
                return

    def _take(self, octets: bytes, control: list[tuple[int, int, bytes]]) -> bool:
        """
        Take one message.

        @return: whether there may be more.
        """
        fds = array("i")
        for level, kind, rights in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
        if len(octets) == GREETING.size and not fds:
            *hello, inode = GREETING.unpack(octets)
            if tuple(hello) == HELLO:
                self._inode = inode
                return True
        if len(octets) != 3 or octets[0] not in KINDS:
            for fd in fds:
                os.close(fd)
            self._lose(
                "its broker is gone" if not octets else "it is no broker of ours"
            )
            return False
        kind, count, code = octets
        stock = self._stocks[kind]
        stock.asked -= count
        # Fewer came than were sent when we are out of descriptors.
        stock.code = code or (0 if fds else errno.EMFILE)
        family, type_, protocol = KINDS[kind]
        for fd in fds:
            came = socket.socket(family, type_, protocol, fd)
            came.setblocking(False)
            stock.sockets.append(came)
        if not code and fds:
            self._ask(kind)
        if not any(each.asked for each in self._stocks.values()):
            self._since = 0.0
            self.identity = self._inode
        else:
            self._since = time.monotonic()
        self._resume(kind)
        return True

    def _resume(self, kind: int) -> None:
        """Call those that wait, as long as there is something for them."""
        stock = self._stocks[kind]
        while stock.waiting and (stock.sockets or stock.code or self._broker is None):
            call = stock.waiting.popleft().call
            if call is not None:
                call()
        if stock.waiting:
            self._ask(kind)

    def _lose(self, why: str) -> None:
        """Forget the broker: nothing can be opened until there is one again."""
        broker, self._broker = self._broker, None
        self.why, self.identity, self._inode, self._since = why, 0, 0, 0.0
        if broker is not None:
            if self._watched:
                self._watch.remove(broker.fileno())
                self._watched = False
            broker.close()
        for stock in self._stocks.values():
            sockets, stock.sockets = stock.sockets, []
            stock.asked = stock.code = 0
            for each in sockets:
                each.close()
        for kind in KINDS:
            self._resume(kind)
