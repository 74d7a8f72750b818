"""
Stores that cannot prove who they are, as real servers: over LDAP inside TLS, LDAP
with StartTLS, and HTTPS. No password, and no secret of the gateway's own, leaves.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.directory import DONE, EXTENDED, POLICY, tried
from tests.live.running import Running
from tests.live.servers import Destination
from tests.tools.certificates import (
    CLIENT,
    HOUR,
    SERVER,
    Authority,
    Issued,
    dns,
    email,
    pemOf,
    rawName,
)

OURS, PASSWORD = "secret-of-the-gateway", "canary-of-a-user"

CA, OTHER = Authority(), Authority()
LOCAL = dns("localhost")
#: What the servers show.
SHOWN: dict[str, Issued] = {
    "nameless": CA.issue(usage=(SERVER,), subject="localhost"),
    "mail": CA.issue(email("root@localhost"), usage=(SERVER,)),
    "elsewhere": CA.issue(dns("elsewhere.example"), usage=(SERVER,)),
    "unreadable": CA.issue(usage=(SERVER,), raw=rawName(0x82, b"\xff\xfe")),
    "expired": CA.issue(LOCAL, usage=(SERVER,), before=-2 * HOUR, after=-HOUR),
    "stranger": OTHER.issue(LOCAL, usage=(SERVER,)),
    "client": CA.issue(LOCAL, usage=(CLIENT,)),
    "good": CA.issue(LOCAL, usage=(SERVER,)),
}


class Listening:
    """
    A server inside TLS that keeps what it is told.

    @ivar heard: what came inside TLS.
    @ivar clear: what came before.
    """

    def __init__(self, shown: Issued, directory: Path, name: str, starts: bool) -> None:
        self.heard = self.clear = b""
        self._starts = starts
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(shown.writeTogether(directory, name))

    def __call__(self, connection: socket.socket) -> None:
        try:
            if self._starts:
                asked = connection.recv(4096)
                self.clear += asked
                connection.sendall(EXTENDED.replace(b"ID", asked[2:5]))
            with self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            ) as secured:
                secured.settimeout(2)
                secured.do_handshake()
                while came := secured.recv(4096):
                    self.heard += came
                    if PASSWORD.encode() in self.heard:
                        break
                    if came[:1] == b"\x30":
                        # A first question, before anything is said.
                        secured.sendall(DONE.replace(b"ID", came[2:5]))
        except OSError:
            # A client that refuses the certificate.
            pass


@pytest.mark.parametrize("carrier", ["ldaps", "startTLS", "https"])
def test_unproved(
    destination: Callable[..., Destination],
    gateway: Callable[..., Running],
    tmp_path: Path,
    carrier: str,
) -> None:
    """
    Each kind of certificate in turn; the last one is in order, and its server
    is the only one that hears a password.
    """
    (tmp_path / "ca.pem").write_bytes(pemOf(CA.certificate))
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(OURS)
    servers: dict[str, Listening] = {}
    text = POLICY
    for name, shown in SHOWN.items():
        server = Listening(shown, tmp_path, name, carrier == "startTLS")
        servers[name] = server
        port = destination(server).port
        text += f'[[auth.checker]]\nname = "{name}"\nca = "ca.pem"\ntimeout = "5s"\n'
        if carrier == "https":
            text += f'kind = "http"\nurl = "https://localhost:{port}/login"\n'
            text += 'token_file = "secret"\n'
        else:
            scheme = "ldaps" if carrier == "ldaps" else "ldap"
            text += f'kind = "ldap"\nurl = ["{scheme}://localhost:{port}"]\n'
            text += 'base = "dc=x"\nuser_dn = "uid={user},dc=x"\nstart_tls = true\n'
            text += 'bind_dn = "cn=gw"\nbind_password_file = "secret"\n'
    running = gateway(
        text.replace('"ca.pem"', f'"{tmp_path}/ca.pem"').replace(
            '"secret"', f'"{secret}"'
        )
    )
    assert tried(running.port, b"alice", PASSWORD.encode()) == b"\x01\x01"
    for name, server in servers.items():
        assert (PASSWORD.encode() in server.heard) == (name == "good"), name
        assert OURS.encode() not in server.clear
        assert PASSWORD.encode() not in server.clear
        if name != "good":
            assert server.heard == b"", name
    for why in (
        "DNS:localhost",
        "is for elsewhere.example",
        "has expired",
        '"ca"',
        "not for servers",
    ):
        assert why in running.log
    assert "Traceback" not in running.log
