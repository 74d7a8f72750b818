"""
A resolver that changes its mind, lies, or says nothing.
"""

from __future__ import annotations

import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.hostile.trace import dialled, ended, tracing
from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    four,
    named,
    opened,
    replied5,
    request5,
    reset,
    tunnel,
    verdict4,
    verdict5,
)
from tests.live.names import A, NameServer, a, aaaa, answer, cname
from tests.live.running import Running, settled
from tests.tools.waiting import until

Gateway = Callable[..., Running]

GRANTED, DENIED, UNREACHABLE = 0, 2, 4

#: The only address that may be reached, and those that must not.
GOOD = "127.0.0.2"
EVIL = "127.0.0.1"
EVIL6 = ("::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1")


def _configuration(server: NameServer, lookup: str = "5s", more: str = "") -> str:
    return f"""
[timeouts]
lookup = "{lookup}"
[resolver]
servers = ["{server.place}"]
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[never]
except = ["{GOOD}/32"]
[[rule]]
id = "all"
allow = ["connect"]
{more}
"""


def _flapping(name: str, kind: int, nth: int, query: bytes) -> bytes:
    """
    By the first label: C{good} and C{evil} are constant; C{flip} is good at
    first, C{flop} evil at first, both change with every answer; C{mixN} has
    the good address among hostile ones; C{chain} leads through aliases.
    """
    label = name.partition(".")[0].rstrip("0123456789")
    even = nth % 2 == 0
    good, evil = [a(GOOD)], [a(EVIL)]
    six = [aaaa(text) for text in EVIL6]
    four = {
        "good": good,
        "evil": evil,
        "flip": good if even else evil,
        "flop": evil if even else good,
        "mix": [a(EVIL), a(GOOD), a("0.0.0.0"), a("169.254.169.254")],
        "chain": [cname("evil.test"), a(EVIL)],
        "chaingood": [cname("x.test"), cname("y.test"), a(GOOD), a(EVIL)],
        "onlysix": [],
        "onlyfour": evil,
    }[label]
    records = four if kind == A else [] if label in ("good", "onlyfour") else six
    return answer(query, *records)


def test_onlyWhatWasJudgedIsDialled(gateway: Gateway, tmp_path: Path) -> None:
    """
    However the answers change, between queries or within one, only the
    address that the policy allowed is dialled; a request costs one look-up
    of each type at most; a name that has changed is judged anew.
    """
    trace = tmp_path / "trace"
    # The same port on the hostile address: a wrong dial would succeed.
    with NameServer(_flapping) as server, Server(GOOD) as good:
        with Server(EVIL, good.port) as evil, Server("::1", good.port) as evil6:
            started = gateway(_configuration(server), prefix=tracing(trace))
            _flap(started, server, good)
            ended(started, trace)
        assert set(dialled(trace, server)) == {(GOOD, good.port)}
        assert evil.peers == []
        assert evil6.peers == []
        decisions = started.journal("decision")
    allowed = [line for line in decisions if line["verdict"] == "allow"]
    assert {tuple(line["addresses"]) for line in allowed} == {(GOOD,)}
    assert len(dialled(trace, server)) == len(allowed)
    # What was struck is on record, with the reason.
    mixed = next(line for line in allowed if line["name"] == "mix0.test")
    struck = {address for address, _ in mixed["struck"]}
    assert {EVIL, "::1", "64:ff9b::7f00:1"} <= struck


def _flap(started: Running, server: NameServer, good: Server) -> None:
    expected = {
        "good": GRANTED,
        "flip": GRANTED,
        "mix": GRANTED,
        "chaingood": GRANTED,
        "evil": DENIED,
        "flop": DENIED,
        "chain": DENIED,
        "onlysix": DENIED,
    }
    # What was looked up each process knows for itself: for another one it has changed.
    processes = len(started.serving)
    changing = ("flip", "flop") if processes > 1 else ()
    began = time.monotonic()
    wrong = {}
    for number in range(25):
        for label, wanted in expected.items():
            name = b"%s%d.test" % (label.encode(), number)
            reply = verdict5(started.port, named(name), good.port)
            if reply != wanted and label not in changing:
                wrong[name] = reply
            rejected = verdict4(started.port, b"\0\0\0\1", good.port, name)
            answered = 90 if wanted == GRANTED else 91
            if rejected != answered and label not in changing:
                wrong[b"4a " + name] = rejected
    assert wrong == {}
    # What is known for some seconds counts; nothing is asked again meanwhile.
    if time.monotonic() - began < 5:
        assert max(server.asked.values()) == processes
    if changing:
        return
    # The answer has changed when it is asked for again: judged anew.
    name = named(b"flip0.test")
    until(lambda: verdict5(started.port, name, good.port) == DENIED, 30)
    assert server.asked["flip0.test", A] == 2


