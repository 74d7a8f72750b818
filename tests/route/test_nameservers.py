"""
Name servers: which to ask next, and which rest. The servers are sockets on
loopback, the clock is not real.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from twisted.internet.defer import CancelledError

from socksgw.errors import LookupFailed
from socksgw.route.nameserver import parseServer
from tests.route.servers import (
    Script,
    Worlds,
    mute,
    reason,
    records,
)

# One server after another.


@pytest.mark.parametrize(
    "script",
    [
        records(code=2),
        records(code=4),
        records(code=5),
        records(flags=0),
        lambda query: query.id.to_bytes(2, "big") + b"\x81\x80" + b"\xff" * 20,
        lambda query: query.id.to_bytes(2, "big") + b"\x81\x80\0\1\0\1" + b"\xff" * 9,
    ],
    ids=["SERVFAIL", "NOTIMP", "REFUSED", "referral", "questions", "garbage"],
)
def test_aServerThatFailsIsFollowedByTheNext(worlds: Worlds, script: Script) -> None:
    """At once; and when all fail so does the look-up, with what they said."""
    world = worlds(script, records("192.0.2.1"))
    assert world.ask()[0] == [["192.0.2.1"]]
    # It answers: it does not rest.
    world.ask()
    assert len(world.servers[0].names) >= 2
    world = worlds(script, script)
    assert reason(world.ask()[0]) == "lookup-failed"


def test_aServerThatDoesNotAnswerIsFollowedByTheNext(worlds: Worlds) -> None:
    """After a second."""
    world = worlds(mute, records("192.0.2.1"))
    found, _ = world.ask()
    world.advance(0.9)
    assert found == []
    world.advance(0.2)
    assert found == [["192.0.2.1"]]


def test_aServerThatIsSlowMayStillAnswer(worlds: Worlds) -> None:
    """A name that nobody has at hand takes its time."""
    world = worlds(mute, mute)
    found, _ = world.ask()
    world.advance(1.5)
    slow = world.servers[0]
    answer = records("192.0.2.1")(slow.asked[0])
    assert isinstance(answer, dns.message.Message)
    slow.socket.sendto(answer.to_wire(), slow.peers[0])
    world.pump()
    assert found == [["192.0.2.1"]]


def test_nobodyAnswers(worlds: Worlds) -> None:
    """The look-up's time is up."""
    world = worlds(mute, mute)
    found, _ = world.ask()
    world.advance(4.8)
    assert found == []
    world.advance(0.3)
    assert reason(found) == "lookup-timeout"
    assert [len(server.names) for server in world.servers] == [2, 2]


def test_aQuestionHasOneSocketForEachServer(worlds: Worlds) -> None:
    """However often it is asked again."""
    world = worlds(mute, mute)
    world.ask()
    world.advance(4.5)
    # The probes are over. A pair that nobody answers is two questions.
    assert world.watch.watched == (4 if world.pairs else 2)


def test_aServerThatIsNotThereIsFollowedByTheNext(worlds: Worlds) -> None:
    """ICMP says so, and it rests."""
    world = worlds(mute, records("192.0.2.1"))
    world.servers[0].socket.close()
    found, _ = world.ask()
    assert found == [["192.0.2.1"]]
    assert [s.resting is not None for s in world.names._servers] == [True, False]
    world = worlds(mute)
    world.servers[0].socket.close()
    assert reason(world.ask()[0]) == "lookup-failed"


def test_whoIsCancelledLeavesNothing(worlds: Worlds) -> None:
    """No socket, no timer (the fixture looks)."""
    world = worlds(mute, mute)
    found, asked = world.ask()
    world.advance(1.2)
    asked.cancel()
    assert isinstance(found[0], LookupFailed if world.pairs else CancelledError)
    # The probe's second, and what a deadline may come late.
    world.advance(1.3)
    assert world.watch.watched == 0


# Who rests.


def test_aDeadServerRests(worlds: Worlds) -> None:
    """It costs the first names their second, and the next ones nothing."""
    world = worlds(mute, records("192.0.2.1"))
    world.ask()
    world.advance(2.5)
    dead, alive = world.servers
    assert dead.probes == 1
    before = len(dead.names)
    for number in range(10):
        assert world.ask(f"n{number}.example")[0] == [["192.0.2.1"]]
    assert len(dead.names) == before
    assert alive.probes == 0


