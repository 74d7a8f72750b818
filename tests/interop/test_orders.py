"""
What an order of methods does to a real program that offers several of them:
curl, which offers GSSAPI whenever it was built with it, and cannot fall back.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.running import LOOPBACK, Running
from tests.live.servers import PATIENCE, Daemon, Web, freePort, program
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.waiting import until

TEXT = (
    """
[[listen]]
name = "ticket-first"
address = ["127.0.0.1:0"]
[[listen]]
name = "password-first"
address = ["127.0.0.1:0"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[auth]
checkers = ["memory:alice:canary-77"]
gssapi = { mechanism = "stub" }
[[auth.choose]]
listener = ["ticket-first", "tls"]
methods = ["gssapi", "userpass"]
[[auth.choose]]
listener = ["password-first"]
methods = ["userpass", "gssapi"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["alice"]
"""
    + LOOPBACK
)


def test_aProgramOnLibcurlThatHasAPassword(
    gateway: Callable[..., Running],
    web: Callable[..., Web],
    quiet: dict[str, str],
    tmp_path: Path,
) -> None:
    """
    It fails where GSSAPI is preferred in the clear (then the record says by
    which method it was lost), and gets in by the other order, and inside TLS.
    """
    path = program("curl", "curl")
    version = subprocess.run([path, "-V"], capture_output=True, check=True)
    if b"GSS-API" not in version.stdout and os.environ.get("CI") != "true":
        pytest.skip("this curl was built without GSSAPI")
    root = Authority()
    (tmp_path / "gateway0").mkdir()
    server(root).write(tmp_path / "gateway0", "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    running = gateway(TEXT)

    def curl(port: int) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [
                path, "-sS", "--fail", "-U", "alice:canary-77",
                "-x", f"socks5h://127.0.0.1:{port}", f"http://127.0.0.1:{web().port}/",
            ],
            env=quiet, capture_output=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    port = freePort(kind=socket.SOCK_STREAM)
    to = f"OPENSSL:127.0.0.1:{running.ports[2]},openssl-commonname=localhost"
    to += f",cafile={tmp_path / 'ca.pem'}"
    at = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
    with Daemon([program("socat", "socat"), at, to], port, tmp_path / "log", {}):
        for each in (running.ports[1], port):
            done = curl(each)
            assert done.returncode == 0, done.stderr
    assert [
        (line["listener"], line["user"], line["method"])
        for line in running.journal("decision")
    ] == [("password-first", "alice", "userpass"), ("tls", "alice", "userpass")]
    assert curl(running.ports[0]).returncode != 0
    (line,) = until(
        lambda: [x for x in running.journal("refused") if x["listener"] != "tls"]
    )
    assert line["offered"] == [0, 1, 2]
    assert (line["reason"], line["method"]) == ("client-lost", "gssapi")
