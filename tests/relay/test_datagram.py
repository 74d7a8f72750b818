"""
The relay socket of an association (RFC 1928 section 7), with real sockets on
loopback and an epoll loop of the test's own.
"""

from __future__ import annotations

import os

import pytest
from twisted.python.failure import Failure

from socksgw.relay import datagram
from tests.relay.associations import Sea, echoed, header


@pytest.fixture(params=["kernel", "program"])
def filtered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """
    Who turns strangers away: the kernel's filter, or, where there is none,
    the program.
    """
    if request.param == "program":
        monkeypatch.setattr(datagram, "admitOnly", lambda *_: False)
    return str(request.param)


def test_thereAndBack(sea: Sea) -> None:
    """
    Section 7: a datagram goes to its destination without its header; the
    answer comes from the relay socket, with the destination in its header.
    """
    association = sea.associate()
    client = sea.socket()
    echoed(sea, association, client, b"one")
    echoed(sea, association, client, b"")


def test_manyOneAfterTheOther(sea: Sea) -> None:
    """Not one is lost, none comes twice, none is changed."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    for number in range(300):
        text = str(number).encode()
        client.sendto(header("127.0.0.1", port) + text, association.place)
        came, outer = sea.relayed(server)
        assert came == text
        server.sendto(text, outer)
        assert sea.relayed(client)[0] == header("127.0.0.1", port) + text
    assert association.judge.asked == [("127.0.0.1", port)]
    association.end()
    assert association.judge.counts[port] == (790, 300, 790, 300)
    assert association.tally.strangers == 0


# The owner.


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_otherUsersOfTheMachine(sea: Sea, filtered: str) -> None:
    """
    A client that the kernel has said the user of sends from sockets of that user.
    One that is closed already is nobody's.
    """
    association = sea.associate(uid=4321)
    server, stranger, gone = sea.socket(), sea.socket(), sea.socket()
    to = header("127.0.0.1", server.getsockname()[1])
    stranger.sendto(to + b"stranger", association.place)
    sea.silent(server, stranger)
    os.fchown(gone.fileno(), 4321, -1)
    gone.sendto(to + b"gone", association.place)
    gone.close()
    sea.silent(server)
    client = sea.socket()
    os.fchown(client.fileno(), 4321, -1)
    echoed(sea, association, client, b"owner")
    stranger.sendto(to + b"stranger", association.place)
    sea.silent(server, stranger)
    association.end()
    assert association.tally.strangers == 3


@pytest.mark.parametrize("where", ["127.0.0.2", "127.255.255.254"])
def test_strangersFromOtherAddresses(sea: Sea, filtered: str, where: str) -> None:
    """
    Section 7: datagrams from any other address are dropped: before the owner
    came, and after. They are counted, and nothing is sent to them.
    """
    association = sea.associate()
    server, stranger = sea.socket(), sea.socket(where)
    to = header("127.0.0.1", server.getsockname()[1])
    for _ in range(3):
        stranger.sendto(to + b"stranger", association.place)
    sea.silent(server, stranger)
    client = sea.socket()
    echoed(sea, association, client, b"owner")
    for _ in range(4):
        stranger.sendto(to + b"stranger", association.place)
    sea.silent(server, stranger, client)
    assert len(association.judge.asked) == 1
    association.end()
    assert association.tally.strangers == 7


def test_theFirstPortIsTheOnlyOne(sea: Sea, filtered: str) -> None:
    """
    The client's other ports are strangers once it has sent a valid datagram
    from one.
    """
    association = sea.associate()
    client, other, server = sea.socket(), sea.socket(), sea.socket()
    echoed(sea, association, client, b"first")
    to = header("127.0.0.1", server.getsockname()[1])
    other.sendto(to + b"second", association.place)
    sea.silent(server, other, client)
    echoed(sea, association, client, b"again")
    association.end()
    assert association.tally.strangers == 1


def test_theNamedPortIsTheOnlyOne(sea: Sea, filtered: str) -> None:
    """
    A client that named its port has the association, and not another program of
    its host that is earlier.
    """
    client, other, server = sea.socket(), sea.socket(), sea.socket()
    association = sea.associate(port=client.getsockname()[1])
    to = header("127.0.0.1", server.getsockname()[1])
    other.sendto(to + b"first", association.place)
    sea.silent(server, other, client)
    echoed(sea, association, client, b"owner")
    association.end()
    assert association.tally.strangers == 1


@pytest.mark.parametrize("named", [True, False])
def test_theFirstDatagramHasItsTime(sea: Sea, named: bool) -> None:
    """A minute, where anybody of the client's host could send it."""
    port = 4000 if named else None
    association = sea.associate(idle=3600.0, port=port)
    sea.advance(59)
    assert not association.done
    sea.advance(2)
    assert bool(association.done) is not named
    association.end()
    assert association.tally.reason == ("closed" if named else "idle")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x01\x7f\0\0\x01\0",
        b"\0\0\0\x02\x7f\0\0\x01\0\x35",
        b"\0\x01\0\x01\x7f\0\0\x01\0\x35x",
        b"\0\0\0\x03\x09abc",
        b"\xff" * 100,
    ],
)
def test_whatIsNoDatagramLocksNothing(sea: Sea, filtered: str, octets: bytes) -> None:
    """The port is that of the first I{valid} datagram."""
    association = sea.associate()
    other, client = sea.socket(), sea.socket()
    other.sendto(octets, association.place)
    sea.silent(other)
    echoed(sea, association, client, b"mine")
    client.sendto(octets, association.place)
    sea.silent(client, other)
    echoed(sea, association, client, b"still mine")
    assert len(association.judge.asked) == 2


