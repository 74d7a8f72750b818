"""
HAProxy and nginx in front of a gateway, with a way in for each way of sending headers.
"""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live.servers import Daemon, freePort, missing, program

__all__ = ["MODULE", "HAProxy", "Nginx"]

#: nginx's module for streams, which Debian has as a file of its own.
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def _ports(names: Mapping[str, Any]) -> dict[str, int]:
    return {name: freePort(kind=socket.SOCK_STREAM) for name in names}


class HAProxy(Daemon):
    """
    HAProxy.

    @ivar ports: where it listens, by the name of the way.
    """

    def __init__(
        self, directory: Path, ways: Mapping[str, tuple[str, str]], more: str = ""
    ) -> None:
        """
        @param ways: what follows C{bind} and C{server} of each way, by its name.
        @param more: further sections.
        """
        self.directory = directory
        self.ports = _ports(ways)
        text = f"""
global
    maxconn 500
    stats socket {directory}/stats mode 600 level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    unique-id-format id-%ci:%cp
"""
        for name, (bind, server) in ways.items():
            text += f"""
frontend {name}
    bind 127.0.0.1:{self.ports[name]} {bind}
    bind {directory}/{name}.sock
    default_backend {name}
backend {name}
    server gateway {server}
"""
        (directory / "haproxy.cfg").write_text(text + more)
        command = [program("haproxy", "haproxy"), "-db", "-f", "haproxy.cfg"]
        command = ["sh", "-c", f'cd "{directory}" && exec "$@"', "sh", *command]
        port = [*self.ports.values()][-1]
        super().__init__(command, port, directory / "haproxy.log", dict(os.environ))

    def checked(self) -> dict[str, str]:
        """What it found at its last checks, by the backend's name."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self.directory / "stats"))
            stats.sendall(b"show stat\n")
            text = b""
            while came := stats.recv(1 << 16):
                text += came
        rows = csv.DictReader(text.decode().removeprefix("# ").splitlines())
        return {
            # While the next one is under way, it says so before the last one's.
            row["pxname"]: f"{row['status']} {row['check_status'].removeprefix('* ')}"
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        }


class Nginx(Daemon):
    """
    nginx with its module for streams.

    @ivar ports: as of L{HAProxy}.
    """

    def __init__(self, directory: Path, ways: Mapping[str, tuple[str, str]]) -> None:
        """
        @param ways: by the name of each way, the words and the directives of a
            C{server}.
        """
        if not MODULE.exists():
            missing("nginx's module for streams (Debian's package libnginx-mod-stream)")
        self.ports = _ports(ways)
        servers = "".join(
            f"server {{ listen 127.0.0.1:{self.ports[name]} {words}; "
            f"listen unix:{directory}/{name}.sock; proxy_protocol on; {directives} }}\n"
            for name, (words, directives) in ways.items()
        )
        (directory / "nginx.conf").write_text(
            f"load_module {MODULE};\nuser root;\ndaemon off;\nworker_processes 1;\n"
            f"pid {directory}/nginx.pid;\nerror_log {directory}/nginx.log;\n"
            f"events {{ worker_connections 200; }}\nstream {{\n{servers}}}\n"
        )
        conf = str(directory / "nginx.conf")
        command = [program("nginx", "nginx"), "-p", str(directory), "-c", conf]
        port = [*self.ports.values()][-1]
        super().__init__(command, port, directory / "nginx.out", dict(os.environ))
