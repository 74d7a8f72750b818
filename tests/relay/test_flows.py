"""
The flows of an association, with real sockets on loopback and an epoll loop
of the test's own.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.errors import AuditFailed, LimitReached
from socksgw.limits.allowance import Allowance, Allowances
from tests.fakes.quota import Quota
from tests.relay.associations import IDLE, MOST, Association, Sea, header


class Side:
    """
    A client of an association.
    """

    def __init__(self, sea: Sea, **settings: Any) -> None:
        self.sea = sea
        self.association: Association = sea.associate(**settings)
        self.judge = self.association.judge
        self.socket = sea.socket(settings.get("local", "127.0.0.1"))

    def send(self, host: str | bytes, port: int, payload: bytes = b"ask") -> None:
        """A datagram that stands alone."""
        self.socket.sendto(header(host, port) + payload, self.association.place)

    def open(self, server: socket.socket, host: str | bytes = "") -> tuple[str, int]:
        """
        Open a flow to the server.

        @return: where the server sees it come from.
        """
        place = server.getsockname()
        self.send(host or place[0], place[1])
        octets, outer = self.sea.relayed(server)
        assert octets == b"ask"
        return outer


@pytest.fixture
def side(sea: Sea) -> Side:
    return Side(sea)


def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


# Judgement.


def test_judgedOnce(sea: Sea, side: Side) -> None:
    """Each destination once, however many datagrams go to it."""
    one, other = sea.socket(), sea.socket("127.0.0.2")
    for _ in range(3):
        for server in (one, other):
            side.open(server)
    assert side.judge.asked == [("127.0.0.1", port(one)), ("127.0.0.2", port(other))]


def test_everyAddressAndEveryPortIsJudged(sea: Sea, side: Side) -> None:
    """
    Each (address, port), not the first of an association only: an allowed one
    opens no other.
    """
    server = sea.socket()
    side.open(server)
    forbidden = sea.socket()
    side.judge.denied.add(port(forbidden))
    side.send("127.0.0.1", port(forbidden))
    elsewhere = sea.socket("127.0.0.9", port(forbidden))
    side.send("127.0.0.9", port(forbidden))
    sea.silent(forbidden, elsewhere)
    assert len(side.judge.asked) == 3


def test_aDeniedFlowIsJudgedOnce(sea: Sea, side: Side) -> None:
    """Nothing goes out, nothing comes back, and there is no second question."""
    server = sea.socket()
    side.judge.denied.add(port(server))
    for _ in range(5):
        side.send("127.0.0.1", port(server))
        sea.settle()
    sea.silent(server, side.socket)
    assert side.judge.asked == [("127.0.0.1", port(server))]
    side.association.end()
    assert side.judge.over == []


def test_nothingLeavesBeforeTheVerdict(sea: Sea, side: Side) -> None:
    """
    Datagrams wait, in order, until the flow is judged (its line is in the
    journal by then); then they go out once.
    """
    server = sea.socket()
    side.judge.held = Deferred()
    for number in range(5):
        side.send("127.0.0.1", port(server), b"%d" % number)
    sea.silent(server)
    assert len(side.judge.asked) == 1
    side.judge.held.callback(None)
    came = [sea.relayed(server)[0] for _ in range(5)]
    assert came == [b"0", b"1", b"2", b"3", b"4"]
    sea.silent(server)


def test_whatWaitedForADenialIsDropped(sea: Sea, side: Side) -> None:
    """Nothing of it ever leaves."""
    server = sea.socket()
    side.judge.held = Deferred()
    side.judge.denied.add(port(server))
    for _ in range(3):
        side.send("127.0.0.1", port(server))
    sea.settle()
    side.judge.held.callback(None)
    side.send("127.0.0.1", port(server))
    sea.silent(server)


@pytest.mark.parametrize(("size", "sent"), [(1, 200), (30000, 20)])
def test_whatWaitsIsBounded(sea: Sea, side: Side, size: int, sent: int) -> None:
    """Few datagrams, and few octets, wait for a verdict; the first always does."""
    server = sea.socket()
    side.judge.held = Deferred()
    for number in range(sent):
        side.send("127.0.0.1", port(server), bytes([number]) * size)
        sea.watcher.turn(1.0)
    sea.settle()
    side.judge.held.callback(None)
    came = 0
    for number in range(sent):
        try:
            octets = server.recv(1 << 16)
        except BlockingIOError:
            break
        assert octets == bytes([number]) * size
        came += 1
    assert 1 <= came < sent
    assert came * size <= 1 << 17


def test_aFlowThatCouldNotBeRecorded(sea: Sea, side: Side) -> None:
    """
    Without its line in the journal nothing goes out; the next datagram asks
    again.
    """
    server = sea.socket()
    side.judge.failing = [AuditFailed("disk full"), AuditFailed("disk full")]
    for _ in range(2):
        side.send("127.0.0.1", port(server), b"lost")
        sea.silent(server)
    side.send("127.0.0.1", port(server), b"goes")
    assert sea.relayed(server)[0] == b"goes"
    sea.silent(server)
    assert len(side.judge.asked) == 3


def test_anotherFlowWhileOneIsJudged(sea: Sea, side: Side) -> None:
    """A slow verdict (a look-up) holds nobody else up."""
    server, other = sea.socket(), sea.socket()
    slow = side.judge.held = Deferred()
    side.send(b"slow.example", port(server))
    sea.settle()
    side.judge.held = None
    side.open(other)
    side.judge.names["slow.example"] = ["127.0.0.1"]
    slow.callback(None)
    assert sea.relayed(server)[0] == b"ask"


@pytest.mark.parametrize("allowed", [True, False])
def test_theVerdictSoonAfterTheEnd(sea: Sea, side: Side, allowed: bool) -> None:
    """
    A client that sends a datagram and goes has sent it: the verdict is waited
    for, and then all is over.
    """
    server = sea.socket()
    held = side.judge.held = Deferred()
    if not allowed:
        side.judge.denied.add(port(server))
    side.send("127.0.0.1", port(server))
    side.association.end()
    assert side.judge.asked == [("127.0.0.1", port(server))]
    held.callback(None)
    assert side.association.done == [None]
    if allowed:
        assert sea.relayed(server)[0] == b"ask"
    sea.silent(server)
    assert [why for _, why in side.judge.over] == ["closed"] * allowed
    assert side.association.tally.sent == 3 * allowed


def test_noVerdictAfterTheEnd(sea: Sea, side: Side) -> None:
    """
    It is waited for less than a second, in which an association must end; then
    nothing leaves any more.
    """
    server, other = sea.socket(), sea.socket()
    held = side.judge.held = Deferred(lambda _: None)
    side.send("127.0.0.1", port(server))
    sea.settle()
    side.association.end()
    sea.advance(0.75)
    assert side.association.done == [None]
    if not held.called:
        held.callback(None)
    sea.silent(server, other)
    assert side.judge.over == []


def test_outOfDescriptors(
    sea: Sea, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket for a flow: it is lost, and tried again with the next datagram."""
    server = sea.socket()
    made = socket.socket

    def none(*arguments: Any, **more: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", none)
    side.send("127.0.0.1", port(server), b"lost")
    sea.settle()
    monkeypatch.setattr(socket, "socket", made)
    # What it took of the limits is given back.
    assert len(side.judge.lost) == 1
    side.send("127.0.0.1", port(server), b"goes")
    assert sea.relayed(server)[0] == b"goes"


# Bounds.


def test_flowsAreBounded(sea: Sea, side: Side) -> None:
    """As many as the limit, and not one more; that is told once."""
    servers = [sea.socket() for _ in range(MOST + 3)]
    for server in servers[:MOST]:
        side.open(server)
    for server in servers[MOST:]:
        side.send("127.0.0.1", port(server))
    sea.silent(*servers)
    assert len(side.judge.asked) == MOST
    assert side.judge.tooManyOf == [MOST]
    for server in servers[:MOST]:
        side.open(server)


def test_deniedFlowsCountToo(sea: Sea, side: Side) -> None:
    """A scan of closed doors is bounded in what it costs: lines, memory."""
    for number in range(1, 200):
        side.judge.denied.add(number)
        side.send("127.0.0.1", number)
        sea.settle() if number % 50 == 0 else None
    sea.settle()
    assert len(side.judge.asked) == MOST
    assert side.judge.tooManyOf == [MOST]


def test_flowsThatEndedMakeRoom(sea: Sea, side: Side) -> None:
    """The limit is on those that live."""
    servers = [sea.socket() for _ in range(MOST)]
    for server in servers:
        side.open(server)
    for _ in range(6):
        # One of them stays in use.
        sea.advance(IDLE / 4)
        side.open(servers[0])
    assert len(side.judge.over) == MOST - 1
    side.open(sea.socket())


# Replies.


def test_exactReplies(sea: Sea, side: Side) -> None:
    """Only from the address and port that the client has sent to."""
    server, other = sea.socket(), sea.socket()
    elsewhere = sea.socket("127.0.0.2", port(server))
    outer = side.open(server)
    for stranger in (other, elsewhere):
        stranger.sendto(b"stranger", ("127.0.0.1", outer[1]))
    sea.silent(side.socket)
    server.sendto(b"right", ("127.0.0.1", outer[1]))
    octets, _ = sea.relayed(side.socket)
    assert octets == header("127.0.0.1", port(server)) + b"right"
    side.association.end()
    assert side.association.tally.strangers == 2


def test_repliesOfTheAddress(sea: Sea, side: Side) -> None:
    """Any port of the address, with its true source; no other address."""
    side.judge.replies = "address"
    server, other = sea.socket(), sea.socket()
    elsewhere = sea.socket("127.0.0.2", port(server))
    outer = ("127.0.0.1", side.open(server)[1])
    elsewhere.sendto(b"stranger", outer)
    sea.silent(side.socket)
    other.sendto(b"new port", outer)
    octets, _ = sea.relayed(side.socket)
    assert octets == header("127.0.0.1", port(other)) + b"new port"
    side.association.end()
    assert side.association.tally.strangers == 1
    # They count for the flow that let them in.
    assert side.judge.counts == {port(server): (3, 1, 8, 1)}


def test_anybodysReplies(sea: Sea, side: Side) -> None:
    """Full cone: anybody, each with its true source."""
    side.judge.replies = "any"
    server = sea.socket()
    outer = ("127.0.0.1", side.open(server)[1])
    for number in range(2, 5):
        host = f"127.0.0.{number}"
        anybody = sea.socket(host)
        for _ in range(2):
            anybody.sendto(b"hello", outer)
            octets, _ = sea.relayed(side.socket)
            assert octets == header(host, port(anybody)) + b"hello"
    side.association.end()
    assert side.association.tally.strangers == 0


def test_anybodyOfManySources(sea: Sea, side: Side) -> None:
    """More sources than headers are remembered: each still has its own."""
    side.judge.replies = "any"
    outer = ("127.0.0.1", side.open(sea.socket())[1])
    for high in (5, 6):
        for low in range(1, 255, 2):
            sender = sea.socket(f"127.0.{high}.{low}")
            sender.sendto(b"x", outer)
            octets, _ = sea.relayed(side.socket)
            assert octets == header(f"127.0.{high}.{low}", port(sender)) + b"x"


def test_theRuleOfOneFlowIsNotThatOfAnother(sea: Sea, side: Side) -> None:
    """C{address} for one destination lets in no port of another."""
    one, other = sea.socket(), sea.socket("127.0.0.2")
    outer = side.open(one)
    side.judge.replies = "address"
    side.open(other)
    newPort = sea.socket()
    newPort.sendto(b"stranger", ("127.0.0.1", outer[1]))
    sea.silent(side.socket)
    allowed = sea.socket("127.0.0.2")
    allowed.sendto(b"x", ("127.0.0.1", outer[1]))
    octets, _ = sea.relayed(side.socket)
    assert octets == header("127.0.0.2", port(allowed)) + b"x"


def test_anyOfOneFamilyIsNotAnyOfTheOther(sea: Sea, side: Side) -> None:
    """Full cone is where that flow goes out, not the other family's socket."""
    six = sea.socket("::1")
    outer = side.open(six)
    side.judge.replies = "any"
    side.open(sea.socket())
    stranger = sea.socket("::1")
    stranger.sendto(b"stranger", ("::1", outer[1]))
    sea.silent(side.socket)
    six.sendto(b"right", ("::1", outer[1]))
    assert sea.relayed(side.socket)[0] == header("::1", port(six)) + b"right"


@pytest.mark.parametrize("replies", ["address", "any"])
def test_anOpenFlowThatEndedIsShut(sea: Sea, side: Side, replies: str) -> None:
    """What a flow let in ends with it."""
    kept = sea.socket("127.0.0.2")
    side.open(kept)
    side.judge.replies = replies
    server = sea.socket()
    outer = ("127.0.0.1", side.open(server)[1])
    other = sea.socket()
    other.sendto(b"in", outer)
    assert sea.relayed(side.socket)[0].endswith(b"in")
    for _ in range(6):
        sea.advance(IDLE / 4)
        side.open(kept)
    assert [flow.datagram.port for flow, _ in side.judge.over] == [port(server)]
    for sender in (server, other):
        sender.sendto(b"late", outer)
    sea.silent(side.socket)


def test_ofTwoOpenFlowsOneEnds(sea: Sea, side: Side) -> None:
    """The other one still lets in what it did."""
    side.judge.replies = "address"
    one, two = sea.socket(), sea.socket()
    outer = ("127.0.0.1", side.open(one)[1])
    side.open(two)
    for _ in range(6):
        sea.advance(IDLE / 4)
        side.open(one)
    assert len(side.judge.over) == 1
    other = sea.socket()
    other.sendto(b"x", outer)
    assert sea.relayed(side.socket)[0] == header("127.0.0.1", port(other)) + b"x"


def test_twoSpellingsOfOneDestination(sea: Sea, side: Side) -> None:
    """
    A name and the address that it has are two flows; when one of them ends,
    answers still come for the other.
    """
    side.judge.names["server.example"] = ["127.0.0.1"]
    server = sea.socket()
    outer = ("127.0.0.1", side.open(server)[1])
    assert side.open(server, b"server.example")[1] == outer[1]
    for _ in range(6):
        sea.advance(IDLE / 4)
        side.open(server)
    ((ended, why),) = side.judge.over
    assert (ended.datagram.host, why) == ("server.example", "idle")
    server.sendto(b"answer", outer)
    octets, _ = sea.relayed(side.socket)
    assert octets == header("127.0.0.1", port(server)) + b"answer"


# Families and names.


def test_bothFamiliesAndNamesInOneAssociation(sea: Sea, side: Side) -> None:
    """
    IPv4, IPv6 and names; the header of a reply has the address that it came
    from, whatever was asked for.
    """
    side.judge.names["both.example"] = ["::1", "127.0.0.1"]
    four, six = sea.socket(), sea.socket("::1")
    named = sea.socket("::1")
    for server, host, answer in (
        (four, "", "127.0.0.1"),
        (six, "", "::1"),
        (named, b"both.example", "::1"),
    ):
        outer = side.open(server, host)
        server.sendto(b"answer", outer)
        octets, _ = sea.relayed(side.socket)
        assert octets == header(answer, port(server)) + b"answer"


def test_anIpv6ClientReachesIpv4(sea: Sea) -> None:
    """The other way round."""
    side = Side(sea, source="::1", local="::1")
    server = sea.socket()
    outer = side.open(server)
    server.sendto(b"answer", outer)
    octets, _ = sea.relayed(side.socket)
    assert octets == header("127.0.0.1", port(server)) + b"answer"


def test_anIpv4AddressInIpv6Spelling(sea: Sea, side: Side) -> None:
    """::ffff:127.0.0.1 is 127.0.0.1, and is judged as that."""
    server = sea.socket()
    side.send("::ffff:127.0.0.1", port(server))
    assert sea.relayed(server)[0] == b"ask"
    assert side.judge.asked == [("127.0.0.1", port(server))]


# The end of a flow.


def test_anIdleFlowEndsWithItsCounts(sea: Sea, side: Side) -> None:
    """Octets and datagrams each way; the flow in use goes on."""
    quiet, busy = sea.socket(), sea.socket()
    outer = ("127.0.0.1", side.open(quiet)[1])
    for text in (b"12345", b"6"):
        quiet.sendto(text, outer)
        sea.relayed(side.socket)
    for _ in range(3):
        sea.advance(IDLE / 4)
        side.open(busy)
    assert side.judge.over == []
    for _ in range(3):
        sea.advance(IDLE / 4)
        side.open(busy)
    ((flow, why),) = side.judge.over
    assert why == "idle"
    assert side.judge.counts == {port(quiet): (3, 1, 6, 2)}
    assert flow.address is not None
    assert flow.address.text == "127.0.0.1"
    quiet.sendto(b"late", outer)
    sea.silent(side.socket)
    assert not side.association.done


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_eitherDirectionKeepsAFlow(sea: Sea, side: Side, direction: str) -> None:
    """What moves is not idle, whichever way it goes."""
    server = sea.socket()
    outer = ("127.0.0.1", side.open(server)[1])
    for _ in range(12):
        sea.advance(IDLE / 4)
        if direction == "sent":
            side.open(server)
        else:
            server.sendto(b"x", outer)
            sea.relayed(side.socket)
    assert side.judge.over == []
    assert not side.association.done


def test_aFlowThatEndedIsJudgedAnew(sea: Sea, side: Side) -> None:
    """Its next datagram is the first of another one."""
    quiet, busy = sea.socket(), sea.socket()
    side.open(quiet)
    for _ in range(6):
        side.open(busy)
        sea.advance(IDLE / 4)
    side.open(quiet)
    assert side.judge.asked.count(("127.0.0.1", port(quiet))) == 2
    side.association.end()
    ended = [flow.datagram.port for flow, _ in side.judge.over]
    assert sorted(ended) == sorted([port(quiet), port(quiet), port(busy)])


def test_aFlowIsNotIdleWhileItIsJudged(sea: Sea, side: Side) -> None:
    """
    A verdict may take longer than the idle time: the flow is there when it
    comes, and ends with its line like any other.
    """
    server, busy = sea.socket(), sea.socket()
    side.open(busy)
    slow = side.judge.held = Deferred()
    side.send("127.0.0.1", port(server))
    sea.settle()
    side.judge.held = None
    for _ in range(8):
        sea.advance(IDLE / 4)
        side.open(busy)
    slow.callback(None)
    assert sea.relayed(server)[0] == b"ask"
    side.association.end()
    assert {flow.datagram.port for flow, _ in side.judge.over} == {
        port(server),
        port(busy),
    }


@pytest.mark.parametrize("used", [False, True])
def test_anIdleAssociationEnds(sea: Sea, side: Side, used: bool) -> None:
    """Without a datagram for the idle time, and not much later."""
    if used:
        side.open(sea.socket())
    sea.advance(IDLE * 3 / 4)
    assert not side.association.done
    sea.advance(IDLE)
    assert side.association.done == [None]
    assert side.association.tally.reason == "idle"
    assert [why for _, why in side.judge.over] == ["idle"] * used


def test_strangersKeepNoAssociationAlive(sea: Sea, side: Side) -> None:
    """Only what is relayed counts."""
    server, stranger = sea.socket(), sea.socket("127.0.0.7")
    outer = side.open(server)
    for _ in range(8):
        sea.advance(IDLE / 4)
        stranger.sendto(header("127.0.0.1", 9) + b"x", side.association.place)
        stranger.sendto(b"x", ("127.0.0.1", outer[1]))
        sea.settle()
    assert side.association.done == [None]
    assert side.association.tally.reason == "idle"
    assert side.association.tally.strangers >= 8


def test_theTallyIsOfAllFlows(sea: Sea, side: Side) -> None:
    """Those that ended before as well as those cut short."""
    quiet, busy = sea.socket(), sea.socket()
    side.open(quiet)
    for _ in range(6):
        side.open(busy)
        sea.advance(IDLE / 4)
    assert len(side.judge.over) == 1
    side.association.end()
    assert side.association.tally.sent == 3 + 6 * 3
    assert side.association.tally.received == 0


# Limits.


def test_aFlowThatALimitIsInTheWayOf(sea: Sea, side: Side) -> None:
    """
    Its datagrams are dropped, and it is asked for again when one comes after a
    second, not at every one.
    """
    server = sea.socket()
    side.judge.failing = [LimitReached("3 flows per user")]
    for _ in range(5):
        side.send("127.0.0.1", port(server))
    sea.silent(server)
    assert len(side.judge.asked) == 1
    sea.advance(0.9)
    side.send("127.0.0.1", port(server))
    sea.silent(server)
    assert len(side.judge.asked) == 1
    sea.advance(0.2)
    side.open(server)
    assert len(side.judge.asked) == 2


def test_datagramsBeyondTheRate(sea: Sea, side: Side) -> None:
    """They are dropped and counted, both ways."""
    server = sea.socket()
    sending, receiving = (
        Allowance(Allowances(Clock(), lambda: 0.0), [], [Quota(octets)])
        for octets in (6, 11)
    )
    side.judge.bounds = (sending, receiving)
    outer = side.open(server)
    for payload in (b"one", b"two"):
        side.send("127.0.0.1", port(server), payload)
    assert sea.relayed(server)[0] == b"one"
    sea.silent(server)
    for payload in (b"answer", b"more", b"long answer", b"a"):
        server.sendto(payload, outer)
    head = header("127.0.0.1", port(server))
    assert sea.relayed(side.socket)[0] == head + b"answer"
    assert sea.relayed(side.socket)[0] == head + b"more"
    sea.silent(side.socket)
    side.association.end()
    ((flow, _),) = side.judge.over
    assert flow.limited == 3
    assert (flow.sent, flow.received) == (6, 10)


def test_whatIsDroppedIsNotIdle(sea: Sea, side: Side) -> None:
    """A flow whose datagrams are all too many lives on."""
    server = sea.socket()
    side.open(server)
    (flow,) = side.judge.flows.live
    flow.sending = Allowance(Allowances(Clock(), lambda: 0.0), [], [Quota(0)])
    for _ in range(12):
        side.send("127.0.0.1", port(server))
        sea.silent(server)
        sea.advance(IDLE / 4)
    assert side.judge.over == []
    assert flow.limited == 12
