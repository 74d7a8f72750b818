"""
What RESOLVE told whom.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from socksgw.interfaces import Asker
from socksgw.policy import told as tolds
from socksgw.policy.told import Told
from socksgw.wire.address import Address
from tests.fakes.policy import ANONYMOUS

ADDRESS = Address.parse("8.8.8.8")


def asker(source: str = "192.0.2.1") -> Asker:
    return Asker(ANONYMOUS, Address.parse(source), "main")


def test_aMoment() -> None:
    """The last name counts, for a minute, and for that client."""
    clock = Clock()
    told = Told(clock.seconds)
    assert told.name(asker(), ADDRESS) is None
    told.tell(asker(), "a.example", ADDRESS)
    told.tell(asker(), "b.example", ADDRESS)
    assert told.name(asker(), ADDRESS) == "b.example"
    assert told.name(asker(), Address.parse("8.8.4.4")) is None
    assert told.name(asker("192.0.2.2"), ADDRESS) is None
    clock.advance(61)
    assert told.name(asker(), ADDRESS) is None


def test_itIsBounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for many names."""
    monkeypatch.setattr(tolds, "_MOST", 10)
    told = Told()
    for number in range(50):
        told.tell(asker(f"192.0.2.{number}"), "a.example", ADDRESS)
    assert len(told._names) == 10
    assert told.name(asker("192.0.2.49"), ADDRESS) == "a.example"
