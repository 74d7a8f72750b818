"""
A Squid server and a gateway whose configuration was imported from its file, asked the
same in one network, where every address is of this host.

Run by L{tests.interop.test_import_squid}; prints what was asked, and what each of them
said, and what Squid was expected to say.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from socksgw.importing.draft import Draft
from socksgw.importing.host import Host
from socksgw.importing.squid.access import Asked, Client, decided
from socksgw.importing.squid.file import directives
from socksgw.importing.squid.reading import Reading
from socksgw.importing.squid.samples import samples
from socksgw.importing.squid.writing import linesOf
from tests.interop.importing import reached
from tests.interop.rivals import SHIFT, answering, hosts, imported, status
from tests.live.netns import ip, spawned
from tests.live.servers import program
from tests.tools.waiting import until

#: So many requests are made of a file.
MOST = 300


def passes(shift: int, client: Client, asked: Asked) -> bool:
    """Ask a server, and return whether it lets the request pass."""
    where = f"{asked.host}:{asked.port}"
    target = where if asked.method == "CONNECT" else f"http://{where}/"
    at = "10.0.0.1", client.port + shift
    return status(at, client.source, asked.method, target, client.user) not in (
        403,
        407,
    )


def main(file: str) -> None:
    """Ask both."""
    path = Path(file)
    ip("route add local 0.0.0.0/0 dev lo", "addr add 10.0.0.1/32 dev lo")

    host = Host(lambda _: (), lambda _: None, lambda name: Path(name).read_text())
    reading = Reading(directives(path.read_text(), host), host, Draft())
    lines = linesOf(reading)
    hasUsers = any(t.acl.kind == "proxy_auth" for line in lines for t in line.terms)
    ports = [(each.number, each.name) for each in reading.ports]
    every = [*samples(lines, ports, hasUsers)]
    hosts(path.parent, {(a.host, a.address) for _, a in every if a.host != a.address})
    for port in {asked.port for _, asked in every}:
        answering(port)
    squid = [program("squid", "squid"), "-N", "-n", "socksgw7", "-f", file]
    with ExitStack() as stack:
        stack.enter_context(spawned(*squid, log=path.parent / "squid.log"))
        numbers = [number for number, _ in ports]
        stack.enter_context(imported(path, "squid", numbers))
        for number in numbers:
            until(lambda at=number: reached("10.0.0.1", at), 60)
            until(lambda at=number: reached("10.0.0.1", at + SHIFT), 60)
        found = []
        for client, asked in random.Random(1).sample(every, min(MOST, len(every))):
            now = time.localtime()
            _, expected = decided(
                lines,
                client,
                asked,
                (now.tm_wday + 1) % 7,
                now.tm_hour * 60 + now.tm_min,
            )
            said = [passes(shift, client, asked) for shift in (0, SHIFT)]
            found.append([client, asked, [*said, expected]])
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
