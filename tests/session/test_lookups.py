"""
RESOLVE and RESOLVE_PTR in a session: real octets and the real policy; resolver,
journal's disk and relay are the test's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.config.schema import Limit, Times
from socksgw.errors import LookupFailed, Revoked, SocksError
from socksgw.policy.decision import Policy
from socksgw.session.stage import Stage
from socksgw.wire.address import Address
from tests.fakes.gateway import Gateway, Transport, well
from tests.fakes.policy import PUBLIC, PUBLIC6, ruleset
from tests.fakes.resolver import Names

RULES = """
[[rule]]
id = "look-up"
allow = ["resolve"]
[[rule]]
id = "reach"
allow = ["connect"]
to = ["8.8.0.0/16", "2620:fe::/48"]
"""
GREETING = b"\x05\x01\x00"
OK = b"\x05\x00"


def resolve5(host: str | bytes, command: int = 0xF0) -> bytes:
    """Tor's extension: a request of SOCKS 5 with CMD F0 or F1; the port is a dummy."""
    if isinstance(host, bytes):
        where = b"\x03" + bytes([len(host)]) + host
    else:
        packed = Address.parse(host).packed
        where = (b"\x01" if len(packed) == 4 else b"\x04") + packed
    return GREETING + bytes([5, command, 0]) + where + b"\0\x2a"


def resolve4a(name: bytes, command: int = 0xF0) -> bytes:
    """The same in SOCKS 4a."""
    return b"\x04" + bytes([command]) + b"\0\x2a\0\0\0\x01\0" + name + b"\0"


def replied5(code: int, place: bytes = b"\x01" + bytes(4), port: int = 0) -> bytes:
    """RFC 1928 section 6."""
    return OK + bytes([5, code, 0]) + place + port.to_bytes(2, "big")


class World(Gateway):
    """A gateway with a real policy."""

    def __init__(self, rules: str = RULES) -> None:
        super().__init__()
        self.names = Names()
        self.generation.policy = Policy(ruleset(rules), self.names)
        self.generation.namesOf = lambda _: self.names.nameOf

    def ask(self, octets: bytes) -> bytes:
        """Everything that a client which says this is sent."""
        transport: Transport = self.connect(octets)
        sent: bytes = transport.value()
        transport.lost()
        return sent


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    well(made)


def test_resolve(world: World) -> None:
    """The address in the reply, port 0, then the end; recorded as answered."""
    world.names.addresses["good.example"] = [PUBLIC6, PUBLIC]
    four = Address.parse(PUBLIC).packed
    # IPv4, which every client takes.
    assert world.ask(resolve5(b"good.example")) == replied5(0, b"\x01" + four)
    assert world.ask(resolve4a(b"good.example")) == b"\0\x5a\0\0" + four
    assert world.ask(resolve5(PUBLIC)) == replied5(0, b"\x01" + four)
    assert world.names.asked == ["good.example"] * 2
    decisions = world.lines("decision")
    assert {(x["command"], x["verdict"], x["rule"]) for x in decisions} == {
        ("resolve", "allow", "look-up")
    }
    assert [x["reason"] for x in world.lines("end")] == ["answered"] * 3
    assert "dial" not in world.order


def test_resolveIpv6Only(world: World) -> None:
    """Where the name has nothing else."""
    world.names.addresses["six.example"] = [PUBLIC6]
    six = b"\x04" + Address.parse(PUBLIC6).packed
    assert world.ask(resolve5(b"six.example")) == replied5(0, six)


def test_resolveIpv6OnlyInSocks4a(world: World) -> None:
    """SOCKS 4 can say no IPv6 address: 91."""
    world.names.addresses["six.example"] = [PUBLIC6]
    assert world.ask(resolve4a(b"six.example")) == b"\0\x5b" + bytes(6)


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["10.0.0.1"], ["1.1.1.1", "::1"]])
def test_resolveWhatCannotBeReached(world: World, answers: list[str]) -> None:
    """What the policy would never let the client reach is not told: 02, 91."""
    world.names.addresses["inside.example"] = answers
    assert world.ask(resolve5(b"inside.example")) == replied5(2)
    assert world.ask(resolve4a(b"inside.example")) == b"\0\x5b" + bytes(6)
    assert {x["verdict"] for x in world.lines("decision")} == {"deny"}
    world.names.addresses["mixed.example"] = [*answers, PUBLIC]
    four = b"\x01" + Address.parse(PUBLIC).packed
    assert world.ask(resolve5(b"mixed.example")) == replied5(0, four)


def test_anAddressThatResolveGaveMeetsARuleByName() -> None:
    """The record says which name it was, where that makes a difference."""
    world = World(BY_NAME)
    world.names.addresses["good.example"] = ["8.8.8.8"]
    world.names.addresses["fine.example"] = ["8.8.4.4"]
    assert world.ask(connect5("8.8.8.8")) == replied5(2)
    world.ask(resolve5(b"good.example"))
    world.ask(resolve5(b"fine.example"))
    assert world.ask(connect5("8.8.8.8")) == replied5(2)
    world.ask(connect5("8.8.4.4"))
    hints: list[Any] = [line.get("hint") for line in world.lines("decision")]
    assert [hint is not None for hint in hints] == [False, False, False, True, False]
    assert 'good.example, which rule "by name" allows by name' in hints[3]
    well(world)


