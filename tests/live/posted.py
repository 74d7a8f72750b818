"""
A server that takes what is posted to it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

__all__ = ["PostedServer"]

Answer = tuple[int, Mapping[str, str], bytes]


class PostedServer:
    """
    Takes what is posted.

    @ivar bodies: what it has taken.
    @ivar asked: the headers of each request, and its path.
    @ivar answers: status, headers and body of the next answers.
    @ivar judge: returns the answers behind those; 200 by default.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.answers: list[Answer] = []
        self.judge: Callable[[bytes], Answer] = lambda _: (200, {}, b"{}")
        self.port = 0
        self._open()

    def _open(self) -> None:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                server.asked.append((self.path, dict(self.headers)))
                status, headers, text = (
                    server.answers.pop(0) if server.answers else server.judge(body)
                )
                if status < 300:
                    server.bodies.append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        Thread(target=self._http.serve_forever, args=[0.01], daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Everything is answered with 503."""
        self.answers.extend([(503, {"Retry-After": "0"}, b"busy")] * 3)
        yield
        self.answers.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"
