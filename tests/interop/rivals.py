"""
What the comparisons of imported configurations share: requests of HTTP, names that the
hosts file has, and a gateway whose configuration was imported.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.interop.importing import BIN, PASSWORD
from tests.live.netns import spawned

__all__ = ["SHIFT", "answering", "hosts", "imported", "status"]

#: How much higher the ports of the gateway are than those of the other server.
SHIFT = 10000


def status(
    at: tuple[str, int], source: str, method: str, target: str, user: str = ""
) -> int:
    """Ask a server of HTTP for a target, and return the status of its answer."""
    host = target.removeprefix("http://").partition("/")[0]
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n"
    if user:
        credentials = base64.b64encode(user.encode() + b":" + PASSWORD).decode()
        head += f"Proxy-Authorization: Basic {credentials}\r\n"
    with socket.create_connection(at, 30, (source, 0)) as connection:
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n")
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def answering(port: int) -> None:
    """Answer requests of HTTP at every address: Squid tries long where nobody does."""
    bound = socket.create_server(("0.0.0.0", port))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if connection.recv(65536):
                connection.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")

    def serve() -> None:
        while True:
            connection, _ = bound.accept()
            threading.Thread(target=answer, args=[connection], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def hosts(directory: Path, names: Iterable[tuple[str, str]]) -> None:
    """Give this mount namespace a hosts file with some names and their addresses."""
    made = directory / "hosts"
    made.write_text(
        "127.0.0.1 localhost\n" + "".join(f"{at} {name}\n" for name, at in names)
    )
    subprocess.run(["mount", "--bind", made, "/etc/hosts"], check=True)


@contextmanager
def imported(
    file: Path, kind: str, ports: Iterable[int], wider: bool = False
) -> Iterator[None]:
    """Run a gateway whose configuration was imported from a file, on ports apart."""
    made = file.parent / "gw.toml"
    command = [
        str(BIN / "socksgw"),
        "import",
        "--kind",
        kind,
        str(file),
        "-o",
        str(made),
    ]
    subprocess.run(
        [*command, *(["--wider"] if wider else [])], check=True, stderr=sys.stderr
    )
    text = made.read_text()
    for port in ports:
        text = text.replace(f':{port}"]', f':{port + SHIFT}"]')
    # Every address is one of this host's.
    text = text.replace("\n[timeouts]", "\n[never]\nto = []\n[timeouts]", 1)
    made.write_text(
        f"[gateway]\nstate_dir = '{file.parent}/var'\ntrusted_groups = ['proxy']\n{text}"
    )
    with spawned(
        str(BIN / "twistd"), "-n", "--pidfile=", "socksgw", "--config", str(made),
        log=file.parent / "log",
    ):  # fmt: skip
        yield
