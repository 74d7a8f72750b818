"""
What the metrics take of records, and the seconds that follow from it.
"""

from __future__ import annotations

from typing import Any

from socksgw.audit.record import SessionRecord
from socksgw.metrics.facts import Columns, factsOf
from socksgw.metrics.meters import OTHER, Meters
from socksgw.wire.address import Address

ADDRESS = Address.parse("192.0.2.1")


def record(**said: Any) -> SessionRecord:
    """A record in which this is said."""
    made = SessionRecord(1, said.pop("listener", "lan"), ADDRESS, 1080, 0.0)
    for name, value in {"protocol": "socks5", "command": "connect", **said}.items():
        setattr(made, name, value)
    return made


WHOLE: dict[str, Any] = {
    "verdict": "allow", "reason": "closed", "sent": 3, "received": 5, "method": "none",
    "times": (10.0, 10.5, 11.5, 12.0), "waited": 0.75, "reachedAt": 15.0,
}  # fmt: skip


def test_seconds() -> None:
    """Only those that came so far have any."""
    early = record(reason="client-lost")
    denied = record(times=(1.0, 2.0, 2.25, 0.0), verdict="deny")
    again = record(**{**WHOLE, "times": (0.0, 10.5, 11.5, 12.0)})
    columns = Columns.of(map(factsOf, (early, denied, record(**WHOLE), again)))
    assert [*columns.handshakes()] == [1.0, 0.5]
    assert [*columns.policies()] == [0.25, 0.25, 0.25]
    assert [*columns.records()] == [0.5, 0.5]
    assert [*columns.connects()] == [3.0, 3.0]


def test_manyAtOnce() -> None:
    """Sessions of several kinds are told apart, and each is counted once."""
    meters = Meters()
    meters.methods.add("userpass")
    login = {"method": "userpass", "loginTook": 0.25}
    for _ in range(100):
        for each in (
            record(**WHOLE),
            record(**{**WHOLE, **login, "listener": "dmz", "path": "edge"}),
            record(**{**WHOLE, **login, "listener": "dmz", "path": "direct"}),
            record(verdict="deny", rule="no", reason="policy", reply=2),
            record(command="0x99", reason="command", reply=7),
            record(**{**WHOLE, "command": "udp", "method": "made-up"}),
            # A balancer's health check.
            record(verdict="", reason="client-lost"),
        ):
            meters.over.append(factsOf(each))
    meters.look()
    assert len(meters.over) == 700
    meters.fold()
    assert not meters.over
    assert meters.sessions == {
        ("lan", "socks5", "connect", "none", "allow", 0): 100,
        ("dmz", "socks5", "connect", "userpass", "allow", 0): 200,
        ("lan", "socks5", "connect", "", "deny", 2): 100,
        ("lan", "socks5", OTHER, "", "refuse", 7): 100,
        ("lan", "socks5", "udp", OTHER, "allow", 0): 100,
    }
    assert meters.ends == {"closed": 400, "policy": 100, "command": 100}
    assert meters.denials == {"no": 100}
    assert meters.octets == {"lan": [600, 1000], "dmz": [600, 1000]}
    counts = {key: sum(each.counts) for key, each in meters.connects.items()}
    assert counts == {
        ("lan", "direct"): 100, ("dmz", "upstream"): 100, ("dmz", "direct"): 100,
    }  # fmt: skip
    assert sum(meters.logins["userpass"].counts) == 200
    assert meters.logins["userpass"].sum == 50.0
    assert meters.handshakes["lan"].sum == 100.0
    assert sum(meters.policies.counts) == 400


def test_aSessionThatLives() -> None:
    """It is counted when it is first seen; later, and at its end, what it moved since."""
    meters = Meters()
    living = record(**{**WHOLE, "reason": "", "sent": 0, "received": 0})
    meters.living(living, 10, 20)
    meters.living(living, 15, 20)
    # A relay's figures may fall behind what it has told: no counter ever falls.
    meters.living(living, 14, 19)
    meters.fold()
    assert meters.octets == {"lan": [15, 20]}
    assert [*meters.sessions.values()] == [1]
    assert meters.ends == {}
    living.sent, living.received, living.reason = 16, 30, "idle"
    meters.over.append(factsOf(living))
    meters.fold()
    assert meters.octets == {"lan": [16, 30]}
    assert [*meters.sessions.values()] == [1]
    assert meters.ends == {"idle": 1}
    assert sum(meters.policies.counts) == 1