def test_anExceptionForOnePortOpensNoOther(gateway: Gateway, tmp_path: Path) -> None:
    """
    A name that leads to an address which is excepted on one port is judged
    with its port.
    """
    trace = tmp_path / "trace"
    with NameServer(_flapping) as server, Server(EVIL) as open_, Server() as shut:
        more = _configuration(server).replace(f"{GOOD}/32", f"{EVIL}:{open_.port}")
        started = gateway(more, prefix=tracing(trace))
        name = named(b"onlyfour.test")
        assert verdict5(started.port, name, shut.port) == DENIED
        assert verdict5(started.port, name, open_.port) == GRANTED
        assert verdict5(started.port, name, shut.port) == DENIED
        assert verdict5(started.port, named(b"good.test"), open_.port) == DENIED
        ended(started, trace)
        assert dialled(trace, server) == [(EVIL, open_.port)]


@pytest.mark.parametrize("restriction", ["", 'resolving_to = ["private"]'])
def test_aStrangersNameOpensNoInside(
    gateway: Gateway, tmp_path: Path, restriction: str
) -> None:
    """
    An allow by name covers public addresses only, and what C{resolving_to}
    says: whatever the name's owner answers, nothing else is dialled.
    """
    trace = tmp_path / "trace"
    with NameServer(_flapping) as server, Server(GOOD) as good:
        more = f'to = [".test"]\n{restriction}'
        started = gateway(_configuration(server, more=more), prefix=tracing(trace))
        for label in (b"good", b"evil", b"mix", b"chaingood", b"onlysix"):
            assert verdict5(started.port, named(label + b".test"), good.port) == DENIED
        ended(started, trace)
        assert dialled(trace, server) == []
        assert good.peers == []


_GARBAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty-header": lambda query: query[:2] + bytes(10),
    "cut-header": lambda query: query[:7],
    "question-only": lambda query: query,
    "other-id": lambda query: answer(bytes(2) + query[2:], a(GOOD)),
    "cut-record": lambda query: answer(query, a(GOOD))[:-2],
    "short-address": lambda query: answer(
        query, b"\xc0\x0c\0\1\0\1\0\0\0\0\0\2\x7f\0", a(EVIL)
    ),
    "long-address": lambda query: answer(
        query, b"\xc0\x0c\0\1\0\1\0\0\0\0\0\x10" + bytes(15) + b"\1"
    ),
    "short-address-6": lambda query: answer(
        query, b"\xc0\x0c\0\x1c\0\1\0\0\0\0\0\4\x7f\0\0\1"
    ),
    "many-announced": lambda query: query[:6] + b"\xff" * 6 + query[12:],
    "loop-of-pointers": lambda query: answer(
        query, b"\xc0\x1b\0\5\0\1\0\0\0\0\0\2\xc0\x1b"
    ),
    "alias-of-itself": lambda query: answer(
        query, b"\xc0\x0c\0\5\0\1\0\0\0\0\0\2\xc0\x0c"
    ),
    "pointer-beyond": lambda query: answer(query, b"\xff\xff\0\1\0\1\0\0\0\0\0\4"),
    "refused": lambda query: answer(query, code=5),
    "server-failure": lambda query: answer(query, code=2),
    "no-such-name": lambda query: answer(query, code=3),
    "no-data": lambda query: answer(query),
    "truncated": lambda query: answer(query, flags=0x8380),
    "noise": lambda query: query[:2] + bytes(range(256)) + bytes(range(255, 0, -1)),
    "long-noise": lambda query: query[:12] + b"\x3f" * 2000,
}


