"""
A client of UDP in HTTP/1.1, written from RFC 9297 and RFC 9298.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tests.live.clients import opened

__all__ = ["Tunnel", "answered", "capsule", "integer", "request"]


def integer(number: int, octets: int = 0) -> bytes:
    """
    An integer (RFC 9000 section 16).

    @param octets: how many it has; by default as few as it takes.
    """
    sizes = {1: 0, 2: 1, 4: 2, 8: 3}
    size = octets or next(n for n in sizes if number < 1 << (8 * n - 2))
    return (number + (sizes[size] << (8 * size - 2))).to_bytes(size, "big")


def capsule(value: bytes, kind: int = 0) -> bytes:
    """A capsule (RFC 9297 section 3.2)."""
    return integer(kind) + integer(len(value)) + value


def request(host: str, port: int | str, *fields: str, start: str = "") -> bytes:
    """
    A request (RFC 9298 section 3.2).

    @param host: with colons encoded.
    @param start: what stands before the path, where the target is in absolute form.
    """
    lines = (
        f"GET {start}/.well-known/masque/udp/{host}/{port}/ HTTP/1.1",
        "Host: gw.example",
        "Connection: Upgrade",
        "Upgrade: connect-udp",
        "Capsule-Protocol: ?1",
        *fields,
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def answered(client: Any) -> tuple[int, dict[str, str], bytes]:
    """
    Read an answer.

    @return: its status, its fields by their names in lower case, and what came
        behind them; of a refusal the body.
    """
    octets = b""
    while b"\r\n\r\n" not in octets:
        more = client.recv(65536)
        assert more, octets
        octets += more
    head, _, rest = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in fields, f"{name} twice"
        fields[name.lower()] = value
    while len(rest) < int(fields.get("content-length", 0)):
        rest += client.recv(65536)
    return int(status), fields, rest


class Tunnel:
    """
    A tunnel to one destination.

    @ivar socket: the connection.
    """

    def __init__(
        self, client: Any, host: str, port: int, *fields: str, start: str = ""
    ) -> None:
        """
        @param client: a connection, or the port to connect to.
        """
        self.socket = opened(client) if isinstance(client, int) else client
        self.socket.sendall(request(host, port, *fields, start=start))
        status, found, self._came = answered(self.socket)
        assert status == 101, (status, self._came)
        # Section 3.3, and RFC 9297 section 3.2.
        assert found["connection"].lower() == "upgrade"
        assert found["upgrade"] == "connect-udp"
        assert found["capsule-protocol"] == "?1"
        assert not {"content-length", "transfer-encoding"} & set(found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, payload: bytes) -> None:
        """Send a datagram (section 5)."""
        self.socket.sendall(capsule(b"\0" + payload))

    def _take(self, octets: int) -> bytes:
        while len(self._came) < octets:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self._came += more
        taken, self._came = self._came[:octets], self._came[octets:]
        return taken

    def _integer(self) -> int:
        first = self._take(1)
        size = 1 << (first[0] >> 6)
        whole = first + self._take(size - 1)
        return int.from_bytes(whole, "big") % (1 << (8 * size - 2))

    def receive(self) -> bytes:
        """
        Receive the next datagram.

        @raise EOFError: the tunnel has ended.
        """
        kind, length = self._integer(), self._integer()
        value = self._take(length)
        assert (kind, value[:1]) == (0, b"\0")
        return value[1:]

    def ended(self) -> bool:
        """Whether nothing but the end comes."""
        try:
            self.receive()
        except (EOFError, ConnectionResetError):
            return True
        return False

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes for a while."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.receive()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)
        return False
