"""
A Dante server and a gateway whose configuration was imported from its file, asked the
same in one network, where every address is of this host.

Run by L{tests.interop.test_import}: C{python -m tests.interop.importing FILE DIRECTORY};
prints what was asked, and what each of them said.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from socksgw.importing.dante.file import read
from socksgw.importing.dante.reading import Reading
from socksgw.importing.dante.rules import Asked, Client
from socksgw.importing.dante.samples import samples
from socksgw.importing.dante.writing import decidedBy
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.networks import isBanned
from tests.live import raw
from tests.live.netns import ip, spawned
from tests.live.servers import program
from tests.tools.waiting import until

#: Who logs in, with this password, as the system's own users.
USERS = ("alice", "bob", "somebody")
PASSWORD = b"wonderland-7"
#: Where each of them listens, in place of Dante's port.
OURS = 1090
#: So many requests are made of a file: some 500 of all.
MOST = 100
BIN = Path(sys.prefix) / "bin"


def users(directory: Path) -> None:
    """Give this mount namespace users of the test."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD.decode()],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    for name, line in (
        ("passwd", "{}:x:{}:100::/:/bin/sh\n"),
        ("shadow", "{}:" + hashed + ":20000:0:99999:7:::\n"),
        ("group", ""),
    ):
        there = Path("/etc", name)
        text = there.read_text()
        text += "".join(line.format(user, 5000 + i) for i, user in enumerate(USERS))
        if name == "group":
            text += "staff-7:x:5000:alice,somebody\n"
        made = directory / name
        made.write_text(text)
        made.chmod(0o600 if name == "shadow" else 0o644)
        subprocess.run(["mount", "--bind", made, there], check=True)


def names(directory: Path, known: dict[str, str]) -> None:
    """Give this mount namespace names of hosts."""
    made = directory / "hosts"
    lines = "".join(f"{host} {name}\n" for name, host in known.items())
    made.write_text(f"127.0.0.1 localhost\n{lines}")
    made.chmod(0o644)
    subprocess.run(["mount", "--bind", made, "/etc/hosts"], check=True)


def echo(host: str, port: int) -> None:
    """Answer datagrams to an address."""
    bound = socket.socket(familyOf(host), socket.SOCK_DGRAM)
    bound.bind((host, port))

    def serve() -> None:
        while True:
            octets, peer = bound.recvfrom(2000)
            bound.sendto(octets, peer)

    threading.Thread(target=serve, daemon=True).start()


def passes(at: tuple[str, int], client: Client, asked: Asked, isExpected: bool) -> bool:
    """
    Ask a server, and return whether it lets the request pass.

    @param isExpected: whether it should: how long an answer by UDP is waited for.
    """
    with (
        suppress(ConnectionError, AssertionError, TimeoutError),
        raw.dial(at[1], at[0], (client.source, 0)) as connection,
    ):
        connection.settimeout(5)
        connection.sendall(raw.GREETING_LOGIN if client.user else raw.GREETING)
        if raw.exactly(connection, 2)[1] == 0xFF:
            return False
        if client.user:
            connection.sendall(raw.login(client.user.encode(), PASSWORD))
            if raw.exactly(connection, 2)[1]:
                return False
        number = {"connect": 1, "bind": 2, "udp": 3}[asked.command]
        there = asked.name.encode() or asked.host
        nowhere = "::" if ":" in at[0] else "0.0.0.0"
        where = (nowhere, 0) if number == 3 else (there, asked.port)
        connection.sendall(raw.request5(*where, command=number))
        code, host, port = raw.reply5(connection)
        if number == 1:
            return code == 0
        if code:
            return False
        if number == 3:
            return arrives(
                client.source, (host, port), there, asked.port, 2 if isExpected else 0.1
            )
        with socket.socket(familyOf(host)) as peer:
            # The other server was reached from there a moment ago.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            peer.bind((asked.host, asked.port))
            peer.connect((host, port))
            return raw.reply5(connection)[0] == 0
    return False


@contextmanager
def listening(asked: Asked) -> Iterator[None]:
    """Have somebody listen where a CONNECT leads."""
    with ExitStack() as stack:
        if asked.command == "connect":
            found = stack.enter_context(socket.socket(familyOf(asked.host)))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((asked.host, asked.port))
            found.listen()
        yield


