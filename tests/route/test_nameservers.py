"""
Name servers: whom to ask next, what is an answer, and who rests. The servers
are sockets on loopback, the clock is not real.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

from socksgw.errors import LookupFailed
from socksgw.route import dnsmessages
from socksgw.route.dnsmessages import LONGEST
from socksgw.route.nameservers import NameServers, ServerSettings, parseServer
from socksgw.system.watch import Watch
from socksgw.wire.address import Address

#: From a query to its response; None for no response.
Script = Callable[[dns.message.Message], dns.message.Message | bytes | None]


def mute(query: dns.message.Message) -> None:
    """Answers nothing."""


def records(*texts: str, code: int = 0, flags: int = dns.flags.RA) -> Script:
    """
    Answers with these of the type that is asked for.

    @param texts: addresses, or a type with the rest.
    """

    def script(query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= flags
        answer.set_rcode(dns.rcode.Rcode(code))
        (asked,) = query.question
        kind = dns.rdatatype.to_text(asked.rdtype)
        for text in texts:
            if " " in text:
                owner, its, content = text.split()
            else:
                owner, its = asked.name.to_text(), "AAAA" if ":" in text else "A"
                content = text
            if its in (kind, "CNAME"):
                new = dns.rrset.from_text(owner, 60, "IN", its, content)
                same = next(
                    (r for r in answer.answer if r.match(new.name, 1, new.rdtype, 0)),
                    None,
                )
                if same is None:
                    answer.answer.append(new)
                else:
                    same.update(new)
        return answer

    return script


#: What servers read queries with, whatever a test puts in its place.
_query = dns.message.from_wire


class Server:
    """
    One name server.

    @ivar asked: every query.
    @ivar peers: where they came from.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[dns.message.Message] = []
        self.peers: list[Any] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    @property
    def names(self) -> list[str]:
        """The names and types that clients asked for: no probes."""
        return [
            q.question[0].to_text().replace(". IN", "")
            for q in self.asked
            if len(q.question[0].name) > 1
        ]

    @property
    def probes(self) -> int:
        """How often it was asked whether it is there."""
        return len(self.asked) - len(self.names)

    def serve(self) -> bool:
        """Answer what has come."""
        try:
            octets, peer = self.socket.recvfrom(4096)
        except (BlockingIOError, OSError):
            return False
        query = _query(octets)
        self.asked.append(query)
        self.peers.append(peer)
        response = self.script(query)
        if isinstance(response, dns.message.Message):
            response = response.to_wire()
        if response is not None:
            self.socket.sendto(response, peer)
        return True


