"""
A web server that answers as a test says, octet by octet, and notes what it reads.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

__all__ = ["Origin", "Request", "answer"]


def answer(body: bytes, status: str = "200 OK", fields: bytes = b"") -> bytes:
    """Return a whole answer of a known length."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + fields + b"\r\n" + body


class Request:
    """
    One request, of which the head is read.

    @ivar connection: where it came.
    @ivar number: which of the server's connections that is, from 0.
    @ivar head: the request line and the fields.
    """

    def __init__(self, connection: socket.socket, number: int, head: bytes) -> None:
        self.connection = connection
        self.number = number
        self.head = head

    def body(self, count: int) -> bytes:
        """Read so much of the body; less, where it breaks off."""
        found = b""
        while len(found) < count:
            came = self.connection.recv(count - len(found))
            if not came:
                break
            found += came
        return found

    def say(self, octets: bytes) -> None:
        self.connection.sendall(octets)


class Origin:
    """
    The server, which serves each connection in a thread.

    @ivar heads: the head of each request, with the number of its connection.
    """

    def __init__(self, serve: Callable[[Request], bool | None]) -> None:
        """
        @param serve: answers a request; returns whether the connection is closed.
        """
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heads: list[tuple[int, bytes]] = []
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def url(self, path: str = "/") -> bytes:
        return f"http://127.0.0.1:{self.port}{path}".encode()

    def __enter__(self) -> Origin:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for each in self._connections:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for each in (self._listening, *self._connections):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            number = len(self._connections)
            self._connections.append(connection)
            thread = threading.Thread(
                target=self._answer, args=(connection, number), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket, number: int) -> None:
        try:
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    octet = connection.recv(1)
                    if not octet:
                        return
                    head += octet
                self.heads.append((number, head))
                if self._serve(Request(connection, number, head)):
                    return
        except OSError:
            return
        finally:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
