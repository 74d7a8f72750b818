"""
POST by HTTP/1.1 from threads of their own, on a connection that is kept.
"""

from __future__ import annotations

import gzip
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from time import time
from typing import Final, NamedTuple, final
from urllib.parse import urlsplit

from socksgw.system.blockingtls import whyFailed

__all__ = ["NotPosted", "Posted", "Poster", "placeOf"]

#: Seconds for a connection, and between two pieces of an answer.
_PATIENCE: Final = 30.0
#: Seconds for a whole answer, however it comes.
_WHOLE: Final = 60.0
_PORTS: Final = {"http": 80, "https": 443}
#: Octets of an answer that are read.
_MOST: Final = 1 << 20
#: Seconds that a server may ask us to wait, at most.
_LONGEST: Final = 300.0


class NotPosted(Exception):
    """The server was not reached, or gave no answer; the text says why."""


class Posted(NamedTuple):
    """
    An answer.

    @ivar after: seconds that the server asks to wait (C{Retry-After}); 0 for none.
    """

    status: int
    body: bytes
    after: float


class Place(NamedTuple):
    """Where to post to."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def server(self) -> str:
        """The server, without the path, which may hold a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def placeOf(url: str) -> Place:
    """
    Return the parts of a URL.

    @raise ValueError: it is none of HTTP; the text does not show it.
    """
    try:
        parts = urlsplit(url)
        # Given none, http.client takes the end of an address with colons for the port.
        port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:
        raise ValueError("must be an http:// or https:// URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username is not None or parts.fragment:
        raise ValueError("may have no user, password or fragment; use token_file")
    path = parts.path or "/"
    if not f"{path}{parts.query}".isprintable() or " " in f"{path}{parts.query}":
        raise ValueError("must be an http:// or https:// URL")
    query = f"?{parts.query}" if parts.query else ""
    return Place(parts.scheme == "https", parts.hostname, port, path + query)


@final
class Poster:
    """
    Posts to one place. Redirects are not followed, and no proxy is used.
    """

    def __init__(
        self,
        place: Place,
        headers: Mapping[str, str],
        context: ssl.SSLContext | None,
        packed: bool,
    ) -> None:
        """
        Open nothing yet.

        @param packed: whether bodies are sent with gzip.
        """
        self._place = place
        self._headers = dict(headers)
        self._packed = packed
        if packed:
            self._headers["Content-Encoding"] = "gzip"
        host, port = place.host, place.port
        self._connection = (
            HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
            if place.secure
            else HTTPConnection(host, port, timeout=_PATIENCE)
        )

    def post(self, body: bytes) -> Posted:
        """
        Post a body, and wait for the answer.

        @raise NotPosted: there was none.
        """
        if self._packed:
            body = gzip.compress(body, 1, mtime=0)
        kept = self._connection.sock is not None
        try:
            return self._once(body)
        except (OSError, HTTPException) as e:
            self.close()
            if not kept:
                raise NotPosted(f"{self._place.server}: {_why(e)}") from None
        # The server may have closed a connection that was idle.
        try:
            return self._once(body)
        except (OSError, HTTPException) as e:
            self.close()
            raise NotPosted(f"{self._place.server}: {_why(e)}") from None

    def look(self) -> int:
        """
        Ask by GET, and return the status of the answer.

        @raise NotPosted: there was none.
        """
        try:
            return self._once(None, "GET").status
        except (OSError, HTTPException) as e:
            raise NotPosted(f"{self._place.server}: {_why(e)}") from None

    def _once(self, body: bytes | None, method: str = "POST") -> Posted:
        headers = self._headers
        if body is None:
            headers = {k: v for k, v in headers.items() if not k.startswith("Content-")}
        self._connection.request(method, self._place.path, body, headers)
        late: list[bool] = []
        timer = Timer(_WHOLE, _cut, (self._connection.sock, late))
        timer.daemon = True
        timer.start()
        try:
            answer = self._connection.getresponse()
            found = answer.read(_MOST)
        except (OSError, HTTPException) as e:
            if late:
                raise TimeoutError from e
            raise
        finally:
            timer.cancel()
        if late or not answer.isclosed():
            # There is more of it than anybody needs.
            self._connection.close()
        return Posted(answer.status, found, _after(answer.getheader("Retry-After")))

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        self._connection.close()


def _cut(connection: socket.socket, late: list[bool]) -> None:
    """End a connection whose answer comes too slowly; who reads it is woken."""
    late.append(True)
    # It may have ended just now.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _after(text: str | None) -> float:
    """Return the seconds of C{Retry-After} (RFC 9110, section 10.2.3)."""
    if not text:
        return 0.0
    if text.strip().isdecimal():
        return min(float(text), _LONGEST)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time()), _LONGEST)
    except ValueError:
        return 0.0


def _why(error: OSError | HTTPException) -> str:
    if isinstance(error, OSError):
        return whyFailed(error)
    return f"its answer is no HTTP ({type(error).__name__})"
