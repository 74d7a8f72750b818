"""
Mutated handshakes through real sockets, many at a time.
"""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

from tests.live.clients import (
    GREETING,
    Server,
    descriptorsFor,
    exactly,
    four,
    named,
    opened,
    request4,
    request5,
    six,
    tunnel,
)
from tests.live.names import A, NameServer, a, answer
from tests.live.running import Running, settled
from tests.tools.waiting import until

Gateway = Callable[..., Running]

MUTATIONS = 20_000
_SEED = 1928
_AT_ONCE = 100

#: RFC 7617: alice, and her password.
BASIC = b"Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"

#: The rule names addresses: only these are ever dialled.
_CONFIGURATION = """
[timeouts]
handshake = "5s"
[resolver]
servers = ["{names}"]
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "socks6", "http"]
half_open_per_source = 4096
[listen.multicast]
interface = "lo"
[auth]
checkers = ["memory:alice:secret"]
throttle = {{ per_user = 0, per_source = 0 }}   # these tests fail often
[[auth.choose]]
methods = ["none", "userpass"]
from = ["127.0.0.0/8"]
[[rule]]
id = "echo"
allow = "any"
to = ["127.0.0.1/32"]
[[rule]]
id = "groups"
allow = ["multicast"]
to = ["233.1.2.0/24"]
multicast = {{ send = true }}
[never]
except = ["127.0.0.1:{port}"]
"""


def _handshakes(port: int) -> list[bytes]:
    """
    Good ones, of every kind (RFC 1928, RFC 1929, SOCKS 4 and 4a, RFC 9112).
    """
    login = b"\x05\x01\x02\x01\x05alice\x06secret"
    place = b"\x7f\0\0\1"
    targets = (
        four("127.0.0.1"),
        six("::1"),
        named(b"127.0.0.1"),
        named(b"here.test"),
        named(b"x" * 60 + b".test"),
    )
    found = [GREETING + request5(target, port) + b"surplus" for target in targets]
    found += [login + request5(target, port) for target in targets]
    found += [GREETING + request5(targets[0], port, command) for command in (2, 3, 4)]
    found += [
        b"\x05\x03\x00\x01\x02" + request5(targets[0], port),
        b"\x05\xff" + bytes(range(255)) + request5(targets[2], port),
        request4(place, port, userId=b"alice") + b"surplus",
        request4(b"\0\0\0\1", port, b"here.test", b"alice"),
        request4(b"\0\0\0\xff", port, b"127.0.0.1"),
    ]
    found += _handshakes6(port)
    found += _channels(port)
    for host in (b"127.0.0.1", b"[::1]", b"here.test"):
        place = b"%b:%d" % (host, port)
        fields = b" HTTP/1.1\r\nHost: %b\r\n" % place
        found += [
            b"CONNECT " + place + fields + b"\r\nsurplus",
            b"CONNECT " + place + fields + BASIC + b"\r\n",
            b"GET http://%b/" % place + fields + b"\r\n",
            b"POST http://%b/" % place + fields + b"Content-Length: 2\r\n\r\nhi",
            b"PUT http://%b/" % place + fields + CHUNKED,
        ]
    return found


def _channels(port: int) -> list[bytes]:
    """
    Control channels of groups (draft-ietf-aft-mcast-fw-traversal-01 section 4): one is
    joined, from one sender, a datagram is sent to it, and it is left.
    """
    entered = GREETING + request5(four("127.0.0.1"), port, 4)
    join = bytes.fromhex(
        "01 0021 05 001b 00 0001 00000000 01 7f000001 9c40 01 e9010203 138c"
    )
    only = bytes.fromhex(
        "01 0027 05 0099 00 0002 00000000 01 7f000001 9c40 01 e9010204 138c"
        "01 01 c6120001"
    )
    sent = bytes.fromhex("03 000b 00000001 64617461")
    left = bytes.fromhex("01 000d 06 0011 00 0003 00000001")
    return [entered, entered + join + sent + left, entered + only + sent]


def _handshakes6(port: int) -> list[bytes]:
    """Those of SOCKS 6 (draft-olteanu-intarea-socks-6-11)."""
    login = b"\x01\x05alice\x06secret"
    # A login in an option; another by messages; a session with tokens.
    presented = bytes.fromhex("0004 0014 02") + login + b"\0"
    advertised = bytes.fromhex("0002 0008 0004 02 00")
    session = bytes.fromhex("0005 0004 000b 0008 00000010")
    errors = bytes.fromhex("0001 0008 85 01 02 00")

    def asking(command: int, where: bytes, options: bytes = b"") -> bytes:
        number = port if any(where[1:5]) else 0
        head = bytes((6, command)) + len(options).to_bytes(2, "big")
        return head + number.to_bytes(2, "big") + b"\0" + where + options

    home, name = four("127.0.0.1"), b"\x03\x09here.test\0\0"
    nowhere = four("0.0.0.0")
    datagram = b"\x06\x03\0\x18" + bytes(8) + b"\1\0\0\x09\x7f\0\0\1data"
    found = [asking(1, where) + b"early" for where in (home, six("::1"), name)]
    found += [
        asking(1, home, presented) + b"early",
        asking(1, home, presented + session),
        asking(1, name, advertised) + b"data" + login,
        asking(0, nowhere, presented + session),
        asking(2, home) + b"early",
        asking(3, nowhere),
        asking(3, nowhere, errors) + datagram,
    ]
    return found


