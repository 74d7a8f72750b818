"""
A cluster of three: gateways in network namespaces of their own, HAProxy in front with
PROXY headers and checks, Redis, and one warehouse; clients that come all
the time, of whom each source may have three sessions. One gateway is killed, and started
again. What clients have seen is printed.

HAProxy is configured by the manual's chapter.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from socksgw.console.manual import chapters
from tests.live.clients import GREETING, exactly, four, replied5, request5
from tests.live.netns import NETNS, cable, ip, spawned
from tests.live.redisserver import LiveRedis
from tests.live.running import Running
from tests.live.servers import program
from tests.tools.waiting import until

#: Where clients come to, and where they want to go; both are this machine's.
FRONT, FAR = "10.8.0.1", "10.7.0.1"
PORT = 1080
MOST = 3
#: Sessions for which the load is waited for, at least.
SOME = 20
SOURCES = [f"10.8.1.{n}" for n in range(1, 6)]
STAYING = [f"10.8.2.{n}" for n in range(1, 7)]


def configuration(number: int, redis: LiveRedis) -> str:
    """Return the configuration of one of them."""
    return f"""
[gateway]
name = "edge-{number}"
[cluster]
url = "{redis.url}"
members = ["edge-1", "edge-2", "edge-3"]
[[listen]]
name = "lan"
address = ["10.9.{number}.2:{PORT}"]
proxy_protocol_from = ["10.9.{number}.1"]
[[auth.choose]]
from = ["10.8.0.0/16"]
methods = ["none"]
[[limit]]
per = "source"
sessions = {MOST}
[[rule]]
id = "far"
allow = ["connect"]
from = ["10.8.0.0/16"]
to = ["{FAR}"]
[timeouts]
drain = "5s"
[audit]
[[audit.sink]]
kind = "sql"
name = "pg"
url_file = "../pg.url"
"""


def balancer(directory: Path) -> Path:
    """Return HAProxy's configuration: the manual's, with the addresses of here."""
    _, _, text = chapters()["cluster"].partition("    listen socks\n")
    block = "listen socks\n" + textwrap.dedent(text.partition("\n\n")[0])
    for number in (1, 2, 3):
        block = block.replace(f"10.0.0.1{number}:", f"10.9.{number}.2:")
    assert block.count("10.9.") == 3
    block = block.replace("bind :1080", f"bind {FRONT}:{PORT}")
    block = block.replace("inter 2s", "inter 200ms")
    file = directory / "haproxy.cfg"
    file.write_text(
        "defaults\n    timeout connect 5s\n    timeout client 60s\n"
        "    timeout server 60s\n    timeout check 5s\n" + block + "\n"
    )
    return file


def echo() -> None:
    """Send back whatever comes, in threads."""
    listening = socket.create_server((FAR, 7), backlog=1024)

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while came := connection.recv(4096):
                connection.sendall(came)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def enter(source: str) -> tuple[socket.socket, int | None]:
    """Come as a client, and return it with the reply; L{None}: it was cut off."""
    client = socket.socket()
    try:
        client.settimeout(20)
        client.bind((source, 0))
        client.connect((FRONT, PORT))
        client.sendall(GREETING)
        if exactly(client, 2) != b"\x05\x00":
            return client, None
        client.sendall(request5(four(FAR), 7))
        return client, replied5(client)
    except OSError:
        return client, None


class Load:
    """
    Clients that come again and again, more of each source than may.

    @ivar counts: what became of them.
    @ivar worst: the most sessions of one source at a time, as clients saw it.
    @ivar threads: one of each client.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.worst = 0
        self._live: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.threads = [
            threading.Thread(target=self._come, args=(source,))
            for source in SOURCES
            for _ in range(MOST + 1)
        ]
        for thread in self.threads:
            thread.start()

    def _come(self, source: str) -> None:
        chance = random.Random()
        while not self._over.is_set():
            client, reply = enter(source)
            with closing(client):
                if reply != 0:
                    self.counts["cut" if reply is None else f"refused {reply}"] += 1
                    self._over.wait(0.02)
                    continue
                with self._lock:
                    self._live[source] += 1
                    self.worst = max(self.worst, self._live[source])
                try:
                    client.sendall(b"x" * 64)
                    whole = len(exactly(client, 64)) == 64
                    self._over.wait(chance.uniform(0, 0.1))
                except OSError:
                    whole = False
                finally:
                    with self._lock:
                        self._live[source] -= 1
                self.counts["whole" if whole else "broken"] += 1

    def more(self, seconds: float) -> None:
        """Wait that long, and until some more sessions were whole."""
        due = self.counts["whole"] + SOME
        time.sleep(seconds)
        until(lambda: self.counts["whole"] >= due, 60)

    def end(self) -> None:
        """End it."""
        self._over.set()
        for thread in self.threads:
            thread.join(30)


def alive(client: socket.socket) -> bool:
    """Return whether a session still moves octets."""
    try:
        client.sendall(b"y")
        return exactly(client, 1) == b"y"
    except OSError:
        return False


def main(directory: Path) -> None:
    """Do all that, and print it."""
    ip(f"addr add {FRONT}/16 dev lo", f"addr add {FAR}/16 dev lo")
    for number in (1, 2, 3):
        netns = f"g{number}"
        ip(f"netns add {netns}")
        ip("link set lo up", netns=netns)
        cable(("", f"v{number}"), (netns, "front"),
              (f"10.9.{number}.1/24", f"10.9.{number}.2/24"))  # fmt: skip
        ip(f"route add default via 10.9.{number}.1", netns=netns)
    echo()
    redis = LiveRedis()
    with ExitStack() as stack:
        stack.callback(redis.close)

        def start(number: int) -> Running:
            own = directory / f"edge-{number}"
            own.mkdir(exist_ok=True)
            (own / "log").unlink(missing_ok=True)
            prefix = ["nsenter", f"--net={NETNS / f'g{number}'}"]
            made = Running(own, configuration(number, redis), prefix=prefix)
            stack.callback(lambda: made.process.poll() is None and made.kill())
            return made

        gateways = [start(number) for number in (1, 2, 3)]
        for each in gateways:
            each.ready()
        command = [program("haproxy", "haproxy"), "-db", "-f", str(balancer(directory))]
        stack.enter_context(spawned(*command, log=directory / "haproxy.log"))

        def admits() -> bool:
            client, reply = enter(STAYING[0])
            client.close()
            return reply == 0

        until(admits, 20)
        staying = {}
        for source in STAYING:
            for _ in range(2):
                client, reply = enter(source)
                assert reply == 0, reply
                staying["{}:{}".format(*client.getsockname())] = client
                stack.enter_context(closing(client))
        load = Load()
        try:
            load.more(1)
            gateways[1].kill()
            load.more(1.5)
            gateways[1] = start(2).ready()
            load.more(1.5)
        finally:
            load.end()
        kept = {name: alive(client) for name, client in staying.items()}
        for client in staying.values():
            client.close()
        for each in gateways:
            each.healthy()
        print(
            json.dumps(
                {
                    "counts": load.counts,
                    "worst": load.worst,
                    "clients": len(load.threads),
                    "kept": kept,
                    "logs": [each.log for each in gateways],
                }
            )
        )


if __name__ == "__main__":
    assert os.geteuid() == 0
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    main(Path(sys.argv[1]))
