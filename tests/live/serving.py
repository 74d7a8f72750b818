"""
A gateway that serves the admin interface.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.live.admin import AdminClient
from tests.live.running import Running, running
from tests.live.servers import freePort


class Serving:
    """
    A gateway that serves the admin interface.

    @ivar gateway: the process.
    @ivar port: where it serves, besides the Unix socket.
    @ivar tokens: by their names.
    @ivar own: asks at the Unix socket.
    @ivar nobody: asks at the port, without a token.
    @ivar looker: asks there with a token that may look.
    @ivar operator: asks there with one that may do everything.
    """

    def __init__(self, gateway: Running, port: int, tokens: Mapping[str, str]) -> None:
        self.gateway = gateway
        self.port = port
        self.tokens = tokens
        self.own = AdminClient(gateway.directory / "admin.sock")
        self.nobody = AdminClient(port)
        self.looker = AdminClient(port, tokens["looker"])
        self.operator = AdminClient(port, tokens["operator"])


def served(directory: Path, text: str, more: str = "") -> Iterator[Serving]:
    """
    Start a gateway with an admin interface.

    @param more: other keys of its table.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    tokens = {}
    for name in ("looker", "operator"):
        tokens[name] = os.urandom(16).hex()
        (directory / name).touch(0o600)
        (directory / name).write_text(tokens[name] + "\n")
    admin = (
        f'[admin]\nendpoint = ["unix:{directory}/admin.sock", "tcp:127.0.0.1:{port}"]\n{more}\n'
        '[[admin.token]]\nname = "looker"\nfile = "looker"\n'
        '[[admin.token]]\nname = "operator"\nfile = "operator"\nroles = ["operate"]\n'
    )
    for gateway in running(directory, text + admin):
        yield Serving(gateway, port, tokens)