def test_aServerThatComesBackIsTheFirstAgain(worlds: Worlds) -> None:
    """It is probed while others are asked: nobody waits for it."""
    world = worlds(mute, records("192.0.2.1"))
    world.ask()
    world.advance(2.5)
    dead, _ = world.servers
    world.advance(11)
    assert world.ask("a.example")[0] == [["192.0.2.1"]]
    assert dead.probes == 2
    world.advance(2)
    dead.script = records("192.0.2.9")
    assert world.ask("b.example")[0] == [["192.0.2.1"]]
    assert dead.probes == 2
    world.advance(11)
    assert world.ask("c.example")[0] == [["192.0.2.1"]]
    assert dead.probes == 3
    assert world.ask("d.example")[0] == [["192.0.2.9"]]


def test_aNameThatNobodyKnowsAnythingOfMakesNoServerRest(worlds: Worlds) -> None:
    """Whoever asks for such names decides nothing for others."""

    def deaf(query: dns.message.Message) -> dns.message.Message | bytes | None:
        muted = query.question[0].name.to_text().startswith("m")
        return None if muted else records("192.0.2.1")(query)

    world = worlds(deaf, deaf)
    for number in range(5):
        world.ask(f"m{number}.example")
    world.advance(6)
    first, second = world.servers
    assert first.probes >= 1
    assert all(s.resting is None for s in world.names._servers)
    world.ask("www.example")
    assert "www.example A" in first.names
    assert "www.example A" not in second.names


def test_allServersRest(worlds: Worlds) -> None:
    """They are asked all the same: there are no others."""
    world = worlds(mute, mute)
    world.ask()
    world.advance(6)
    assert all(s.resting is not None for s in world.names._servers)
    for server in world.servers:
        server.script = records("192.0.2.1")
    assert world.ask()[0] == [["192.0.2.1"]]


def test_serversTakeTurns(worlds: Worlds) -> None:
    """resolv.conf(5), rotate."""
    world = worlds(records("192.0.2.1"), records("192.0.2.2"), rotate=True)
    for number in range(4):
        world.ask(f"n{number}.example")
    assert [len(server.names) for server in world.servers] == [2, 2]


# EDNS (RFC 6891 section 7).


def test_aServerWithoutEDNSIsAskedWithoutIt(worlds: Worlds) -> None:
    """And from then on at once."""

    def old(query: dns.message.Message) -> dns.message.Message | bytes | None:
        if query.edns >= 0:
            answer = dns.message.make_response(query)
            answer.use_edns(False)
            answer.set_rcode(dns.rcode.FORMERR)
            return answer
        return records("192.0.2.1")(query)

    world = worlds(old)
    for _ in range(2):
        assert world.ask()[0] == [["192.0.2.1"]]
    assert [query.edns for query in world.servers[0].asked] == [0, -1, -1]


def test_whereEDNSIsDroppedItIsLeftOut(worlds: Worlds) -> None:
    """The second time that a server is asked."""

    def strict(query: dns.message.Message) -> dns.message.Message | bytes | None:
        return None if query.edns >= 0 else records("192.0.2.1")(query)

    world = worlds(strict)
    found, _ = world.ask()
    world.advance(1.1)
    assert found == [["192.0.2.1"]]


# What a server's address is.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("9.9.9.9:5353", ("9.9.9.9", 5353)),
        ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]:5353", ("2620:fe::fe", 5353)),
    ],
)
def test_aServersAddress(text: str, expected: tuple[str, int]) -> None:
    """An address, or one with a port."""
    assert parseServer(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns",
        "dns:53",
        "9.9.9.9:",
        "9.9.9.9:0",
        "9.9.9.9:65536",
        "9.9.9.9:x",
        "[::1",
        "[::1]53",
        "[::1]:",
        "::1]",
        "[]",
        "9.9.9",
        "9.9.9.9:53:53",
    ],
)
def test_whatIsNoServersAddress(text: str) -> None:
    """Everything else."""
    with pytest.raises(ValueError):
        parseServer(text)
