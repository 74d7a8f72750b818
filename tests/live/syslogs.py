"""
A receiver of syslog over UDP, TCP and TLS, as the standards have it.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from tests.tools.waiting import until

__all__ = ["Receiver"]


class Receiver:
    """
    Takes messages, and keeps them.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(
        self, udp: bool = False, context: ssl.SSLContext | None = None
    ) -> None:
        # By connection: those of several have no order among themselves.
        self._came: list[list[bytes]] = [[]]
        self._udp = udp
        self._context = context
        self.port = 0
        self._open()

    @property
    def messages(self) -> list[bytes]:
        """What has come by each connection, in its order."""
        return [message for came in list(self._came) for message in came]

    def _open(self) -> None:
        kind = socket.SOCK_DGRAM if self._udp else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        if not self._udp:
            self._socket.listen()
        self._clients: list[socket.socket] = []
        self._threads = [Thread(target=self._run, args=[self._socket], daemon=True)]
        self._threads[0].start()

    def _run(self, listening: socket.socket) -> None:
        with suppress(OSError):
            # What is shut down has an empty one.
            while self._udp and (message := listening.recv(70000)):
                self._came[0].append(message)
            while not self._udp:
                client, _ = listening.accept()
                self._clients.append(client)
                came: list[bytes] = []
                self._came.append(came)
                thread = Thread(target=self._read, args=[client, came], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _read(self, client: socket.socket, came: list[bytes]) -> None:
        with suppress(OSError, ValueError):
            if self._context is not None:
                client = self._context.wrap_socket(
                    client, server_side=True, do_handshake_on_connect=False
                )
                self._clients.append(client)
                client.do_handshake()
            with client, client.makefile("rb") as stream:
                while True:
                    length = b""
                    while (octet := stream.read(1)) != b" ":
                        if not octet:
                            return
                        length += octet
                    found = stream.read(int(length))
                    if len(found) == int(length):
                        came.append(found)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Nobody listens here for a while, and all connections are broken."""
        self.close()
        yield
        self._open()

    def close(self) -> None:
        """End: threads first, since a closed socket's number is another's soon."""
        for thread in self._threads:
            # Whoever listens may have had one more client.
            for each in [self._socket, *self._clients]:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join(30)
            assert not thread.is_alive()
        for each in [self._socket, *self._clients]:
            each.close()

    def numbers(self, least: int = 0) -> list[int]:
        """
        Return the numbers of the native lines that have come.

        @param least: how many there have to be.
        """
        until(lambda: len(self.messages) >= least)
        return [json.loads(m[m.index(b"{") :])["n"] for m in self.messages]
