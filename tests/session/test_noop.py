"""
NOOP of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 4).
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from socksgw.config.schema import Limit
from socksgw.config.schema.values import Times
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from tests.fakes.gateway import LOGIN, NONE, USERPASS, WRONG, Gateway, option6, well

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

#: Version, type, the options' length, and an operation reply that tells no address.
LET_IN = bytes.fromhex("06 00 0000")
DONE = bytes.fromhex("06 00 0000 0000 00 01 00000000")


def noop(*options: bytes, place: bytes = b"\x01" + bytes(4)) -> bytes:
    """Such a request."""
    length = len(b"".join(options)).to_bytes(2, "big")
    return b"\x06\x00" + length + bytes(3) + place + b"".join(options)


@pytest.mark.parametrize("place", [b"\x01" + bytes(4), b"\x04" + bytes(16)])
def test_noop(place: bytes) -> None:
    """It is answered, recorded and over; no rule is asked, and nothing is dialled."""
    gateway = Gateway([NONE])
    gateway.decision = Decision(Verdict(False, "none", "no rule"))
    transport = gateway.connect(noop(place=place))
    assert transport.value() == LET_IN + DONE
    assert not {"decide", "dial"} & set(gateway.order)
    (line,) = gateway.lines("decision")
    assert (line["command"], line["verdict"], line["rule"]) == ("noop", "allow", None)
    (end,) = gateway.lines("end")
    assert end["reason"] == "answered"
    well(gateway)


def test_login() -> None:
    """Nobody gets it without the login that is wanted; it may begin a session."""
    gateway = Gateway([USERPASS])
    assert gateway.connect(noop()).value() == bytes.fromhex("06 01 0000")
    wrong = gateway.connect(noop(option6(4, b"\x02" + WRONG))).value()
    assert wrong[:2] == b"\x06\x01"
    asked = noop(option6(4, b"\x02" + LOGIN), option6(5, b""))
    sent = gateway.connect(asked).value()
    assert sent.endswith(DONE)
    session = sent[12:32]
    assert session[:4] == bytes.fromhex("0006 0014")
    assert gateway.connect(noop(session)).value().endswith(option6(8, b"") + DONE)
    assert {line["user"] for line in gateway.lines("decision")} == {"alice"}
    well(gateway)


def test_limits() -> None:
    """
    It takes the place of a session while it lasts, and counts as one that begins:
    beyond a limit it is refused.
    """
    gateway = Gateway([NONE], limits=[Limit("all", sessions=1)])
    for _ in range(2):
        assert gateway.connect(noop()).value() == LET_IN + DONE
    gateway.steps["relay"] = relaying = Deferred[None]()
    live = gateway.connect(bytes.fromhex("050100 05010001 c0000207 0050"))
    assert live.value()[:4] == bytes.fromhex("0500 0500")
    assert gateway.connect(noop()).value()[:6] == LET_IN + b"\x06\x01"
    relaying.callback(None)
    well(gateway)
    arriving = Gateway([NONE], limits=[Limit("all", new_sessions=Times(2, 1.0))])
    replies = [arriving.connect(noop()).value()[5] for _ in range(3)]
    assert replies == [0, 0, 1]
    (line,) = [e for e in arriving.lines("decision") if e["verdict"] != "allow"]
    assert (line["command"], line["reason"]) == ("noop", "limit")
    well(arriving)
