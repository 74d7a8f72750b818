"""
Connect in the clear, by TLS or by GSSAPI's stub, with the same calls.
"""

from __future__ import annotations

import socket
import struct

from socksgw.plugins.gssapi_stub import StubInitiator
from tests.live import raw
from tests.live.servers import Certificate

#: Seconds after which a client gives up.
PATIENCE = 5.0


class Clients:
    """
    Connect to the listeners of a gateway, one session after the other.
    """

    def __init__(self, ports: dict[str, int], certificate: Certificate) -> None:
        self._ports = ports
        self._tls = certificate.client()
        self._client: socket.socket | None = None

    def close(self) -> None:
        """Whatever became of the last session."""
        if self._client is not None:
            self._client.close()

    def dial(self, kind: str) -> socket.socket:
        """Connect to the listener of a kind, and say nothing."""
        client = self._client = raw.dial(self._ports[kind])
        client.settimeout(PATIENCE)
        return client

    def connected(self, kind: str) -> socket.socket:
        """Connect, and log in."""
        client = self.dial(kind)
        if kind == "tls":
            client = self._client = self._tls.wrap_socket(
                client, server_hostname="localhost"
            )
        if kind != "gssapi":
            client.sendall(raw.GREETING)
            raw.exactly(client, 2)
            return client
        client.sendall(b"\x05\x01\x01")
        raw.exactly(client, 2)
        self.initiator = StubInitiator("alice@R")
        # RFC 1961 sections 3.3 and 4: ver, mtyp, len, token.
        token = self.initiator.first
        client.sendall(b"\1\1" + struct.pack("!H", len(token)) + token)
        self.tokens = self.initiator.established(self.message(client))
        self.wrapped(client, b"\2", 2, False)
        self.message(client)
        return client

    def message(self, client: socket.socket) -> bytes:
        """Read the token of one message (RFC 1961)."""
        head = raw.exactly(client, 4)
        return raw.exactly(client, struct.unpack("!H", head[2:])[0])

    def wrapped(
        self, client: socket.socket, octets: bytes, kind: int = 3, secret: bool = True
    ) -> None:
        """Send octets in one message (RFC 1961)."""
        token = self.tokens.wrap(octets, secret)
        client.sendall(bytes((1, kind)) + struct.pack("!H", len(token)) + token)

    def say(self, kind: str, client: socket.socket, octets: bytes) -> None:
        """Send, wrapped where it has to be."""
        if kind != "gssapi":
            client.sendall(octets)
            return
        for at in range(0, len(octets), 30_000):
            self.wrapped(client, octets[at : at + 30_000])

    def relayed(self, kind: str, port: int) -> socket.socket:
        """Ask for a destination, and read the reply, whatever it is."""
        client = self.connected(kind)
        self.say(kind, client, raw.request5("127.0.0.1", port))
        if kind == "gssapi":
            self.message(client)
        else:
            raw.exactly(client, 10)
        return client