def test_nothingForAClientThatHasSentNothing(sea: Sea) -> None:
    """Before its first valid datagram nothing is sent at all."""
    association = sea.associate()
    client, stranger = sea.socket(), sea.socket("127.0.0.3")
    for each in (client, stranger):
        each.sendto(b"\0\0\0\x01no", association.place)
    sea.silent(client, stranger)
    association.end()
    sea.silent(client, stranger)
    assert association.judge.asked == []


def test_aFragmentLocksThePort(sea: Sea, filtered: str) -> None:
    """A fragment is a valid datagram of the client's."""
    association = sea.associate()
    client, other, server = sea.socket(), sea.socket(), sea.socket()
    port = server.getsockname()[1]
    client.sendto(header("127.0.0.1", port, 1) + b"a", association.place)
    sea.settle()
    other.sendto(header("127.0.0.1", port) + b"x", association.place)
    sea.silent(server)
    client.sendto(header("127.0.0.1", port, 0x82) + b"b", association.place)
    assert sea.relayed(server)[0] == b"ab"


def test_ipv6Client(sea: Sea, filtered: str) -> None:
    """A control connection over IPv6: the relay socket, and its owner, too."""
    association = sea.associate(source="::1", local="::1")
    client, other = sea.socket("::1"), sea.socket("::1")
    echoed(sea, association, client, b"six")
    other.sendto(header("::1", 9) + b"x", association.place)
    sea.silent(other)
    echoed(sea, association, client, b"six again")
    association.end()
    assert association.tally.strangers == 1


# Sizes.


def test_theLargestDatagrams(sea: Sea) -> None:
    """
    65,507 octets are the most that UDP carries over IPv4: so large a datagram
    of the client's arrives whole, and so large a reply. A payload that does
    not fit behind a header any more is lost, as datagrams are, and nothing
    else with it.
    """
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    to = header("127.0.0.1", server.getsockname()[1])
    text = bytes(range(256)) * 255 + b"x" * (65507 - 10 - 65280)
    assert len(to + text) == 65507
    client.sendto(to + text, association.place)
    came, outer = sea.relayed(server)
    assert came == text
    server.sendto(text, outer)
    assert sea.relayed(client)[0] == to + text
    server.sendto(text + b"0123456789", outer)
    sea.silent(client)
    server.sendto(b"small", outer)
    assert sea.relayed(client)[0] == to + b"small"


def test_theLargestPayloadOverIpv6(sea: Sea) -> None:
    """A client over IPv6 has room for every payload of an IPv4 destination."""
    association = sea.associate(source="::1", local="::1")
    client, server = sea.socket("::1"), sea.socket()
    to = header("127.0.0.1", server.getsockname()[1])
    text = b"l" * 65507
    client.sendto(to + text, association.place)
    came, outer = sea.relayed(server)
    assert came == text
    server.sendto(text, outer)
    assert sea.relayed(client)[0] == to + text


# Fragments.


def test_fragmentsBecomeOneDatagram(sea: Sea) -> None:
    """Section 7: the last one brings the whole; it is judged as one flow."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    for frag, text in ((1, b"a"), (2, b"b"), (0x83, b"c")):
        client.sendto(header("127.0.0.1", port, frag) + text, association.place)
    assert sea.relayed(server)[0] == b"abc"
    sea.silent(server)
    assert association.judge.asked == [("127.0.0.1", port)]
    # The same flow as that of datagrams which stand alone.
    client.sendto(header("127.0.0.1", port) + b"d", association.place)
    assert sea.relayed(server)[0] == b"d"
    assert association.judge.asked == [("127.0.0.1", port)]
    client.sendto(header("127.0.0.1", port, 0x81) + b"e", association.place)
    assert sea.relayed(server)[0] == b"e"


@pytest.mark.parametrize("frags", [[1], [0x81], [1, 0x82], [0x80]])
def test_fragmentsWhereTheyAreDropped(sea: Sea, frags: list[int]) -> None:
    """Section 7: without reassembly every FRAG other than X'00' is dropped."""
    association = sea.associate(reassemble=False)
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    for frag in frags:
        client.sendto(header("127.0.0.1", port, frag) + b"x", association.place)
    sea.silent(server, client)
    client.sendto(header("127.0.0.1", port) + b"alone", association.place)
    assert sea.relayed(server)[0] == b"alone"


def test_aFragmentIsNeverADatagram(sea: Sea) -> None:
    """Nothing of a sequence goes out while a part of it is missing."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    client.sendto(header("127.0.0.1", port) + b"before", association.place)
    assert sea.relayed(server)[0] == b"before"
    for frag in (1, 3, 0x84, 2, 0x80, 0xFF, 0x85):
        client.sendto(header("127.0.0.1", port, frag) + b"x", association.place)
    sea.silent(server)


