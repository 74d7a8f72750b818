"""
What waits to be sent, and who writes it.
"""

from __future__ import annotations

import pytest

from socksgw.system.backlog import Backlog


class Producer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


@pytest.fixture
def producer() -> Producer:
    return Producer()


def test_aProducerIsToldOnce(producer: Producer) -> None:
    """Paused when something waits, resumed when nothing does, once each."""
    backlog = Backlog()
    backlog.filled()
    backlog.drained()
    backlog.register(producer)
    for _ in range(2):
        backlog.filled()
    for _ in range(2):
        backlog.drained()
    assert producer.told == ["pause", "resume"]


def test_whoIsForgottenIsToldNothing(producer: Producer) -> None:
    """Neither that something waits, nor that it is gone."""
    backlog = Backlog()
    backlog.register(producer)
    backlog.filled()
    backlog.unregister()
    backlog.drained()
    backlog.lost()
    assert producer.told == ["pause"]


def test_lost(producer: Producer) -> None:
    """What waits is forgotten, and the producer stops, once."""
    backlog = Backlog()
    backlog.register(producer)
    backlog.parts.append(b"waits")
    backlog.filled()
    for _ in range(2):
        backlog.lost()
    backlog.drained()
    assert not backlog.parts
    assert producer.told == ["pause", "stop"]


def test_dropped(producer: Producer) -> None:
    """What cannot be sent is forgotten; the producer stays."""
    backlog = Backlog()
    backlog.register(producer)
    backlog.parts.append(b"waits")
    backlog.drop()
    assert not backlog.parts
    assert producer.told == []
