"""
A gateway that runs out of descriptors: it waits, without spinning, and goes
on by itself.
"""

from __future__ import annotations

import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from tests.live.clients import (
    GREETING,
    Server,
    connected,
    descriptorsFor,
    exactly,
    four,
    isClosed,
    named,
    opened,
    replied5,
    request5,
    tunnel,
)
from tests.live.names import A, NameServer, a, answer
from tests.live.running import OPEN, Running, descriptorsOf, processorTime, settled
from tests.live.servers import freePort
from tests.tools.waiting import until

Gateway = Callable[..., Running]

#: All that each process of the gateway may have open.
LIMIT = 200
#: Seconds of CPU that it may take while there is nothing to do, of 2 seconds:
#: one that spins takes them all.
IDLE = 0.5

_PATIENT = '[timeouts]\nhandshake = "60s"\n'
_ENDPOINT = OPEN.replace(
    'address = ["127.0.0.1:0"]', 'endpoint = "tcp:0:interface=127.0.0.1"'
)
_DENIED = '[[rule]]\nid = "no"\ndeny = ["connect"]\nto = ["127.0.0.9"]\n'


def few() -> None:
    """In the new process: leave it, and those that it starts, few descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def doesNotSpin(gateway: Running, seconds: float = 2.0) -> None:
    """It takes little CPU while nothing can be done."""
    began, had = time.monotonic(), processorTime(gateway)
    until(lambda: time.monotonic() - began >= seconds, seconds + 10)
    assert processorTime(gateway) - had < IDLE * seconds / 2


def _answered(clients: list[socket.socket], seconds: float = 1.0) -> int:
    """How many of them the gateway has answered, when no more are."""
    count = -1
    while True:
        ready = select.select(clients, [], [], 0)[0]
        if len(ready) == count:
            return count
        count = len(ready)
        time.sleep(seconds)


def test_aNewDoorWhileDescriptorsAreShort(gateway: Gateway) -> None:
    """
    A listener that a reload brings rests while the others do, and serves when
    they do again; those who wait at it are not harmed.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    more = f'[[listen]]\nname = "more"\naddress = ["127.0.0.1:{port}"]\n'
    with descriptorsFor(1000), ExitStack() as stack:
        started = gateway(_PATIENT + OPEN, preexec=few)
        crowd = [stack.enter_context(closing(opened(started.port))) for _ in range(200)]
        until(lambda: "accepting pauses" in started.log)
        (started.directory / "gw.toml").write_text(_PATIENT + more + OPEN)
        started.process.send_signal(signal.SIGHUP)
        until(lambda: "reloaded: " in started.log)
        client = stack.enter_context(closing(opened(port)))
        client.sendall(GREETING)
        assert select.select([client], [], [], 0.5)[0] == []
        for each in crowd:
            each.close()
        assert exactly(client, 2) == b"\x05\x00"


def test_whoMakesNoRequestMakesRoom(gateway: Gateway) -> None:
    """
    Clients of HTTP that were answered, and keep their connections, count for no limit:
    they are closed where descriptors are short, and nobody waits.
    """
    denied = b"GET http://127.0.0.9:1/ HTTP/1.1\r\nHost: x\r\n\r\n"
    configuration = OPEN.replace("[[listen]]", '[[listen]]\nprotocols = ["http"]')
    configuration = configuration.replace("[[rule]]", f"{_DENIED}[[rule]]")
    with descriptorsFor(1000), ExitStack() as stack:
        started = gateway(configuration, preexec=few)
        crowd = []
        for _ in range(2 * LIMIT):
            client = stack.enter_context(closing(opened(started.port)))
            client.sendall(denied)
            assert exactly(client, 13) == b"HTTP/1.1 403 "
            crowd.append(client)
        until(lambda: "accepting pauses" in started.log)
        assert max(map(descriptorsOf, started.serving)) <= LIMIT
        # The first has gone, in order, and the last is served again.
        while crowd[0].recv(65536):
            pass
        crowd[-1].sendall(denied)
        until(lambda: len(started.journal("decision")) == 2 * LIMIT + 1)


