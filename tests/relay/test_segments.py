"""
Runs of datagrams: real loopback sockets, and whole associations with bursts.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from socket import socket as Socket
from typing import Any

import pytest

from socksgw.relay import segments
from socksgw.relay.exit import _MANY
from socksgw.relay.segments import RUN, sendRun
from socksgw.route import datagrams
from tests.relay.associations import IDLE, Association, Sea, header
from tests.tools.sockets import udp

#: Of linux/udp.h and asm-generic/socket.h.
_UDP_GRO = 104
_SO_NO_CHECK = 11


@pytest.fixture
def sockets() -> Iterator[tuple[Socket, Socket]]:
    """One that sends, and one that receives."""
    with udp("127.0.0.1") as sender, udp("127.0.0.1") as receiver:
        yield sender, receiver


def unsummed(made: Socket) -> Socket:
    """A socket that sends without checksums: such ones the kernel cuts no runs for."""
    made.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
    return made


def came(receiver: Socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(receiver.recv(1 << 16))
        except BlockingIOError:
            return found


def test_oneCall(sockets: tuple[Socket, Socket]) -> None:
    """
    The receiver gets the datagrams; one that asks for whole runs (C{UDP_GRO}) sees
    that it was one.
    """
    sender, receiver = sockets
    parts = [b"one", b"two", b"3"]
    assert sendRun(sender, parts, 3, receiver.getsockname())
    assert came(receiver) == parts
    receiver.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    assert sendRun(sender, parts, 3, receiver.getsockname())
    assert came(receiver) == [b"onetwo3"]


def test_connected(sockets: tuple[Socket, Socket]) -> None:
    """Such a socket is not told where to."""
    sender, receiver = sockets
    sender.connect(receiver.getsockname())
    assert sendRun(sender, [b"one", b"two"], 3, None)
    assert came(receiver) == [b"one", b"two"]


def test_theLongest(sockets: tuple[Socket, Socket]) -> None:
    """As many datagrams as one turn reads, and as many octets as a run has."""
    sender, receiver = sockets
    for count in (segments.BATCH, RUN // 30_000):
        size = RUN // count
        parts = [bytes([i]) * size for i in range(count)]
        assert sendRun(sender, parts, size, receiver.getsockname())
        assert came(receiver) == parts


def test_refused(sockets: tuple[Socket, Socket]) -> None:
    """The kernel does not do it for this socket: nothing went."""
    sender, receiver = sockets
    assert not sendRun(unsummed(sender), [b"a", b"b"], 1, receiver.getsockname())
    assert came(receiver) == []


def test_aKernelThatDoesNotKnow(
    sockets: tuple[Socket, Socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked first: it would send one long datagram. Another socket knows not."""
    sender, receiver = sockets
    monkeypatch.setattr(segments, "_UDP_SEGMENT", 9999)
    monkeypatch.setattr(segments, "_known", [])
    assert not sendRun(sender, [b"a", b"b"], 1, receiver.getsockname())
    assert came(receiver) == []


def test_gone(sockets: tuple[Socket, Socket]) -> None:
    """An error that every datagram would meet is raised."""
    sender, receiver = sockets
    sender.connect(receiver.getsockname())
    receiver.close()
    sender.send(b"a")
    with pytest.raises(ConnectionRefusedError):
        sendRun(sender, [b"a", b"b"], 1, None)


# Whole associations.


@pytest.fixture(params=["runs", "refused", "unknown"])
def kernel(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Association], object]:
    """
    Kernels that cut runs, that do not for these sockets, and that do not know it.

    @return: makes the relay socket of an association so.
    """
    if request.param == "unknown":
        monkeypatch.setattr(segments, "_known", [False])
    if request.param == "refused":
        outer = datagrams.outerSocket

        def made(*args: object, **named: object) -> Socket:
            return unsummed(outer(*args, **named))  # type: ignore[arg-type]

        monkeypatch.setattr(datagrams, "outerSocket", made)
        return lambda association: unsummed(association.relay)
    return lambda association: None