def _mutated(chance: random.Random, handshakes: list[bytes]) -> bytes:
    """A handshake with something wrong in it, or nothing."""
    octets = bytearray(chance.choice(handshakes))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(octets) + 1)
        kind = chance.randrange(7)
        if kind == 0:
            del octets[at:]
        elif kind == 1:
            octets[at : at + 1] = bytes((chance.randrange(256),))
        elif kind == 2 and at < len(octets):
            octets[at] ^= 1 << chance.randrange(8)
        elif kind == 3:
            octets[at:at] = chance.randbytes(chance.choice((1, 2, 255, 600)))
        elif kind == 4:
            del octets[at : at + chance.randrange(1, 8)]
        elif kind == 5:
            other = chance.choice(handshakes)
            octets[at:] = other[chance.randrange(len(other)) :]
        else:
            octets[at : at + 1] = bytes((chance.choice((0, 1, 4, 5, 127, 255)),))
    return bytes(octets)


def _batch(port: int, batch: Iterator[bytes], chance: random.Random) -> int:
    """
    Clients that send these, in one or two pieces, and end in one of three
    ways.

    @return: how many there were.
    """
    with ExitStack() as stack:
        clients = []
        for octets in batch:
            client = stack.enter_context(closing(opened(port)))
            cut = chance.randrange(len(octets) + 1)
            clients.append((client, octets[cut:]))
            if octets[:cut]:
                client.sendall(octets[:cut])
        waiting = []
        for client, rest in clients:
            try:
                client.sendall(rest)
                way = chance.randrange(3)
                if way == 0:
                    client.close()
                    continue
                client.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            if way == 1:
                waiting.append(client)
        poll = select.poll()
        byNumber = {client.fileno(): client for client in waiting}
        for number in byNumber:
            poll.register(number, select.POLLIN)
        while byNumber:
            ready = poll.poll(20_000)
            assert ready, "a client that has ended its side waits for its end"
            for number, _ in ready:
                try:
                    if byNumber[number].recv(65536):
                        continue
                except OSError:
                    pass
                poll.unregister(number)
                del byNumber[number]
        return len(clients)


def test_mutatedHandshakesHarmNothing(gateway: Gateway) -> None:
    """
    After 20,000 mutated handshakes the gateway serves as before, every
    descriptor is back, and there is no traceback in its log.
    """
    chance = random.Random(_SEED)

    def script(_: str, kind: int, __: int, query: bytes) -> bytes:
        return answer(query, *([a("127.0.0.1")] if kind == A else []))

    with descriptorsFor(1000), NameServer(script) as names, Server() as echo:
        configuration = _CONFIGURATION.format(names=names.place, port=echo.port)
        started = settled(gateway(configuration))
        handshakes = _handshakes(echo.port)
        # What the first session of each kind keeps: look-up, pool and the like.
        for octets in handshakes:
            _batch(started.port, iter([octets]), chance)
        until(lambda: started.descriptors == _still(started))
        before = started.descriptors
        done = 0
        while done < MUTATIONS:
            batch = (_mutated(chance, handshakes) for _ in range(_AT_ONCE))
            done += _batch(started.port, batch, chance)
        until(lambda: started.descriptors <= before, 30)
        with closing(tunnel(started.port, echo.place)) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        # All kinds came about: served, denied, refused, login failed.
        events = {line["event"] for line in started.journal()}
        assert {"decision", "end", "refused", "login-failed"} <= events
        allowed = [
            line
            for line in started.journal("decision")
            if line["verdict"] == "allow" and line["command"] == "connect"
        ]
        assert len(allowed) > 500
        spoken = {line["protocol"] for line in allowed}
        assert spoken == {"socks5", "socks4", "socks4a", "socks6", "http"}
        joined = [
            line
            for line in started.journal()
            if line.get("rule") == "groups" and line.get("verdict") == "allow"
        ]
        assert joined
        assert {tuple(line["addresses"]) for line in allowed} == {("127.0.0.1",)}
        assert {line["port"] for line in allowed} == {echo.port}


def _still(started: Running) -> int:
    """The number of descriptors, a moment later."""
    select.select([], [], [], 0.3)
    return started.descriptors