@pytest.mark.parametrize(
    ("configuration", "unharmed"),
    [(OPEN, True), (_ENDPOINT, False)],
    ids=["address", "endpoint"],
)
def test_moreClientsThanDescriptors(
    gateway: Gateway, configuration: str, unharmed: bool
) -> None:
    """
    Of more clients than there are descriptors for, some are served, and the
    others wait, unharmed, until these leave; meanwhile the gateway does not
    spin, and live sessions go on. Twisted's own accept loop cannot be
    stopped at once: of a burst it may close some.
    """
    with descriptorsFor(1000), Server() as echo, ExitStack() as stack:
        started = settled(gateway(_PATIENT + configuration, preexec=few))
        own, before = started.open, started.descriptors
        most = sum(LIMIT - descriptorsOf(pid) for pid in started.serving)
        live = [
            stack.enter_context(closing(tunnel(started.port, echo.place)))
            for _ in range(20)
        ]
        waiting = []
        for _ in range(300 * len(started.serving)):
            client = stack.enter_context(closing(opened(started.port)))
            client.sendall(GREETING)
            waiting.append(client)
        served = _answered(waiting, 0.5)
        assert 10 <= served <= most // 2
        assert max(map(descriptorsOf, started.serving)) <= LIMIT
        if unharmed:
            doesNotSpin(started)
        for client in live:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        # They leave one after another as they are served: all are, in turn.
        left = list(waiting)
        closedAtOnce = 0
        end = time.monotonic() + 60
        while left and time.monotonic() < end:
            for client in select.select(left, [], [], 1.0)[0]:
                left.remove(client)
                selection = exactly(client, 2)
                if not selection:
                    closedAtOnce += 1
                    continue
                assert selection == b"\x05\x00"
                client.sendall(request5(four(echo.place[0]), echo.port))
                assert replied5(client) == 0
                client.close()
        assert left == []
        assert closedAtOnce == 0 if unharmed else closedAtOnce < len(waiting) - served
        assert [isClosed(client) for client in live] == [False] * len(live)
        for client in live:
            client.close()
        until(
            lambda: started.descriptors <= before,
            seen=lambda: (own, started.open),
        )
        with closing(tunnel(started.port, echo.place)) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"


def test_theLastDescriptorIsGone(gateway: Gateway) -> None:
    """
    Stalled downloads hold pipes besides their connections. When not one
    descriptor is left, clients that are in already are told (01, or 04 for a
    name), deadlines still come, the gateway does not spin, and afterwards
    everything works, names that were asked for meanwhile included.
    """
    with ExitStack() as stack:
        stack.enter_context(descriptorsFor(1000))
        names = stack.enter_context(NameServer(_everyNameIsHere))
        flood = stack.enter_context(Server(flood=True))
        echo = stack.enter_context(Server())
        resolver = f'[resolver]\nservers = ["{names.place}"]\n'
        timeouts = '[timeouts]\nhandshake = "11s"\n'
        # Each descriptor of the one process is counted.
        alone = "[gateway]\nworkers = 1\n"
        started = gateway(alone + timeouts + resolver + OPEN, preexec=few)
        before = started.sockets

        def client() -> socket.socket:
            return stack.enter_context(closing(opened(started.port)))

        early = [client(), client(), client()]
        for each in early:
            each.sendall(GREETING)
            assert exactly(each, 2) == b"\x05\x00"
        stalled = [
            stack.enter_context(closing(tunnel(started.port, flood.place, buffer=4096)))
            for _ in range(48)
        ]
        until(lambda: _settled(flood))
        silent = []
        for _ in range(LIMIT - started.descriptors):
            silent.append(client())
        until(lambda: started.descriptors == LIMIT)
        # These wait to be let in: what becomes free is taken again.
        waiting = [client(), client()]
        for each in waiting:
            each.sendall(GREETING)
        for each, target, wanted in (
            (early[0], four(echo.place[0]), (1,)),
            (early[1], named(b"here.test"), (1, 4)),
        ):
            each.sendall(request5(target, echo.port))
            assert replied5(each) in wanted
            each.close()
            # The next one has its descriptor.
            assert exactly(waiting.pop(0), 2) == b"\x05\x00"
            until(lambda: started.descriptors == LIMIT)
        doesNotSpin(started, 4)
        # The deadline is longer than all that the gateway does now and then.
        for each in (early[2], *silent):
            until(lambda each=each: isClosed(each), 30)
        for each in stalled:
            each.close()
        until(lambda: started.sockets <= before)
        for target in (four(echo.place[0]), named(b"here.test")):
            after, reply = connected(started.port, target, echo.port)
            with closing(after):
                assert reply == 0
                after.sendall(b"hello")
                assert exactly(after, 5) == b"hello"


def _everyNameIsHere(_: str, kind: int, __: int, query: bytes) -> bytes:
    return answer(query, *([a("127.0.0.1")] if kind == A else []))


def _settled(flood: Server) -> bool:
    """Whether a flood has nowhere to go any more."""
    sent = flood.sent
    time.sleep(0.5)
    return flood.sent == sent > 0
