"""
Say a vector to a proxy, and hear the answer. All of it blocks, for a bounded time.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, final

from socksgw.console.selftest.connecting import clientOf, headerOf
from socksgw.console.selftest.vectors import DESTINATION, LOGIN, Vector
from socksgw.console.selftest.witness import Expected
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.report.words import counted
from socksgw.wire.codes import Method
from socksgw.wire.socks6options import encodeAuthData
from socksgw.wire.userpass import encodeRequest

__all__ = ["Access", "Speaker", "tlsFor"]

#: Seconds without an octet after which an answer counts as whole.
_QUIET: Final = 0.1
#: Seconds between octets that are sent one by one.
_PAUSE: Final = 0.002
#: The most octets of an answer that are looked at.
_MOST: Final = 4096
_NONE, _PASSWORD = b"\x05\x00", b"\x05\x02"
#: An authentication reply of SOCKS 6 that lets nobody in (its draft, section 6).
_FAILED6: Final = b"\x06\x01"


class Access(NamedTuple):
    """
    How a proxy is reached, and who logs in there.

    @ivar place: host and port, or the path of a Unix socket.
    @ivar tls: TLS below the protocol; L{None} for none.
    @ivar name: whose certificate it has to be.
    @ivar user: the name and password of a user; L{None} for nobody.
    @ivar headed: whether a connection begins with a PROXY header.
    @ivar witness: is told what the journal has to have.
    """

    place: tuple[str, int] | str
    tls: ssl.SSLContext | None = None
    name: str = ""
    user: tuple[str, str] | None = None
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

        Where a login is wanted and there is no user, those that come after one are not
        said.

        @raise ProbeFailed: at the first one, the proxy cannot be reached, does not
            answer, or refuses the login.
        """
        found: list[Answer] = []
        unsaid = 0
        for vector in vectors:
            if unsaid and vector.before:
                unsaid += 1
                continue
            try:
                answer = self._says(vector)
            except ProbeFailed as e:
                if not found:
                    raise
                answer = Answer(_named(vector), str(e), "failed", e.remedy)
            if answer is None:
                unsaid += 1
            else:
                found.append(answer)
        if unsaid:
            found.append(
                Answer(
                    f"{counted(unsaid, 'exchange')} behind a login",
                    *_unsaid(self._access.user is None),
                )
            )
        return found

    def _says(self, vector: Vector) -> Answer | None:
        """
        Say a vector.

        @return: L{None} where that takes a login.
        @raise ProbeFailed: as of L{all}.
        """
        with self._dialled() as proxy:
            six = vector.protocol == "socks6"
            if vector.before == LOGIN and not (six or self._enters(proxy)):
                return None
            self._send(proxy, self._octets(vector), vector.slowly)
            answer = self._answer(proxy, vector.holds)
            failed = six and answer.startswith(_FAILED6) and not vector.holds(answer)
            if failed and vector.before == LOGIN:
                if self._access.user is None:
                    return None
                raise _refused()
            decided = b" 407 " not in answer[:20]
            if vector.name == DESTINATION and decided and vector.holds(answer):
                client = clientOf(proxy)
                self._access.witness(Expected("connect", "192.0.2.1", 9, client, ""))
        if vector.holds(answer):
            return Answer(_named(vector), _shown(answer))
        return Answer(
            _named(vector),
            f"{_shown(answer)}: not as in {vector.source}",
            "failed",
            "report it to whoever makes the proxy, with this line",
        )

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

    def _enters(self, proxy: socket.socket) -> bool:
        """Log in by SOCKS 5, and return whether that is over."""
        user = self._access.user
        proxy.sendall(b"\x05\x01\x00" if user is None else b"\x05\x02\x00\x02")
        chosen = self._answer(proxy, lambda octets: len(octets) == 2)
        if chosen == _PASSWORD and user is not None:
            proxy.sendall(encodeRequest(user[0].encode(), user[1].encode()))
            status = self._answer(proxy, lambda octets: len(octets) == 2)
            if status[1:] != b"\x00":
                raise _refused()
            return True
        return chosen == _NONE

    def _octets(self, vector: Vector) -> bytes:
        """
        Return what a vector says; of a request of SOCKS 6 behind a login, with that.

        The options are at its end (draft-olteanu-intarea-socks-6-11 section 4).
        """
        user, octets = self._access.user, vector.octets
        if vector.protocol != "socks6" or vector.before != LOGIN or user is None:
            return octets
        message = encodeRequest(user[0].encode(), user[1].encode())
        login = encodeAuthData(Method.USERNAME_PASSWORD, message)
        size = int.from_bytes(octets[2:4], "big") + len(login)
        return octets[:2] + size.to_bytes(2, "big") + octets[4:] + login

    @staticmethod
    def _send(proxy: socket.socket, octets: bytes, slowly: bool) -> None:
        size = 1 if slowly else len(octets)
        # A proxy may close before everything is said: what it has answered counts.
        with suppress(OSError):
            for at in range(0, len(octets), size):
                proxy.sendall(octets[at : at + size])
                time.sleep(_PAUSE)

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
            proxy.settimeout(max(min(_QUIET, left) if quiet else left, 0.001))
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


def _unsaid(nobody: bool) -> tuple[str, Literal["warning"], str]:
    """Return what is said of what is behind a login, and what helps."""
    if nobody:
        return (
            "not tried: a login is wanted",
            "warning",
            "name a user of the proxy: --user and --password-file",
        )
    return (
        "not tried: vectors log in by user and password alone",
        "warning",
        "what socksgw's own client does tries the other logins",
    )


def _refused() -> ProbeFailed:
    return ProbeFailed("the login is refused", "are --user and the password right?")


def _named(vector: Vector) -> str:
    return f"{vector.protocol}: {vector.name}"


def _shown(octets: bytes) -> str:
    if not octets:
        return "it closes the connection"
    if octets.startswith(b"HTTP/"):
        return octets.partition(b"\r\n")[0].decode("ascii", "replace")
    more = " …" if len(octets) > 24 else ""
    return f"{octets[:24].hex(' ')}{more}"