class World:
    """Servers, and who asks them."""

    def __init__(self, *scripts: Script, **settings: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.watch = Watch(self.reactor)
        self.servers = [Server(script) for script in scripts]
        places = tuple(server.socket.getsockname() for server in self.servers)
        self.names = NameServers(
            self.reactor, self.watch, ServerSettings(places, **settings), 5.0
        )

    def ask(
        self, name: str = "www.example", version: int = 4
    ) -> tuple[list[Any], Deferred[Any]]:
        """Ask; what comes of it will be in the list."""
        return self.collect(self.names.addresses(name, version))

    def collect(self, asked: Deferred[Any]) -> tuple[list[Any], Deferred[Any]]:
        found: list[Any] = []
        asked.addCallbacks(
            lambda result: found.append(
                [a.text for a in result] if isinstance(result, list) else result
            ),
            lambda failure: found.append(failure.value),
        )
        self.pump()
        return found, asked

    def pump(self) -> None:
        """Let everybody read what has come."""
        quiet = 0
        while quiet < 2:
            quiet += 1
            for server in self.servers:
                if server.serve():
                    quiet = 0
            self.watch.doRead()
            self.reactor.advance(0)

    def advance(self, seconds: float) -> None:
        """Time goes on, in steps of a tenth."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            self.pump()

    def close(self) -> None:
        self.names.stop()
        for server in self.servers:
            server.socket.close()
        assert self.watch.watched == 0
        assert not self.reactor.getDelayedCalls()
        self.watch._epoll.close()


Worlds = Callable[..., World]


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    """Makes them; nothing is left of one at the end."""
    made: list[World] = []

    def make(*scripts: Script, **settings: Any) -> World:
        made.append(World(*scripts, **settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


def reason(found: list[Any]) -> str:
    """Why there is no answer."""
    (error,) = found
    assert isinstance(error, LookupFailed)
    return error.reason


# What is asked and answered.


def test_aNameHasItsAddresses(worlds: Worlds) -> None:
    """Each once, and of the wanted version alone."""
    world = worlds(
        records("192.0.2.2", "192.0.2.1", "192.0.2.2", "2001:db8::1"), edns=True
    )
    assert [sorted(found) for found in world.ask()[0]] == [["192.0.2.1", "192.0.2.2"]]
    assert world.ask(version=6)[0] == [["2001:db8::1"]]
    (server,) = world.servers
    assert server.names == ["www.example A", "www.example AAAA"]
    for query in server.asked:
        assert query.flags & dns.flags.RD
        assert (query.edns, query.payload) == (0, 1232)


def test_aliasesAreFollowed(worlds: Worlds) -> None:
    """Within the answer (RFC 1034 section 3.6.2)."""
    world = worlds(records("www.example. CNAME a.example.", "a.example. A 192.0.2.1"))
    assert world.ask()[0] == [["192.0.2.1"]]


def test_aRecordOfAnotherNameIsNoAnswer(worlds: Worlds) -> None:
    """Whatever a server adds."""
    world = worlds(records("other.example. A 192.0.2.66"))
    assert world.ask()[0] == [[]]


def test_aliasesInACircleAreNoAnswer(worlds: Worlds) -> None:
    """They end."""
    world = worlds(records("www.example. CNAME www.example."))
    assert reason(world.ask()[0]) == "lookup-failed"


def test_noSuchName(worlds: Worlds) -> None:
    """Final: no other server is asked."""
    world = worlds(records(code=3), mute)
    assert reason(world.ask()[0]) == "no-such-host"
    assert world.servers[1].asked == []


def test_theNameOfAnAddress(worlds: Worlds) -> None:
    """A PTR record (RFC 1035 section 3.3.12)."""
    world = worlds(records("1.2.0.192.in-addr.arpa. PTR www.example."))
    asked = world.names.pointer(Address.parse("192.0.2.1"))
    assert world.collect(asked)[0] == ["www.example."]
    asked = world.names.pointer(Address.parse("2001:db8::1"))
    assert reason(world.collect(asked)[0]) == "no-such-host"
    assert world.servers[0].names[1].endswith("8.b.d.0.1.0.0.2.ip6.arpa PTR")


def test_whatStandsBehindAnAnswerIsNotParsed(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns a name decides how much that is."""
    parsed: list[dns.message.Message] = []
    real = dns.message.from_wire

    def parse(octets: bytes, **options: Any) -> dns.message.Message:
        parsed.append(real(octets, **options))
        return parsed[-1]

    def stuffed(query: dns.message.Message) -> bytes:
        named = query.question[0].name.to_text().startswith("www")
        answer = records(*(["192.0.2.1"] if named else []))(query)
        assert isinstance(answer, dns.message.Message)
        for section in (answer.authority, answer.additional):
            for number in range(60):
                owner = f"n{number}.example."
                section.append(dns.rrset.from_text(owner, 60, "IN", "NS", owner))
        return answer.to_wire(max_size=65535)

    world = worlds(stuffed)
    monkeypatch.setattr(dns.message, "from_wire", parse)
    assert world.ask("www.example")[0] == [["192.0.2.1"]]
    assert world.ask("none.example")[0] == [[]]
    sizes = [len(each.authority) + len(each.additional) for each in parsed]
    assert sizes == [0, dnsmessages._OTHERS]


# What is no answer (RFC 5452).


def forged(change: Callable[[dns.message.Message], object]) -> Script:
    def script(query: dns.message.Message) -> dns.message.Message:
        answer = records("192.0.2.66")(query)
        assert isinstance(answer, dns.message.Message)
        change(answer)
        return answer

    return script


def rename(answer: dns.message.Message) -> None:
    answer.question = [dns.rrset.from_text("other.example.", 0, "IN", "A")]


def retype(answer: dns.message.Message) -> None:
    answer.question = [dns.rrset.from_text("www.example.", 0, "IN", "AAAA")]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: setattr(answer, "id", answer.id ^ 1),
        lambda answer: setattr(answer, "flags", answer.flags & ~dns.flags.QR),
        lambda answer: answer.set_opcode(dns.opcode.NOTIFY),
        rename,
        retype,
    ],
    ids=["id", "query", "opcode", "name", "type"],
)
def test_anAnswerToAnotherQuestionIsNone(
    worlds: Worlds, change: Callable[[dns.message.Message], object]
) -> None:
    """It is waited on; the right one counts when it comes."""
    world = worlds(forged(change))
    found, _ = world.ask()
    assert found == []
    (server,) = world.servers
    good = records("192.0.2.1")(server.asked[0])
    assert isinstance(good, dns.message.Message)
    server.socket.sendto(good.to_wire(), server.peers[0])
    world.pump()
    assert found == [["192.0.2.1"]]