@pytest.mark.parametrize("command", [0x01, 0x02, 0xF0])
def test_newSessionsAreCountedBeforeTheLookUp(command: int) -> None:
    """A flood of names is not looked up; the record says which limit it was."""
    rules = BY_NAME.replace("allow = [", 'allow = ["bind", ')
    world = World(rules.replace('"bind", "resolve"', '"resolve"'))
    world.limits.apply([Limit("source", new_sessions=Times(2))], ())
    for number in range(5):
        world.ask(resolve5(b"n%d.example" % number, command))
    assert world.names.asked == ["n0.example", "n1.example"]
    lines = world.lines("decision")
    assert [line["rule"] for line in lines[2:]] == ["limit"] * 3
    assert lines[2]["why"] == "2 new sessions per second per source"
    # What no rule could allow is not counted.
    assert world.ask(connect5(b"bad.example")) == replied5(2)
    well(world)


@pytest.mark.parametrize("allow", ['"any"', '["connect", "udp", "bind"]'])
def test_resolveIsOffUnlessNamed(allow: str) -> None:
    """C{"any"} does not name it; nothing is looked up."""
    world = World(f'[[rule]]\nid = "all"\nallow = {allow}\n')
    world.names.addresses["good.example"] = [PUBLIC]
    world.names.names[PUBLIC] = "good.example"
    assert world.ask(resolve5(b"good.example")) == replied5(2)
    assert world.ask(resolve5(PUBLIC, 0xF1)) == replied5(2)
    assert world.ask(resolve4a(b"good.example")) == b"\0\x5b" + bytes(6)
    assert world.names.asked == []
    well(world)


@pytest.mark.parametrize(
    ("name", "code"),
    [(b"none.example", 4), (b"127.1", 1), (b"not a name", 1), (b"", 1)],
)
def test_resolveWhatIsNone(world: World, name: bytes, code: int) -> None:
    """A name that does not exist; what is no name at all."""
    assert world.ask(resolve5(name)) == replied5(code)


def test_theAnswersRuleCounts() -> None:
    """SOCKS 4 is told the second address: by its rule, with its ticket."""
    world = World(
        '[[rule]]\nid = "six"\nallow = "any"\nto = ["2620:fe::/48"]\n'
        '[[rule]]\nid = "look6"\nallow = ["resolve"]\nto = ["2620:fe::/48"]\n'
        '[[rule]]\nid = "four"\nallow = "any"\nto = ["8.8.0.0/16"]\n'
        '[[rule]]\nid = "look4"\nallow = ["resolve"]\nticket = "T-4"\n'
    )
    world.names.addresses["good.example"] = [PUBLIC6, PUBLIC]
    packed = Address.parse(PUBLIC).packed
    assert world.ask(resolve4a(b"good.example")) == b"\0\x5a\0\0" + packed
    (line,) = world.lines("decision")
    assert line["rules"] == ["look6", "look4"]
    (end,) = world.lines("end")
    assert (end["rule"], end["ticket"]) == ("look4", "T-4")
    well(world)


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC6])
def test_resolvePtr(world: World, address: str) -> None:
    """The name as ATYP 03, port 0, then the end."""
    world.names.names[address] = "host.example"
    assert world.ask(resolve5(address, 0xF1)) == replied5(0, b"\x03\x0chost.example")
    assert [x["reason"] for x in world.lines("end")] == ["answered"]


@pytest.mark.parametrize("name", [b"good.example", b"not a name", b"", b"0x7f.1"])
def test_resolvePtrOfAName(world: World, name: bytes) -> None:
    """08, and nothing is looked up."""
    assert world.ask(resolve5(name, 0xF1)) == replied5(8)
    assert world.names.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "1.1.1.1"])
def test_resolvePtrOfWhatCannotBeReached(world: World, address: str) -> None:
    """02, and nothing is looked up."""
    world.names.names[address] = "inside.example"
    assert world.ask(resolve5(address, 0xF1)) == replied5(2)
    assert world.names.asked == []


def test_resolvePtrCanBeRevoked(world: World) -> None:
    """While the name is looked up, the session lives on what the policy said."""

    async def nameOf(*_: Any) -> str:
        return await Deferred[str]()

    world.generation.namesOf = lambda _: nameOf
    transport = world.connect(resolve5(PUBLIC, 0xF1))
    (session,) = world.sessions
    assert session.stage is Stage.ROUTE
    denying = ruleset('[[rule]]\nid = "none"\ndeny = "any"\n')
    assert not session.command.again(session, denying).allowed
    session.client.end(Revoked("no longer"))
    assert transport.value() == replied5(2)
    assert world.lines("end")[0]["reason"] == "revoked"


def test_resolvePtrWithoutAName(world: World) -> None:
    """04."""
    assert world.ask(resolve5(PUBLIC, 0xF1)) == replied5(4)


def test_resolvePtrInSocks4(world: World) -> None:
    """There is none: 91."""
    request = b"\x04\xf1\0\x2a\x08\x08\x08\x08\0"
    assert world.ask(request) == b"\0\x5b" + bytes(6)
    assert world.ask(resolve4a(b"8.8.8.8", 0xF1)) == b"\0\x5b" + bytes(6)


@pytest.mark.parametrize("failure", [SocksError("x"), LookupFailed("x")])
def test_aFailureAfterTheDecisionHasItsEnd(world: World, failure: SocksError) -> None:
    """The session was allowed, so its end is in the journal, with the reply."""

    async def failing(*_: Any) -> str:
        raise failure

    world.generation.namesOf = lambda _: failing
    assert world.ask(resolve5(PUBLIC, 0xF1)) == replied5(int(failure.reply or 0))
    (end,) = world.lines("end")
    assert end["reply"] == failure.reply


def connect5(host: str | bytes) -> bytes:
    """A CONNECT to port 42."""
    return resolve5(host, 1)


BY_NAME = """
[[rule]]
id = "look-up"
allow = ["resolve"]
[[rule]]
id = "bad"
deny = ["connect"]
to = ["=bad.example"]
[[rule]]
id = "by name"
allow = ["connect"]
to = [".example"]
[[rule]]
id = "by address"
allow = ["connect"]
to = ["8.8.4.4"]
"""