def test_theReassemblyTimer(sea: Sea) -> None:
    """Section 7: no less than 5 seconds; then the fragments are abandoned."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]

    def send(frag: int, text: bytes) -> None:
        client.sendto(header("127.0.0.1", port, frag) + text, association.place)
        sea.settle()

    send(1, b"a")
    sea.advance(5.0)
    send(0x82, b"b")
    assert sea.relayed(server)[0] == b"ab"
    send(1, b"c")
    sea.advance(30.0)
    send(0x82, b"d")
    sea.silent(server)


def test_theTimerIsOfItsSequence(sea: Sea) -> None:
    """
    Section 7: the timer MUST be no less than 5 seconds, also of a sequence
    that took the place of an abandoned one.
    """
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]

    def send(frag: int, text: bytes) -> None:
        client.sendto(header("127.0.0.1", port, frag) + text, association.place)
        sea.settle()

    send(1, b"old")
    sea.advance(4.9)
    send(1, b"new")
    sea.advance(4.9)
    send(0x82, b"er")
    assert sea.relayed(server)[0] == b"newer"


def test_theTimerOfAnEmptyFragment(sea: Sea) -> None:
    """A fragment without data expires like any other."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    client.sendto(header("127.0.0.1", port, 1), association.place)
    sea.settle()
    sea.advance(30.0)
    client.sendto(header("127.0.0.1", port, 0x82) + b"x", association.place)
    sea.silent(server)


def test_aStandaloneDatagramAbandonsFragments(sea: Sea) -> None:
    """
    Section 7: the queue is reinitialized when a datagram arrives whose FRAG
    is less than the highest processed; X'00' is. The datagram itself goes on.
    """
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    for _ in ("a new flow", "a known one"):
        for frag, text in ((1, b"a"), (0, b"alone"), (0x82, b"b")):
            client.sendto(header("127.0.0.1", port, frag) + text, association.place)
        assert sea.relayed(server)[0] == b"alone"
        sea.silent(server)


def test_fragmentsAreHeldWithinBounds(sea: Sea) -> None:
    """What could not go out as one datagram is not held either."""
    association = sea.associate()
    client, server = sea.socket(), sea.socket()
    port = server.getsockname()[1]
    for frag in range(1, 127):
        client.sendto(header("127.0.0.1", port, frag) + bytes(60000), association.place)
        sea.settle()
    client.sendto(header("127.0.0.1", port, 0xFF) + b"x", association.place)
    sea.silent(server)
    client.sendto(header("127.0.0.1", port, 0x81) + b"fits", association.place)
    assert sea.relayed(server)[0] == b"fits"


# The control connection.


@pytest.mark.parametrize(
    ("how", "reason"), [("closes", "closed"), ("vanishes", "client-lost")]
)
def test_theEndOfTheControlConnection(sea: Sea, how: str, reason: str) -> None:
    """Section 6: the association ends with it, at once, and every flow of it."""
    association = sea.associate()
    client, other = sea.socket(), sea.socket()
    server = echoed(sea, association, client, b"one")
    control = association.client.taken
    control.dataReceived(b"counts for nothing" * 1000)
    other.sendto(b"", association.place)
    sea.settle()
    assert not association.done
    if how == "closes":
        control.readConnectionLost()
    else:
        control.connectionLost(Failure(Exception()))
    assert association.done == [None]
    assert association.client.taken is None
    assert association.tally.reason == reason
    assert (association.tally.sent, association.tally.received) == (3, 4)
    ((flow, why),) = association.judge.over
    assert (flow.datagram.port, why) == (server.getsockname()[1], reason)
    # Both ends may tell, and more than once.
    control.connectionLost(Failure(Exception()))
    assert len(association.judge.over) == 1


def test_aControlConnectionThatEndedBefore(sea: Sea) -> None:
    """The client may be done before the association begins."""
    association = sea.associate(ended=True)
    assert association.done == [None]
    assert association.tally.reason == "closed"


def test_cancelled(sea: Sea) -> None:
    """Cut off from within: everything is closed, and the flows' ends recorded."""
    association = sea.associate()
    client = sea.socket()
    echoed(sea, association, client, b"one")
    association.over.cancel()
    assert association.done
    assert association.client.taken is None
    assert [why for _, why in association.judge.over] == ["cut"]
    assert (association.tally.sent, association.tally.received) == (3, 4)