def upstream(directory: Path, addresses: list[str]) -> Path:
    """Make the configuration of a proxy that lets everything pass."""
    made = directory / "upstream.toml"
    made.write_text(f"""\
[gateway]
state_dir = "{directory}/beyond"
[[listen]]
name = "any"
address = {json.dumps(addresses)}
protocols = ["socks5", "socks4", "http"]
[[auth.choose]]
from = ["10.0.0.0/8"]
methods = ["none"]
[never]
to = []
[[rule]]
id = "all"
allow = ["connect"]
""")
    return made


def familyOf(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def arrives(
    source: str,
    relay: tuple[str, int],
    there: str | bytes,
    port: int,
    seconds: float = 0.2,
) -> bool:
    """
    Send a datagram, twice if need be, and return whether it came back.

    @param seconds: how long each of them is waited for.
    """
    with socket.socket(familyOf(source), socket.SOCK_DGRAM) as own:
        own.bind((source, 0))
        own.settimeout(seconds)
        # A datagram's head is a request's, but for its first octets.
        head = b"\0\0\0" + raw.request5(there, port)[3:]
        for _ in range(2):
            own.sendto(head + b"hello", relay)
            with suppress(TimeoutError):
                return own.recv(2000).endswith(b"hello")
    return False


def main(file: str, directory: str, *options: str) -> None:
    """
    Ask both.

    @param options: what C{socksgw import} is given besides.
    """
    folder = Path(directory)
    ip("route add local 0.0.0.0/0 dev lo", "addr add 10.0.0.1/32 dev lo")
    ip("-6 route add local ::/0 dev lo", "addr add fd00::1/128 dev lo nodad")
    # Of version 6, addresses of a route are not bound to otherwise.
    Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")
    users(folder)
    text = Path(file).read_text()
    made = folder / "gw.toml"
    subprocess.run(
        [BIN / "socksgw", "import", file, "-o", made, *options],
        check=True,
        stderr=sys.stderr,
    )
    ours = made.read_text()
    for own in ("10.0.0.1", "[fd00::1]"):
        ours = ours.replace(f"{own}:1080", f"{own}:{OURS}")
    # Every address is one of this host's.
    ours = ours.replace("[timeouts]", "[never]\nto = []\n[timeouts]", 1)
    made.write_text(f"[gateway]\nstate_dir = '{folder}/var'\n{ours}")
    host = Host(lambda name: (), lambda name: ("alice", "somebody"), lambda name: None)
    dante = Reading(read(text), host, Draft())
    logins = [("none", ""), ("username", "somebody")]
    logins = [each for each in logins if each[0] in dante.words]
    every = [
        *samples(
            dante.clients,
            dante.requests,
            [*dante.listeners.values()],
            logins,
            [each.to for each in dante.routes],
        )
    ]
    names(folder, {asked.name: asked.host for _, asked in every if asked.name})
    with ExitStack() as stack:
        log = folder / "log"
        gateway: list[str | Path] = [
            BIN / "twistd",
            "-n",
            "--pidfile=",
            "socksgw",
            "--config",
        ]
        beyond = [
            each.upstream["url"].partition("//")[2]
            for each in dante.routes
            if each.upstream
        ]
        danted = program("danted", "dante-server")
        commands: list[list[str | Path]] = [
            # It makes files as its other user, also for limits.
            ["env", "TMPDIR=/dev/shm", danted, "-f", file, "-p", f"{folder}/pid"],
            [*gateway, made],
        ]
        if beyond:
            commands.append([*gateway, upstream(folder, beyond)])
        for command in commands:
            stack.enter_context(spawned(*[str(each) for each in command], log=log))
        for place in ["10.0.0.1:1080", f"10.0.0.1:{OURS}", *beyond]:
            host, _, port = place.partition(":")
            until(lambda host=host, port=port: reached(host, int(port)), 30)
        echoing: set[tuple[str, int]] = set()
        found = []
        for client, asked in random.Random(1).sample(every, min(MOST, len(every))):
            if asked.command == "udp" and (asked.host, asked.port) not in echoing:
                echoing.add((asked.host, asked.port))
                echo(asked.host, asked.port)
            own, port = client.listening
            expected = decidedBy(dante, client, asked).passes
            with listening(asked):
                said = [
                    *(
                        passes((own, each), client, asked, expected)
                        for each in (port, OURS)
                    ),
                    expected,
                ]
            found.append([client, asked, said, isBanned(asked.host)])
        print(json.dumps(found))


def reached(host: str, port: int) -> bool:
    """Return whether somebody listens."""
    with suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
