"""
A 3proxy server and a gateway whose configuration was imported from its file, asked the
same in one network, where every address is of this host.

Run by L{tests.interop.test_import_threeproxy}; prints what was asked, and what each of
them said, and what 3proxy was expected to say.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.threeproxy.file import commands
from socksgw.importing.threeproxy.rules import HTTP, Asked, Client, allows
from socksgw.importing.threeproxy.samples import samples
from socksgw.importing.threeproxy.services import Script, Service
from tests.interop.importing import PASSWORD, arrives, echo, reached
from tests.interop.rivals import SHIFT, hosts, imported, status
from tests.live import raw
from tests.live.netns import ip, spawned
from tests.tools.waiting import until

COMMANDS = {"CONNECT": 1, "BIND": 2, "UDPASSOC": 3}


def passes(service: Service, shift: int, client: Client, asked: Asked) -> bool:
    """Ask a server, and return whether it lets the request pass."""
    at = "10.0.0.1", service.port + shift
    where = f"{asked.host}:{asked.port}"
    with suppress(ConnectionError, AssertionError, TimeoutError, IndexError):
        if asked.operation in HTTP:
            isTunnel = asked.operation == "HTTP_CONNECT"
            method, target = (
                ("CONNECT", where) if isTunnel else ("GET", f"http://{where}/")
            )
            return status(at, client.source, method, target, client.user) not in (
                403,
                407,
            )
        with raw.dial(at[1], at[0], (client.source, 0)) as connection:
            connection.settimeout(5)
            connection.sendall(raw.GREETING_LOGIN if client.user else raw.GREETING)
            if raw.exactly(connection, 2)[1] == 0xFF:
                return False
            if client.user:
                connection.sendall(raw.login(client.user.encode(), PASSWORD))
                if raw.exactly(connection, 2)[1]:
                    return False
            number = COMMANDS[asked.operation]
            there: str | bytes = "0.0.0.0" if number == 3 else asked.address
            if asked.host != asked.address:
                there = asked.host.encode()
            connection.sendall(raw.request5(there, asked.port, command=number))
            code, host, port = raw.reply5(connection)
            if number == 3 and code == 0:
                return arrives(client.source, (host, port), asked.address, asked.port)
            if number == 1:
                # What is allowed may fail all the same: nobody listens.
                return code != 2
            if code:
                return False
            with arriving((asked.host, asked.port), (host, port)):
                return raw.reply5(connection)[0] == 0
    return False


@contextmanager
def arriving(source: tuple[str, int], there: tuple[str, int]) -> Iterator[None]:
    """Connect to where a BIND waits: 3proxy listens only after it has said so."""
    ends = time.monotonic() + 20
    while True:
        with socket.socket() as peer:
            # The other server was reached from there a moment ago.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            peer.bind(source)
            try:
                peer.connect(there)
            except ConnectionRefusedError:
                if time.monotonic() > ends:
                    raise
                continue
            yield
            return


def main(file: str, threeproxy: str) -> None:
    """Ask both."""
    path = Path(file)
    ip("route add local 0.0.0.0/0 dev lo", "addr add 10.0.0.1/32 dev lo")
    host = Host(lambda _: (), lambda _: None, lambda _: None)
    script = Script(commands(path.read_text(), host.text), Draft())
    every = [
        (service, client, asked)
        for service in script.services
        for client, asked in samples(service)
    ]
    hosts(
        path.parent, {(a.host, a.address) for _, _, a in every if a.host != a.address}
    )
    ports = [each.port for each in script.services]
    with ExitStack() as stack:
        stack.enter_context(spawned(threeproxy, file, log=path.parent / "log3"))
        stack.enter_context(imported(path, "3proxy", ports, wider=True))
        for port in ports:
            until(lambda port=port: reached("10.0.0.1", port), 20)
            until(lambda port=port: reached("10.0.0.1", port + SHIFT), 20)
        echoing: set[tuple[str, int]] = set()
        found = []
        for service, client, asked in random.Random(1).sample(
            every, min(300, len(every))
        ):
            where = asked.address, asked.port
            if asked.operation == "UDPASSOC" and where not in echoing:
                echoing.add(where)
                echo(*where)
            now = time.localtime()
            expected = allows(
                service.rules, service.methods, client, asked,
                (now.tm_wday + 1) % 7, now.tm_hour * 3600 + now.tm_min * 60,
            )  # fmt: skip
            said = [passes(service, shift, client, asked) for shift in (0, SHIFT)]
            found.append([service.kind, client, asked, [*said, expected]])
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