def test_anAnswerFromAnotherPlaceIsNone(worlds: Worlds) -> None:
    """Another port of the same address: the kernel keeps it away."""
    world = worlds(mute)
    found, _ = world.ask()
    (server,) = world.servers
    answer = records("192.0.2.66")(server.asked[0])
    assert isinstance(answer, dns.message.Message)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(answer.to_wire(), server.peers[0])
        world.pump()
        assert found == []


def test_eachQuestionHasItsOwnPortAndIdentifier(worlds: Worlds) -> None:
    """Both would have to be guessed."""
    world = worlds(mute)
    for number in range(20):
        world.ask(f"n{number}.example")
    (server,) = world.servers
    assert len({port for _, port in server.peers}) == 20
    assert len({query.id for query in server.asked}) > 15
    steps = {b[1] - a[1] for a, b in zip(server.peers, server.peers[1:], strict=False)}
    assert len(steps) > 10, "ports come in a row"


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
    # The probes are over.
    assert world.watch.watched == 2


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
    assert isinstance(found[0], CancelledError)
    # The probe's second.
    world.advance(1)
    assert world.watch.watched == 0


# Who rests.


def test_aDeadServerRests(worlds: Worlds) -> None:
    """It costs the first names their second, and the next ones nothing."""
    world = worlds(mute, records("192.0.2.1"))
    world.ask()
    world.advance(2.2)
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
    world.advance(2.2)
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


# TCP (RFC 7766).


def cut(query: dns.message.Message) -> dns.message.Message:
    answer = records("192.0.2.1")(query)
    assert isinstance(answer, dns.message.Message)
    answer.flags |= dns.flags.TC
    return answer


class Connection:
    """The TCP connection that was made last."""

    def __init__(self, world: World) -> None:
        host, port, factory, _, _ = world.reactor.tcpClients[-1]
        assert (host, port) == world.servers[0].socket.getsockname()
        self.transport = StringTransport()
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, Protocol)
        self.protocol: Any = protocol
        protocol.makeConnection(self.transport)
        sent = self.transport.value()
        assert len(sent) == 2 + int.from_bytes(sent[:2], "big")
        self.query = dns.message.from_wire(sent[2:])

    def send(self, octets: bytes, length: int | None = None) -> None:
        length = len(octets) if length is None else length
        self.protocol.dataReceived(length.to_bytes(2, "big") + octets)


def test_aTruncatedAnswerIsReadOverTCP(worlds: Worlds) -> None:
    """Whole, in pieces, and the connection is ended."""
    world = worlds(cut)
    found, _ = world.ask()
    assert found == []
    tcp = Connection(world)
    answer = records(*(f"192.0.2.{number}" for number in range(100)))(tcp.query)
    assert isinstance(answer, dns.message.Message)
    octets = answer.to_wire(max_size=65535)
    tcp.send(octets[:10], len(octets))
    for at in range(10, len(octets), 500):
        assert found == []
        tcp.protocol.dataReceived(octets[at : at + 500])
    assert len(found[0]) == dnsmessages._RECORDS
    assert world.reactor.connectors[-1]._disconnected


def test_tcpFromTheStart(worlds: Worlds) -> None:
    """resolv.conf(5), use-vc."""
    world = worlds(mute, stream=True)
    found, _ = world.ask()
    tcp = Connection(world)
    answer = records("192.0.2.1")(tcp.query)
    assert isinstance(answer, dns.message.Message)
    tcp.send(answer.to_wire())
    assert found == [["192.0.2.1"]]
    assert world.servers[0].asked == []


@pytest.mark.parametrize("how", ["refused", "lost", "long"])
def test_whereTCPFailsTheNextServerIsAsked(worlds: Worlds, how: str) -> None:
    """Also when it would send more than is read."""
    world = worlds(cut, records("192.0.2.2"))
    found, _ = world.ask()
    factory = world.reactor.tcpClients[-1][2]
    if how == "refused":
        factory.clientConnectionFailed(None, None)
    else:
        tcp = Connection(world)
        if how == "long":
            tcp.send(b"", LONGEST + 1)
        else:
            tcp.protocol.connectionLost(None)
    world.pump()
    assert found == [["192.0.2.2"]]


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
