"""
A worker whose predecessor says nothing; others are in
tests/interop/test_restart_workers.py.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from socksgw.gateway.starting import CannotStart
from socksgw.system.channel import channels
from socksgw.workers import succession
from socksgw.workers.succession import Before


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The end of the one before, and what asks it."""
    monkeypatch.setattr(succession, "_PATIENCE", 0.1)
    nothing: Any = None
    relief = SimpleNamespace(gone=lambda other: None)
    gateway: Any = SimpleNamespace(relief=relief, settled=lambda: None)
    ours, theirs = channels()
    with ours, theirs:
        yield theirs, Before(gateway, nothing, ours)


def test_itStandsStill(theirs: tuple[socket.socket, Before]) -> None:
    """It may go on at any time, and count as if nobody had its place."""
    _, before = theirs
    with pytest.raises(CannotStart, match="does not answer"):
        before.take()


def test_itHasDied(theirs: tuple[socket.socket, Before]) -> None:
    """There is nothing to go on with."""
    other, before = theirs
    other.close()
    assert not before.take()
