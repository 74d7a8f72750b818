"""
Both questions about a name by one socket.
"""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rdatatype
import pytest

from socksgw.errors import LookupFailed, SocksError
from socksgw.route import pair as pairs
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.pair import Pair
from tests.route.servers import Script, World, Worlds, mute, records

pytestmark = pytest.mark.parametrize("worlds", [True], indirect=True, ids=["pair"])

BOTH = records("192.0.2.1", "2001:db8::1")


def told(answer: Any) -> Any:
    """What is told of an answer."""
    if isinstance(answer, SocksError):
        return type(answer), answer.reason
    return [each.text for each in answer]


def ask(world: World, name: str = "www.example") -> tuple[dict[int, Any], Pair]:
    """Ask; what comes of it will be in the table, by version."""
    found: dict[int, Any] = {}

    def came(version: int, answer: Any) -> None:
        assert version not in found
        found[version] = told(answer)

    pair = world.names.both(name, came)
    world.pump()
    return found, pair


def only(version: int, script: Script = BOTH) -> Script:
    """Answers to one question alone."""
    kind = {4: "A", 6: "AAAA"}[version]

    def answer(query: dns.message.Message) -> dns.message.Message | bytes | None:
        asked = dns.rdatatype.to_text(query.question[0].rdtype)
        return script(query) if asked == kind else None

    return answer


@pytest.fixture
def world(worlds: Worlds) -> World:
    """Two servers, of which the tests here look at each query."""
    made = worlds(BOTH, BOTH)
    for server in made.servers:
        server._pairs = False
    return made


def test_oneSocketAndTwoNumbers(world: World) -> None:
    """IPv6 is asked for first (RFC 8305 section 3)."""
    found, _ = ask(world)
    assert found == {6: ["2001:db8::1"], 4: ["192.0.2.1"]}
    (server, other) = world.servers
    assert server.names == ["www.example AAAA", "www.example A"]
    assert other.names == []
    assert len(set(server.peers)) == 1
    assert len({query.id for query in server.asked}) == 2
    assert world.watch.watched == 0
    assert not world.names.live


@pytest.mark.parametrize("version", [4, 6])
def test_oneIsAnswered(world: World, version: int) -> None:
    """
    It is told at once. The other one is asked again, by a socket of its own: there are
    devices that let one answer through for each port (resolv.conf(5),
    single-request-reopen).
    """
    first, second = world.servers
    first.script, second.script = only(version), mute
    found, _ = ask(world)
    assert list(found) == [version]
    world.advance(1.3)
    assert len(second.names) == 1
    first.script = BOTH
    world.advance(1.3)
    assert set(found) == {4, 6}
    assert first.names[2:] == second.names
    assert first.peers[2] not in first.peers[:2]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (records(), []),
        (records(code=3), (NoSuchName, "no-such-host")),
        (records("www.example. CNAME a.example.", "a.example. A 192.0.2.7"), None),
    ],
    ids=["empty", "no name", "alias"],
)
def test_otherPlainAnswers(world: World, script: Script, expected: Any) -> None:
    """Each is one message there, and one back."""
    world.servers[0].script = script
    found, _ = ask(world)
    if expected is None:
        assert found[4] == ["192.0.2.7"]
    else:
        assert found == {4: expected, 6: expected}
    assert len(world.servers[0].names) == 2


def test_anAnswerToTheOtherQuestion(world: World) -> None:
    """The number alone does not make it one."""
    asked: list[dns.message.Message] = []

    def crossed(query: dns.message.Message) -> dns.message.Message | bytes | None:
        asked.append(query)
        if len(asked) < 2:
            return None
        # To the second query, with the first one's number.
        answer = BOTH(query)
        assert isinstance(answer, dns.message.Message)
        answer.id = asked[0].id
        return answer

    world.servers[0].script = crossed
    found, _ = ask(world)
    assert found == {}
    world.advance(1.3)
    assert found == {6: ["2001:db8::1"], 4: ["192.0.2.1"]}
    assert len(world.servers[1].names) == 2


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("late", [False, True])
def test_oneIsCancelled(world: World, version: int, late: bool) -> None:
    """The other one goes on."""
    for server in world.servers:
        server.script = mute
    found, pair = ask(world)
    if late:
        world.advance(1.3)
    pair.cancel(version)
    cancelled = (LookupFailed, "lookup-failed")
    assert found == {version: cancelled}
    pair.cancel(version)
    other = 10 - version
    for server in world.servers:
        server.script = only(other)
    world.advance(2.6)
    assert found[other] == told_(other)
    # What is left are the probes of those that were mute, and then nothing.
    world.advance(1.5)
    assert world.watch.watched == 0


def told_(version: int) -> list[str]:
    """What the servers have of a version."""
    return {4: ["192.0.2.1"], 6: ["2001:db8::1"]}[version]


def test_theGatewayStops(world: World) -> None:
    """Both fail; the fixture looks for what is left."""
    world.servers[0].script = mute
    found, _ = ask(world)
    world.names.stop()
    cancelled = (LookupFailed, "lookup-failed")
    assert found == {4: cancelled, 6: cancelled}


def test_twoEqualNumbers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not tell the answers apart: each question has its own socket."""
    monkeypatch.setattr(pairs, "token_bytes", lambda _: b"abab")
    found, _ = ask(world)
    assert found == {6: ["2001:db8::1"], 4: ["192.0.2.1"]}
    assert len(set(world.servers[0].peers)) == 2


def test_apart(worlds: Worlds) -> None:
    """resolv.conf(5), single-request: no two by one socket."""
    world = worlds(BOTH, single=True)
    world.servers[0]._pairs = False
    found, _ = ask(world)
    assert found == {6: ["2001:db8::1"], 4: ["192.0.2.1"]}
    assert len(set(world.servers[0].peers)) == 2
