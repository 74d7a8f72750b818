"""
A workstation whose address changes, in namespaces of its own (L{tests.live.netns.alone}).

It prints what its agent and its programs have seen, as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.live import raw
from tests.live.agents import agent
from tests.live.netns import cable, ip, within
from tests.live.running import running
from tests.tools.certificates import SERVER, Authority, dns, pemOf

#: The gateway, and where its destinations are, both behind the cable.
GATEWAY = """
[[listen]]
name = "main"
address = ["10.9.0.1:1080"]
tls = { certificate = "gw.pem", key = "gw.key" }
[[auth.choose]]
methods = ["none"]
from = ["10.9.0.0/24"]
[timeouts]
drain = "1s"
[never]
except = ["10.9.0.1:7"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["anonymous"]
from = ["10.9.0.0/24"]
to = ["10.9.0.1"]
"""


def _echo(listener: socket.socket) -> None:
    """Serve each client in turn."""
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_one, args=(accepted,), daemon=True).start()


def _one(accepted: socket.socket) -> None:
    with accepted, suppress(OSError):
        while octets := accepted.recv(100):
            accepted.sendall(octets)


def _said(client: socket.socket) -> str:
    """Return what comes back of five octets, or how it failed."""
    try:
        client.sendall(b"hello")
        return client.recv(5).decode()
    except OSError as e:
        return type(e).__name__


def main() -> None:
    """Move from one address to another."""
    found: dict[str, object] = {}
    ip("netns add far")
    ip("link set lo up", netns="far")
    cable(("", "near0"), ("far", "far0"), ("10.9.0.2/24", "10.9.0.1/24"))
    with within("far"):
        listener = socket.create_server(("10.9.0.1", 7))
    threading.Thread(target=_echo, args=(listener,), daemon=True).start()
    directory = Path(tempfile.mkdtemp())
    (directory / "gateway").mkdir()
    root = Authority()
    root.issue(dns("gw.example"), usage=(SERVER,)).write(directory / "gateway", "gw")
    (directory / "ca.pem").write_bytes(pemOf(root.certificate))
    inside = ["ip", "netns", "exec", "far"]
    far = contextmanager(running)(directory / "gateway", GATEWAY, prefix=inside)
    options = ["--ca", str(directory / "ca.pem"), "--server-name", "gw.example"]
    options += ["--login", "none", "--listen", "127.0.0.1:0"]
    with far, agent(directory / "home", "10.9.0.1:1080", *options) as mine:
        mine.tells("is reached")
        with raw.dial(mine.port) as client:
            raw.through(client, "10.9.0.1", 7)
            found["before"] = _said(client)
            ip("addr del 10.9.0.2/24 dev near0", "addr add 10.9.0.3/24 dev near0")
            client.settimeout(20)
            try:
                found["moved"] = client.recv(1).decode()
            except OSError as e:
                found["moved"] = type(e).__name__
        with raw.dial(mine.port) as client:
            raw.through(client, "10.9.0.1", 7)
            found["after"] = _said(client)
        found["lines"] = mine.lines
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
