"""
Say a vector that takes no login to a proxy, and hear the answer.

All of it blocks, for a bounded time.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, final

from socksgw.console.selftest.connecting import clientOf, headerOf
from socksgw.console.selftest.vectors import Vector
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed

__all__ = ["PAUSE", "QUIET", "Access", "Speaker", "judged", "tlsFor"]

#: Seconds without an octet after which an answer counts as whole.
QUIET: Final = 0.1
#: Seconds between octets that are sent one by one.
PAUSE: Final = 0.002
#: The most octets of an answer that are looked at.
_MOST: Final = 4096


class Access(NamedTuple):
    """
    How a proxy is reached.

    @ivar place: host and port, or the path of a Unix socket.
    @ivar tls: TLS below the protocol; L{None} for none.
    @ivar name: whose certificate it has to be.
    @ivar headed: whether a connection begins with a PROXY header.
    @ivar witness: is told what the journal has to have.
    """

    place: tuple[str, int] | str
    tls: ssl.SSLContext | None = None
    name: str = ""
    headed: bool = False
    witness: Callable[[Expected], object] = lambda _: None


def tlsFor(
    ca: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    """
    Return TLS to a proxy.

    @param ca: who signs its certificate; L{None} for the system's authorities.
    @param certificate: the client's; L{None} for none.
    @raise OSError: a file cannot be used.
    """
    made = ssl.create_default_context(cafile=None if ca is None else str(ca))
    if certificate is not None:
        made.load_cert_chain(certificate, key)
    return made


@final
class Speaker:
    """Speaks to one proxy."""

    def __init__(self, access: Access, seconds: float) -> None:
        """
        Take where the proxy is.

        @param seconds: that each vector may take.
        """
        self._access = access
        self._seconds = seconds

    def all(self, vectors: Sequence[Vector]) -> list[Answer]:
        """
        Say vectors one after the other, and return what is to be told of the answers.

        @param vectors: that take no login.
        @raise ProbeFailed: at the first one, the proxy cannot be reached, or does not
            answer.
        """
        found: list[Answer] = []
        for vector in vectors:
            try:
                found.append(self._says(vector))
            except ProbeFailed as e:
                if not found:
                    raise
                found.append(Answer(vector.called, str(e), "failed", e.remedy))
        return found

    def _says(self, vector: Vector) -> Answer:
        """
        Say a vector.

        @raise ProbeFailed: as of L{all}.
        """
        with self._dialled() as proxy:
            self._send(proxy, vector.octets, vector.slowly)
            answer = self._answer(proxy, vector.holds)
            if vector.decided and vector.holds(answer):
                client = clientOf(proxy)
                self._access.witness(Expected("connect", "192.0.2.1", 9, client, ""))
        return judged(vector, vector.called, answer)

    def _dialled(self) -> socket.socket:
        access = self._access
        try:
            if isinstance(access.place, str):
                made = socket.socket(socket.AF_UNIX)
                made.settimeout(self._seconds)
                made.connect(access.place)
            else:
                made = socket.create_connection(access.place, self._seconds)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if access.headed:
                made.sendall(headerOf(made))
            if access.tls is None:
                return made
            return access.tls.wrap_socket(made, server_hostname=access.name)
        except OSError as e:
            why = e.strerror or str(e) or type(e).__name__
            raise ProbeFailed(
                f"it cannot be reached: {why}", "does the gateway run there?"
            ) from None

    @staticmethod
    def _send(proxy: socket.socket, octets: bytes, slowly: bool) -> None:
        size = 1 if slowly else len(octets)
        # A proxy may close before everything is said: what it has answered counts.
        with suppress(OSError):
            for at in range(0, len(octets), size):
                proxy.sendall(octets[at : at + size])
                time.sleep(PAUSE)

    def _answer(self, proxy: socket.socket, whole: Callable[[bytes], bool]) -> bytes:
        """
        Return what the proxy answers.

        @param whole: whether octets may be all of it: no more than a moment is waited
            for others then.
        @raise ProbeFailed: it does not answer in time.
        """
        answer = b""
        until = time.monotonic() + self._seconds
        while len(answer) < _MOST:
            left = until - time.monotonic()
            quiet = answer and whole(answer)
            proxy.settimeout(max(min(QUIET, left) if quiet else left, 0.001))
            try:
                came = proxy.recv(_MOST)
            except TimeoutError:
                if answer:
                    return answer
                raise ProbeFailed(
                    "it does not answer in time", "a longer --timeout may help"
                ) from None
            except OSError:
                return answer
            if not came:
                return answer
            answer += came
        return answer


def judged(vector: Vector, name: str, answer: bytes) -> Answer:
    """Return what is told of the answer to a vector."""
    if vector.holds(answer):
        return Answer(name, _shown(answer))
    return Answer(
        name,
        f"{_shown(answer)}: not as in {vector.source}",
        "failed",
        "report it to whoever makes the proxy, with this line",
    )


def _shown(octets: bytes) -> str:
    if not octets:
        return "it closes the connection"
    if octets.startswith(b"HTTP/"):
        return octets.partition(b"\r\n")[0].decode("ascii", "replace")
    more = " …" if len(octets) > 24 else ""
    return f"{octets[:24].hex(' ')}{more}"