def bursts(seed: int, ways: int) -> list[tuple[int, bytes]]:
    """Datagrams for some destinations, in runs of one size and across them."""
    chance = random.Random(seed)
    found = []
    for number in range(40):
        way = chance.randrange(ways)
        size = chance.choice([0, 1, 4, 100, 100, 1200, 1200, 1472, 9000, 40_000])
        for _ in range(chance.choice([1, 1, 2, 3, 17]) if size < 9000 else 1):
            found.append((way, bytes([number]) * size))
        if size > 1 and chance.random() < 0.5:
            found.append((way, bytes([number]) * chance.randrange(size)))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_bursts(
    sea: Sea, kernel: Callable[[Association], object], host: str, seed: int
) -> None:
    """
    Each datagram is one datagram, whole and in order, both ways, and is counted.
    """
    association = sea.associate()
    kernel(association)
    client, servers = sea.socket(), [sea.socket(host) for _ in range(3)]
    to = [header(host, each.getsockname()[1]) for each in servers]
    outer = []
    for each, name in zip(servers, to, strict=True):
        client.sendto(name + b"first", association.place)
        outer.append(sea.relayed(each)[1])
    assert len(set(outer)) == 1
    sent = bursts(seed, len(servers))
    # More at once, and the sockets' buffers would be too small.
    for at in range(0, len(sent), 20):
        some = sent[at : at + 20]
        for way, octets in some:
            client.sendto(to[way] + octets, association.place)
        sea.settle()
        for way, each in enumerate(servers):
            assert came(each) == [octets for number, octets in some if number == way]
        for way, octets in some:
            servers[way].sendto(octets, outer[0])
        sea.settle()
        assert came(client) == [to[way] + octets for way, octets in some]
    association.end()
    for way, each in enumerate(servers):
        mine = [len(octets) for number, octets in sent if number == way]
        total, count = sum(mine), len(mine)
        port = each.getsockname()[1]
        assert association.judge.counts[port] == (total + 5, count + 1, total, count)
    assert association.tally.strangers == 0


def admitted(sea: Sea, server: Socket, client: Socket, outer: Any) -> None:
    """Have so many answers come that the kernel keeps those of others away."""
    for number in range(_MANY + 2):
        server.sendto(b"%d" % number, outer)
        if number % 20 == 0 or number > _MANY:
            sea.settle()
    came(client)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_burstsOfOne(
    sea: Sea, kernel: Callable[[Association], object], host: str, seed: int
) -> None:
    """The same with one destination, whose answers need not be told apart."""
    association = sea.associate()
    kernel(association)
    client, server = sea.socket(), sea.socket(host)
    to = header(host, server.getsockname()[1])
    client.sendto(to + b"first", association.place)
    outer = sea.relayed(server)[1]
    admitted(sea, server, client, outer)
    sent = [octets for _, octets in bursts(seed, 1)]
    for at in range(0, len(sent), 20):
        some = sent[at : at + 20]
        for octets in some:
            client.sendto(to + octets, association.place)
            server.sendto(octets, outer)
        sea.settle()
        assert came(server) == some
        assert came(client) == [to + octets for octets in some]
    association.end()
    (counts,) = association.judge.counts.values()
    total = sum(map(len, sent))
    warm = [len(str(number)) for number in range(_MANY + 2)]
    assert counts == (
        total + 5,
        len(sent) + 1,
        total + sum(warm),
        len(sent) + len(warm),
    )


