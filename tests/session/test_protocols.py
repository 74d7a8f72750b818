"""
A session does not know which protocol it serves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import socksgw
from socksgw.accept.layers import Client, Upwards
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from socksgw.session.commands import _COMMANDS
from socksgw.system.connection import Connection
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Event, Requested
from socksgw.wire.given import GivenConversation
from socksgw.wire.reader import Reader
from socksgw.wire.server import DIALECTS
from socksgw.wire.transparent import connection
from tests.fakes.gateway import (
    BOUND,
    TARGET,
    USERPASS,
    Gateway,
    answer,
    option6,
    request6,
    well,
)

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

#: Where protocols are not told apart.
NEUTRAL = (
    *("accept", "negotiate", "login", "policy", "route", "relay"),
    *("session", "limits", "gateway"),
)
#: Where the protocol of an upstream is read off its URL: no session's.
UPSTREAMS = (
    "upstreamclients.py", "carrying.py", "identities.py", "passing.py", "upstreams.py"
)  # fmt: skip
#: What people are told to say to their programs.
ADVICE = re.compile(
    r'socks5(h|-gssapi|\+tls)|SOCKS5(Username|Password)|SOCKS 4a, remote DNS|"socks5", "http"'
)


@pytest.mark.parametrize("folder", NEUTRAL)
def test_noProtocolIsNamed(folder: str) -> None:
    """No version, and no name of one, in what does not depend on it."""
    for path in (Path(socksgw.__path__[0]) / folder).rglob("*.py"):
        if folder == "gateway" and path.name in UPSTREAMS:
            continue
        for line in path.read_text().splitlines():
            assert not re.search(r"(?i)\bsocks ?[456]", ADVICE.sub("", line)), line


@pytest.mark.parametrize("protocol", DIALECTS)
def test_everyCommandIsBuilt(protocol: str) -> None:
    """The words of the protocols are those of the commands."""
    assert set(DIALECTS[protocol].commands.values()) <= set(_COMMANDS)


class Knocking(Dialect):
    """A protocol that nobody speaks: a line each way."""

    protocol = "knocking"
    first = b"k"
    firstLimit = 64
    commands: ClassVar[Mapping[int, str]] = {1: "connect"}
    loginless = "knocking has no login"
    denial = Reply.NOT_ALLOWED

    @staticmethod
    def readFirst(reader: Reader) -> Requested:
        """Read C{k}, a name, and the end of the line."""
        reader.u8()
        name = reader.until(ord("\n"), 40, "the name")
        return Requested(0, 1, name.decode(), 443, name, b"")

    @staticmethod
    def offered(event: Event) -> bytes:
        return b"\0"

    @staticmethod
    def encodeReply(reply: Reply, host: Address | str, port: int) -> bytes:
        return f"{reply.name} {host} {port}\n".encode()

    def encodeRefusal(
        self, reply: Reply, reason: str, why: str, rule: str = "", keep: bool = False
    ) -> bytes:
        return f"{reply.name}: {reason}, {why}\n".encode()


def knocked(gateway: Gateway, octets: bytes) -> bytes:
    """What a client of that protocol is sent."""
    gateway.listener.dialects = {ord("k"): Knocking()}
    transport = gateway.connect()
    for octet in octets:
        transport.protocol.dataReceived(bytes((octet,)))
    sent: bytes = transport.value()
    return sent


def test_anotherProtocolIsServed() -> None:
    """One class in wire/ is all that it takes: judged, recorded, relayed."""
    gateway = Gateway()
    assert knocked(gateway, b"kexample.com\n") == b"SUCCEEDED 192.0.2.1 40000\n"
    assert ("dial", (TARGET,), 443) in gateway.happened
    (line,) = gateway.lines("decision")
    assert (line["protocol"], line["name"]) == ("knocking", "example.com")
    assert gateway.lines("end")[0]["bound"] == f"{BOUND[0]}:{BOUND[1]}"
    well(gateway)


def test_anotherProtocolIsRefused() -> None:
    """By the policy, where a login is wanted, and where it is no message."""
    gateway = Gateway()
    gateway.decision = Decision(Verdict(False, "no", "it may not"))
    assert knocked(gateway, b"kexample.com\n") == b"NOT_ALLOWED: policy, it may not\n"
    well(gateway)
    gateway = Gateway([USERPASS])
    refusal = b"NOT_ALLOWED: no-acceptable-method, knocking has no login\n"
    assert knocked(gateway, b"kexample.com\n") == refusal
    (line,) = gateway.lines("refused")
    assert (line["why"], line["reply"]) == ("knocking has no login", 2)
    well(gateway)
    gateway = Gateway()
    assert knocked(gateway, b"k" + b"x" * 41) == b""
    assert gateway.lines("refused")[0]["reason"] == "protocol"
    well(gateway)


class Given:
    """A layer that knows the request before the client says anything."""

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        request = connection(TARGET, 443)
        client.converse(GivenConversation(DIALECTS["transparent"], request))
        upwards(below, early)
        client.begin()


def given(gateway: Gateway) -> Any:
    """The transport of a client that has said nothing, and whose request is known."""
    gateway.listener.layers = (Given(),)
    return gateway.connect()


def test_aClientThatHearsNothing() -> None:
    """It is served without a reply, and refused by a reset."""
    gateway = Gateway()
    transport = given(gateway)
    assert ("dial", (TARGET,), 443) in gateway.happened
    assert transport.value() == b""
    well(gateway)
    gateway = Gateway()
    gateway.decision = Decision(Verdict(False, "no", "it may not"))
    transport = given(gateway)
    assert (transport.value(), transport.ending) == (b"", "aborted")
    (line,) = gateway.lines("decision")
    assert (line["verdict"], line["protocol"]) == ("deny", "transparent")
    well(gateway)
    # Where users have to log in.
    gateway = Gateway([USERPASS])
    transport = given(gateway)
    assert (transport.value(), transport.ending) == (b"", "aborted")
    (line,) = gateway.lines("refused")
    assert (line["reason"], line["reply"]) == ("no-acceptable-method", 0)
    assert "cannot log in" in line["why"]
    well(gateway)


@pytest.mark.parametrize("path", ["", "gw2"])
def test_howAddressesWereTried(path: str) -> None:
    """Whoever wants to know it is told, but not how an upstream has done it."""
    gateway = Gateway()
    verdict = Verdict(True, "all", "it may")
    gateway.decision = Decision(verdict, (TARGET, Address.parse("198.51.100.10")))
    gateway.outlet.path = path
    gateway.outlet.local = SimpleNamespace(address=BOUND[0])
    eyeballs = bytes((2 << 6 | 1, 2, 2, 0))
    told = option6(1, eyeballs) if not path else b""
    sent = gateway.connect(request6(option6(1, eyeballs))).value()
    octets = answer("socks6", 0, BOUND)
    assert sent == octets[:6] + len(told).to_bytes(2, "big") + octets[8:] + told
    well(gateway)
