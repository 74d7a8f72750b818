"""
Parts of a gateway are changed all together or not at all, and each ends.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from socksgw.config.defaults import defaultConfig
from socksgw.config.schema import Config
from socksgw.gateway.parts import Part, Parts, Ports
from socksgw.gateway.starting import CannotStart

BEFORE = defaultConfig()
AFTER = evolve(BEFORE, file="after")


class Noted(Part):
    """A part that notes what it is told."""

    def __init__(self, name: str, told: list[Any], fails: bool = False) -> None:
        self.named = name
        self._told = told
        self._fails = fails

    def change(self, config: Config) -> None:
        if self._fails:
            raise CannotStart("the port is taken")
        self._told.append((self.named, config.file))

    def look(self) -> None:
        if self._fails:
            raise RuntimeError("a defect")
        self._told.append((self.named, "look"))

    def close(self) -> Deferred[Any] | None:
        self._told.append((self.named, "close"))
        if self._fails:
            raise RuntimeError("a defect")
        return None


def joined(*parts: Part) -> Parts:
    """Return parts of which these are all."""
    made = Parts()
    for each in parts:
        made.adjoin(each)
    return made


def test_change() -> None:
    """Where one cannot change, those before it are as they were."""
    told: list[Any] = []
    parts = joined(Noted("a", told), Noted("b", told, fails=True), Noted("c", told))
    with pytest.raises(CannotStart, match="the port is taken"):
        parts.change(AFTER, BEFORE)
    assert told == [("a", "after"), ("a", BEFORE.file)]


def test_defects() -> None:
    """One that fails keeps no other from what is due, nor from its end."""
    told: list[Any] = []
    parts = joined(Noted("a", told), Noted("b", told, fails=True), Noted("c", told))
    ended: list[Any] = []
    with capturedLogs() as events:
        parts.look()
        parts.look()
        parts.close().addCallback(ended.append)
    assert told[:4] == [("a", "look"), ("c", "look")] * 2
    assert told[4:] == [("c", "close"), ("b", "close"), ("a", "close")]
    assert ended
    # A defect that lasts is said once.
    assert len(events) == 2


class Opened:
    """A port that notes its end."""

    def __init__(self, text: str, open_: set[str]) -> None:
        self._text = text
        self._open = open_
        open_.add(text)

    def stopListening(self) -> None:
        self._open.remove(self._text)


def test_ports() -> None:
    """Ports that stay are not touched; one that cannot be opened changes nothing."""
    open_: set[str] = set()

    def listen(text: str) -> Opened:
        if text == "taken":
            raise CannotStart("the port is taken")
        assert text not in open_
        return Opened(text, open_)

    ports = Ports(listen)
    ports.change(["a", "b"])
    with pytest.raises(CannotStart):
        ports.change(["b", "c", "taken"])
    assert open_ == {"a", "b"}
    ports.change(["b", "c"])
    assert open_ == {"b", "c"}
    ports.change(())
    assert open_ == set()