def test_strangersAreKeptAway(sea: Sea) -> None:
    """
    While there is one destination; those of a second one come, and others are counted
    then. It is so again when the second one has gone.
    """
    association = sea.associate()
    client, one, other, stranger = (sea.socket() for _ in range(4))
    to = [header("127.0.0.1", each.getsockname()[1]) for each in (one, other)]
    client.sendto(to[0] + b"first", association.place)
    outer = sea.relayed(one)[1]
    admitted(sea, one, client, outer)

    def answers() -> list[bytes]:
        for each in (stranger, one, other, stranger):
            each.sendto(b"%d" % each.getsockname()[1], outer)
        sea.settle()
        return [octets[10:] for octets in came(client)]

    ports = [b"%d" % each.getsockname()[1] for each in (one, other)]
    assert answers() == ports[:1]
    client.sendto(to[1] + b"second", association.place)
    assert sea.relayed(other)[1] == outer
    assert answers() == ports
    for _ in range(2):
        # It moves all the time, and the second one does not.
        sea.advance(IDLE)
        client.sendto(to[0] + b"still", association.place)
        sea.relayed(one)
    assert [flow.datagram.port for flow, _ in association.judge.over] == [
        other.getsockname()[1]
    ]
    assert answers() == ports[:1]
    admitted(sea, one, client, outer)
    assert answers() == ports[:1]
    association.end()
    assert association.tally.strangers == 2 + 3


def test_repliesThatWiden(sea: Sea) -> None:
    """A rule that lets other ports answer counts from then on."""
    association = sea.associate()
    client, one, other = (sea.socket() for _ in range(3))
    to = header("127.0.0.1", one.getsockname()[1])
    client.sendto(to + b"first", association.place)
    outer = sea.relayed(one)[1]
    admitted(sea, one, client, outer)
    other.sendto(b"no", outer)
    sea.silent(client)
    association.judge.flows.recheck(lambda flow: "address")
    other.sendto(b"yes", outer)
    one.sendto(b"yes", outer)
    sea.settle()
    assert [octets[10:] for octets in came(client)] == [b"yes", b"yes"]


def test_theyLeaveAsRuns(sea: Sea) -> None:
    """
    A client and a server that ask for whole runs see them.

    Those leave together that lie in a socket together: where the kernel still brings
    the last ones to it, since other programs are in the way, they are sent again.
    """
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    to = header("127.0.0.1", server.getsockname()[1])
    client.sendto(to + b"first", association.place)
    outer = sea.relayed(server)[1]
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    texts = [b"%d" % number for number in range(5)]
    heads, runs = {client: to, server: b""}, set()
    for _ in range(100):
        for text in texts:
            client.sendto(to + text, association.place)
            server.sendto(text, outer)
        for receiver, head in heads.items():
            whole = b"".join(head + text for text in texts)
            found: list[bytes] = []
            while len(b"".join(found)) < len(whole):
                found.append(sea.relayed(receiver)[0])
            assert b"".join(found) == whole
            if len(found) == 1:
                runs.add(receiver)
        if len(runs) == len(heads):
            break
    assert runs == set(heads)


def test_strangersAmongThem(sea: Sea) -> None:
    """What others send between the datagrams of a run is not among those."""
    association = sea.associate()
    client, server, stranger = sea.socket(), sea.socket(), sea.socket()
    to = header("127.0.0.1", server.getsockname()[1])
    client.sendto(to + b"first", association.place)
    outer = sea.relayed(server)[1]
    for number in range(4):
        for each in (server, stranger):
            each.sendto(b"%d" % number, outer)
        for each in (client, stranger):
            each.sendto(to + b"%d" % number, association.place)
    sea.settle()
    assert came(client) == [to + b"%d" % number for number in range(4)]
    assert came(server) == [b"%d" % number for number in range(4)]
    association.end()
    assert association.tally.strangers == 8


def test_aFragmentAmongThem(sea: Sea) -> None:
    """Section 7: what stands alone ends a sequence of fragments."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    whole, part = header("127.0.0.1", port), header("127.0.0.1", port, 1)
    for octets in (whole + b"a", part + b"b", whole + b"c", whole + b"d"):
        client.sendto(octets, association.place)
    client.sendto(header("127.0.0.1", port, 0x82) + b"e", association.place)
    sea.settle()
    assert came(server) == [b"a", b"c", b"d"]
