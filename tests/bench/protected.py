"""
CPU of GSSAPI's confidentiality per GiB: the gateway against Dante's own, with
the same client, the same KDC, in turns; and against what MIT's library takes by
itself for the same octets in tokens as large.

Debian builds Dante without GSSAPI; C{.ci/dante} builds one from Debian's source,
and C{--dante} names its program (C{sockd}). A part of C{make bench}.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.machine import described, parsed
from tests.bench.peers import TWISTD, listening
from tests.bench.usage import cpu
from tests.live.kerberos import Client, Realm, initiator, within

CONFIGURATION = """
[[listen]]
name = "bench"
address = ["127.0.0.1:{port}"]
[auth]
strip_realms = ["BENCH.EXAMPLE"]
gssapi = {{ keytab = "{keytab}" }}
[[auth.choose]]
methods = ["gssapi"]
[[rule]]
id = "bench"
allow = ["connect"]
who = ["alice"]
[never]
except = ["127.0.0.0/8"]
"""
DANTE = """
logoutput: {directory}/danted.log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: gssapi
user.privileged: root
user.unprivileged: root
client pass {{
 from: 0.0.0.0/0 to: 0.0.0.0/0
 gssapi.servicename: rcmd
 gssapi.keytab: FILE:{keytab}
}}
socks pass {{
 from: 0.0.0.0/0 to: 0.0.0.0/0
 socksmethod: gssapi
}}
"""


@contextmanager
def running(
    name: str, port: int, directory: Path, realm: Realm, dante: str
) -> Iterator[int]:
    """One of the two, listening; its process."""
    directory.mkdir()
    if name == "socksgw":
        text, command = CONFIGURATION, [str(TWISTD), "-n", "--pidfile=", "socksgw"]
        command += ["--quiet", "--config", str(directory / "conf")]
    else:
        text = DANTE
        command = [dante, "-f", str(directory / "conf"), "-p", str(directory / "pid")]
    (directory / "conf").write_text(
        text.format(port=port, keytab=realm.keytab, directory=directory)
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **realm.environment},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        if not listening(port):
            raise RuntimeError((directory / "log").read_text()[-500:])
        time.sleep(0.3)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def moved(pid: int, client: Client, way: str, size: int, chunk: int) -> float:
    """
    Seconds of CPU of C{pid} while C{size} octets go C{up} or C{down}.
    """
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            if way == "up":
                left = size
                while left:
                    left -= len(connection.recv(min(left, 1 << 18)))
            else:
                block = bytes(1 << 16)
                for _ in range(size >> 16):
                    connection.sendall(block)
            done.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        client.request("127.0.0.1", server.getsockname()[1])
        before = cpu(pid)
        if way == "up":
            block = bytes(chunk)
            for _ in range(size // chunk):
                client.send(block)
            client.send(block[: size % chunk])
        else:
            came = 0
            while came < size:
                came += len(client.receive())
        time.sleep(0.3)
        used = cpu(pid) - before
        done.set()
        thread.join()
    return used


#: What is aimed at: as much as the library takes, and a tenth more.
AIM = 1.1
#: Octets in a token of the library alone, as in ours.
TOKEN = 60_000


def alone(size: int) -> dict[str, float]:
    """Seconds of CPU that the library takes to wrap (down) and unwrap (up) so much."""
    import gssapi
    from gssapi import raw

    ours: Any = gssapi.SecurityContext(usage="accept")
    theirs = initiator()
    token = ours.step(theirs.step())
    theirs.step(token)
    block, used = bytes(TOKEN), {"down": 0.0, "up": 0.0}
    for _ in range(size // TOKEN):
        sealed = raw.wrap(theirs, block, True)[0]
        began = time.process_time()
        raw.unwrap(ours, sealed)
        middle = time.process_time()
        sealed = raw.wrap(ours, block, True)[0]
        used["up"] += middle - began
        used["down"] += time.process_time() - middle
        raw.unwrap(theirs, sealed)
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--dante", help="a sockd with GSSAPI; without one it is left out"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bytes", type=int, default=128 << 20, help="each transfer")
    parser.add_argument("--chunk", type=int, default=60_000, help="of the client's")
    options = parsed(parser, rounds=2, bytes=16 << 20)
    print(described())
    names = ["socksgw", *(["dante"] if options.dante else [])]
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        here = Path(scratch)
        here.chmod(0o755)
        realm = Realm(here / "realm", "BENCH.EXAMPLE")
        realm.services(realm.keytab, "rcmd/localhost")
        realm.user("alice")
        port = 12000
        with realm.running():
            tickets = realm.tickets()
            for turn in range(options.rounds):
                with within({**tickets, "KRB5_KTNAME": f"FILE:{realm.keytab}"}):
                    for way, used in alone(options.bytes).items():
                        found.setdefault((way, "MIT alone"), []).append(
                            used / (options.bytes / 2**30)
                        )
                for name in names:
                    port += 1
                    directory = here / f"{name}{turn}"
                    with running(name, port, directory, realm, options.dante) as pid:
                        for way in ("down", "up"):
                            with within(tickets):
                                client = Client(port, initiator()).login(2)
                            with client:
                                used = moved(
                                    pid, client, way, options.bytes, options.chunk
                                )
                            found.setdefault((way, name), []).append(
                                used / (options.bytes / 2**30)
                            )
    for way in ("down", "up"):
        every = [*names, "MIT alone"]
        medians = {n: statistics.median(found[way, n]) for n in every}
        line = ", ".join(f"{n} {m:.2f}" for n, m in medians.items())
        if "dante" in medians:
            line += f"; {medians['socksgw'] / medians['dante']:.2f} x dante"
        ratio = medians["socksgw"] / medians["MIT alone"]
        word = "ok" if ratio <= AIM else "NOT REACHED"
        print(
            f"GSSAPI {way}: s CPU per GiB: {line}; {ratio:.2f} x MIT alone "
            f"(aim {AIM}): {word}"
        )


if __name__ == "__main__":
    main()
