"""
A thousand sessions whose transfers run, and a hundred new clients each second,
while the configuration changes twenty times.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

from tests.hostile.crowd import PIECE, Crowd
from tests.live.clients import descriptorsFor
from tests.live.running import ALL, HEAD, Running
from tests.live.servers import freePort
from tests.tools.waiting import until

SESSIONS = 1000
RELOADS = 20
#: New clients, each second.
RATE = 100.0

#: RFC 1928 section 6: not allowed by the ruleset, and connection refused.
DENIED, REFUSED = 2, 5


def configuration(number: int, port: int) -> str:
    """
    One of many: the first listener stays as it is, the second one has another
    name each time, and every other time port 1 is denied.
    """
    word = "deny" if number % 2 else "allow"
    return (
        f'{HEAD}[[listen]]\nname = "second{number}"\naddress = ["127.0.0.1:{port}"]\n'
        f'[[rule]]\nid = "r{number}"\n{word} = ["connect"]\nports = [1]\n{ALL}'
    )


async def reloads(running: Running, port: int, crowd: Crowd) -> None:
    """
    All of it: after each reload the next request meets the new rules.
    """
    await crowd.serve()
    ports = (running.port, port)
    await crowd.transfers(ports, SESSIONS)
    crowd.arrivals(ports, RATE)
    for number in range(1, RELOADS + 1):
        await asyncio.sleep(0.4)
        (running.directory / "gw.toml").write_text(configuration(number, port))
        running.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while running.log.count("] reloaded: ") < number:
                await asyncio.sleep(0.01)
        for gateway in ports:
            found = await crowd.verdict(gateway, 1)
            assert found == (DENIED if number % 2 else REFUSED), number
    await crowd.end()


def test_reloadsUnderLoad(gateway: Callable[..., Running]) -> None:
    """
    No session is reset, no octet of a transfer is lost or changed, and no new
    client is refused.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    crowd = Crowd()
    with descriptorsFor(3 * SESSIONS + 1000):
        running = gateway(configuration(0, port))
        asyncio.run(reloads(running, port, crowd))
    assert crowd.failures == []
    assert crowd.came > RELOADS * 0.4 * RATE / 2
    assert crowd.moved > SESSIONS * PIECE
    assert [x["ended"] for x in running.journal("reloaded")] == [0] * RELOADS

    def crowds() -> list[dict[str, Any]] | None:
        found = [x for x in running.journal("end") if x["sent"] >= PIECE]
        return found if len(found) == SESSIONS else None

    # Every session of the crowd ended as it should have, whole both ways; the
    # last line may be on its way.
    whole = until(crowds)
    assert {x["reason"] for x in whole} == {"closed"}
    assert all(x["sent"] == x["received"] for x in whole)
