"""
The catalogue of the journal's events: the manual and its tables say the same.
"""

from __future__ import annotations

import re

import pytest

from socksgw.audit.catalogue import CATALOGUE, COMMON, EVENTS
from tests.live.running import ROOT
from tests.tools.catalogue import catalogued

#: The heading of the fields that lines about a client share.
_SHARED = "Fields of lines about a client"


def described() -> dict[str, set[str]]:
    """The fields that each section of the chapter has a row for."""
    text = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    parts = re.split(r"(?m)^(.+)\n-+\n", text)
    return {
        heading: set(re.findall(r"(?m)^``(\w+)``", body))
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_theCatalogueIsTheDocumentedOne() -> None:
    """Each event has a section in the manual, and no other has one."""
    headings = {each for each in described() if re.fullmatch(r"[a-z-]+", each)}
    assert headings == EVENTS


def test_theFieldsAreTheDocumentedOnes() -> None:
    """Each section describes each field that a line of the event may have."""
    found = described()
    shared = found[_SHARED]
    assert found["Fields of every line"] == set(COMMON)
    for event, fields in CATALOGUE.items():
        common = shared if "client" in fields else set()
        assert found[event] == set(fields) - common, event
    assert CATALOGUE["flow"] == CATALOGUE["decision"]
    named = re.findall(r"``([a-z-]+)``", _introduction())
    sharing = {event for event, fields in CATALOGUE.items() if "client" in fields}
    assert set(named) == sharing


def _introduction() -> str:
    """The sentence that says which events the shared fields belong to."""
    text = (ROOT / "socksgw" / "manual" / "records.rst").read_text("utf-8")
    return text.partition(_SHARED)[2].partition("have these")[0]


@pytest.mark.parametrize("key", ["event", "why"])
def test_whatTheCatalogueDoesNotKnow(key: str) -> None:
    """Every test that reads a journal notices an event or a field that it lacks."""
    with pytest.raises(AssertionError):
        catalogued({"event": "stop", "gateway": "g", key: "new"})