def test_garbageFromTheResolver(gateway: Gateway, tmp_path: Path) -> None:
    """
    Responses that are broken in every way end as a failed look-up (04) in
    time; nothing is dialled for them, and the gateway's log has no
    traceback.
    """
    trace = tmp_path / "trace"

    def broken(name: str, kind: int, _: int, query: bytes) -> bytes:
        garbage = _GARBAGE.get(name.partition(".")[0])
        return answer(query, a(GOOD)) if garbage is None else garbage(query)

    with NameServer(broken) as server, Server(GOOD) as good:
        started = gateway(_configuration(server, "2s"), prefix=tracing(trace))
        clients = {}
        for label in _GARBAGE:
            clients[label] = client = opened(started.port)
            target = named(label.encode() + b".test")
            client.sendall(GREETING + request5(target, good.port))
        replies = {}
        for label, client in clients.items():
            with closing(client):
                assert exactly(client, 2) == b"\x05\x00"
                replies[label] = replied5(client)
        denied = {label for label in replies if replies[label] == DENIED}
        assert {replies[label] for label in replies.keys() - denied} == {UNREACHABLE}
        # Those that hold some hostile address may be judged by it.
        assert denied <= {"short-address", "long-address", "short-address-6"}
        assert verdict5(started.port, named(b"fine.test"), good.port) == GRANTED
        ended(started, trace)
        assert set(dialled(trace, server)) == {(GOOD, good.port)}


def test_aDeadResolverHindersNobody(gateway: Gateway) -> None:
    """
    While a hundred look-ups wait for a resolver that never answers, literals
    and names looked up before are served; each look-up ends with 04 at its
    deadline.
    """
    with NameServer(_flapping) as server, Server(GOOD) as good, ExitStack() as stack:
        started = gateway(_configuration(server, "2s"))
        known, processes = ("good.test", A), len(started.serving)
        # Each process looks it up for itself.
        until(
            lambda: (
                verdict5(started.port, named(b"good.test"), good.port) == GRANTED
                and server.asked[known] >= processes
            )
        )
        server.silent = True
        began = time.monotonic()
        waiting = []
        for number in range(100):
            client = stack.enter_context(closing(opened(started.port)))
            name = named(b"evil%d.test" % number)
            client.sendall(GREETING + request5(name, good.port))
            assert exactly(client, 2) == b"\x05\x00"
            waiting.append(client)
        until(lambda: server.asked["evil99.test", A])
        served = [
            verdict5(started.port, target, good.port)
            for target in (four(GOOD), named(b"good.test"), named(GOOD.encode()))
        ]
        assert served == [GRANTED] * 3
        with closing(tunnel(started.port, good.place)) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        if time.monotonic() - began < 1.5:
            # Served before any of the others was given up.
            assert not select.select(waiting, [], [], 0)[0]
        assert [replied5(client) for client in waiting] == [UNREACHABLE] * 100
        assert 2 <= time.monotonic() - began < 2 + 10
        denied = [d for d in started.journal("decision") if d["verdict"] == "deny"]
        assert {line["reason"] for line in denied} == {"lookup-timeout"}


def test_clientsThatLeaveDuringALookUp(gateway: Gateway) -> None:
    """
    Clients that go away while their names are looked up are forgotten: the
    late answer grants nothing, and every descriptor comes back.
    """
    let = threading.Event()

    def late(_: str, kind: int, __: int, query: bytes) -> bytes:
        let.wait(20)
        return answer(query, *([a(GOOD)] if kind == A else []))

    with NameServer(late) as server, Server(GOOD) as good, ExitStack() as stack:
        stack.callback(let.set)
        started = settled(gateway(_configuration(server, "30s")))
        before = started.descriptors
        clients = []
        for number in range(50):
            client = stack.enter_context(closing(opened(started.port)))
            name = named(b"late%d.test" % number)
            client.sendall(GREETING + request5(name, good.port))
            assert exactly(client, 2) == b"\x05\x00"
            clients.append(client)
        for client in clients:
            reset(client)

        def lost() -> Counter[str]:
            told = Counter(line["reason"] for line in started.journal("refused"))
            return told + started.summed

        until(lambda: lost().total() == 50)
        assert lost() == {"client-lost": 50}
        let.set()
        until(lambda: server.asked["late49.test", A])
        until(lambda: started.descriptors <= before)
        assert verdict5(started.port, named(b"after.test"), good.port) == GRANTED
        # The server's thread may be a little behind.
        until(lambda: good.peers)
        assert len(good.peers) == 1
