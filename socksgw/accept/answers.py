"""
A client that sends datagrams, and the sockets that answer in the name of others.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, final

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from socksgw.accept.seams import Budget
from socksgw.system.connection import Producer, Receiver, SocketName
from socksgw.system.plain import socketName
from socksgw.system.sockets import tellOnce
from socksgw.system.transparent import CAPABILITIES, MissingRight, bindForeign, foreign
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address
from socksgw.wire.datagram import encodeHeader
from socksgw.wire.levels import CLEAR

__all__ = ["DivertedConnection"]

#: The most datagrams, and octets of them, that wait for a session's verdict.
_WAITING: Final = 16
_WAITING_OCTETS: Final = 1 << 14
#: The most sockets that answer one client: as many as it may have flows.
_SOCKETS: Final = 256
_BATCH: Final = 64
_BUFFER: Final = bytearray(1 << 16)
_VIEW: Final = memoryview(_BUFFER)
_DONE: Final = Failure(ConnectionDone())

#: Takes a datagram: the header that names its destination (RFC 1928 section 7), and
#: the payload, which is good for this call only.
Take = Callable[[bytes, memoryview], None]


@final
class DivertedConnection:
    """
    The datagrams of one address and port, to wherever they go.

    As L{socksgw.system.connection.Connection}, which no octet comes or goes on.
    Beside that it has what L{socksgw.relay.seams.Diverted} says.
    """

    __slots__ = (
        "_gone", "_held", "_memory", "_peer", "_served", "_sockets", "_take",
        "_waiting", "_watch", "bufferSize", "local", "peer", "receiver",
    )  # fmt: skip

    plain: Final = None
    halfCloses: Final = True
    secured: Final = CLEAR
    tls: Final = None
    atOnce: Final = 1 << 16

    def __init__(
        self,
        watch: Watcher,
        peer: Any,
        first: tuple[Address, int],
        gone: Callable[[Any, bool], None],
        memory: Budget,
    ) -> None:
        """
        Keep what comes until something takes it.

        @param peer: the client, as sockets call it.
        @param first: where its first datagram goes.
        @param gone: called at the end, with the client and whether it was served.
        """
        self._watch = watch
        self._peer = peer
        self._gone: Callable[[Any, bool], None] | None = gone
        self._memory = memory
        self._held = 0
        self._waiting: list[tuple[bytes, bytes]] = []
        self._take: Take | None = None
        self._served = False
        self._sockets: dict[bytes, socket.socket] = {}
        self.receiver: Receiver | None = None
        self.local = SocketName(*first)
        self.peer = socketName(peer)
        self.bufferSize = 0

    # The datagrams.

    def came(self, to: tuple[Address, int], payload: memoryview) -> None:
        """Take a datagram of the client."""
        header = encodeHeader(*to)
        if self._take is not None:
            self._take(header, payload)
        elif (
            self._gone is not None
            and len(self._waiting) < _WAITING
            and self._held + len(payload) <= _WAITING_OCTETS
            and not (self._waiting and self._memory.scarce)
        ):
            self._waiting.append((header, bytes(payload)))
            self._held += len(payload)
            self._memory.take(len(payload))

    def carry(self, take: Take) -> None:
        """As L{socksgw.relay.seams.Diverted.carry}."""
        self._take, self._served = take, True
        for header, payload in self._let():
            take(header, memoryview(payload))

    def _let(self) -> list[tuple[bytes, bytes]]:
        """Let go of what waits."""
        self._memory.give(self._held)
        self._held = 0
        waiting, self._waiting = self._waiting, []
        return waiting

    def answer(self, header: bytes, payload: memoryview) -> None:
        """As L{socksgw.relay.seams.Diverted.answer}."""
        answering = self._sockets.get(header)
        try:
            if answering is None:
                answering = self._open(header)
            answering.send(payload)
        except MissingRight as e:
            tellOnce(
                "a socket at an address of others",
                e,
                "answers to diverted datagrams are lost; the gateway needs "
                f"{CAPABILITIES} as long as it runs",
            )
        except OSError:
            # The kernel has no room: lost, as datagrams may be.
            return

    def _open(self, header: bytes) -> socket.socket:
        """
        Open a socket that answers in the name of a source.

        From then on the kernel hands it what the client sends there, before any rule
        (nf_tproxy_core.h, NF_TPROXY_LOOKUP_ESTABLISHED).

        @raise OSError: there is none.
        """
        while len(self._sockets) >= _SOCKETS:
            self.forget(next(iter(self._sockets)))
        source, port = Address(header[4:-2]), int.from_bytes(header[-2:], "big")
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            foreign(opened)
            # Each client of this destination has a socket there.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bindForeign(opened, source, port)
            opened.connect(self._peer)
            self._watch.add(
                opened.fileno(), READ, lambda _: self._ready(header, opened)
            )
        except OSError:
            opened.close()
            raise
        self._sockets[header] = opened
        return opened

    def _ready(self, header: bytes, answering: socket.socket) -> None:
        for _ in range(_BATCH):
            if self._take is None or self._sockets.get(header) is not answering:
                return
            try:
                length = answering.recv_into(_BUFFER)
            except OSError:
                # There is no more; or the client's host says that the port is shut.
                return
            self._take(header, _VIEW[:length])

    def forget(self, header: bytes) -> None:
        """As L{socksgw.relay.seams.Diverted.forget}."""
        answering = self._sockets.pop(header, None)
        if answering is not None:
            self._watch.remove(answering.fileno())
            answering.close()

    # The connection.

    def take(self, receiver: Receiver) -> None:
        """As L{Connection.take}: it hears of the end."""
        self.receiver = receiver

    def release(self) -> int:
        """Never come here: L{plain} is L{None}."""
        raise NotImplementedError

    def write(self, data: bytes | memoryview) -> None:
        """Do nothing: nobody waits for octets."""

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Do nothing: there is nothing to wait for."""

    def unregisterProducer(self) -> None:
        """Do nothing, as L{registerProducer}."""

    def pauseProducing(self) -> None:
        """Do nothing: no octets come."""

    def resumeProducing(self) -> None:
        """Do nothing: no octets come."""

    def loseWriteConnection(self) -> None:
        """Do nothing: there is no half."""

    def loseConnection(self) -> None:
        """Forget the client."""
        gone, self._gone = self._gone, None
        if gone is None:
            return
        self._take = None
        self._let()
        for header in list(self._sockets):
            self.forget(header)
        gone(self._peer, self._served)
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connectionLost(_DONE)

    #: A datagram has no end that could be told from another.
    cut = abortConnection = loseConnection
