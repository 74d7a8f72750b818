"""
redsocks before the gateway: connections that netfilter redirects to it.

C{python -m tests.interop.redirected DIRECTORY}, in a network namespace of its own,
prints as JSON the gateway's decision about one of them, and what came back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.interop.shared import LOGIN, PASSWORD, USER
from tests.live import raw
from tests.live.running import running, socksgw
from tests.live.servers import Daemon, Destination, freePort, program

#: The user whose connections are redirected: nobody.
SOMEBODY = 65534
REDSOCKS = """
base {{ daemon = off; redirector = iptables; log = stderr; }}
redsocks {{
    local_ip = 127.0.0.1; local_port = {port};
    type = socks5; ip = 127.0.0.1; port = {proxy};
    login = "{user}"; password = "{password}";
}}
"""
RULES = """
table ip redirected {{
    chain output {{
        type nat hook output priority -100;
        meta skuid {somebody} tcp dport {port} redirect to :{local}
    }}
}}
"""
FETCH = (
    "import socket, sys; made = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
    "print(made.recv(100).decode())"
)


def main(directory: Path) -> None:
    """Have somebody's connection redirected, and print what became of it."""
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    local = freePort()
    with Destination(lambda connection: connection.sendall(b"arrived")) as server:
        for gateway in running(directory, LOGIN):
            file = directory / "redsocks.conf"
            file.write_text(
                REDSOCKS.format(
                    port=local, proxy=gateway.port, user=USER, password=PASSWORD
                )
            )
            rules = RULES.format(somebody=SOMEBODY, port=server.port, local=local)
            subprocess.run(
                [program("nft", "nftables"), "-f", "-"],
                input=rules, text=True, check=True,
            )  # fmt: skip
            command = [program("redsocks", "redsocks"), "-c", str(file)]
            with Daemon(command, local, directory / "redsocks.log", {}):
                done = subprocess.run(
                    ["/usr/bin/python3", "-c", FETCH, str(server.port)],
                    user=SOMEBODY, capture_output=True, text=True, timeout=60,
                    check=True,
                )  # fmt: skip
            raw.end(gateway, server.port)
            line = raw.decision(gateway, server.port)
            print(json.dumps({**line, "came": done.stdout.strip()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
