"""
The catalogue of the journal's events: its text and its tables say the same.
"""

from __future__ import annotations

import re

import pytest

from socksgw.audit import catalogue
from socksgw.audit.catalogue import CATALOGUE, COMMON, EVENTS
from tests.tools.catalogue import catalogued

#: Of every line about a client.
CLIENT = ("session", "listener", "client", "protocol")


def test_theCatalogueIsTheDocumentedOne() -> None:
    """Every event of the module's text is in C{EVENTS}, and no other."""
    assert catalogue.__doc__ is not None
    assert set(re.findall(r"^  - C\{([a-z-]+)\}", catalogue.__doc__, re.M)) == EVENTS


def test_theFieldsAreTheDocumentedOnes() -> None:
    """Every field of an event is named in the module's text about it, and no other."""
    text = catalogue.__doc__
    assert text is not None
    head, *entries = re.split(r"^  - ", text, flags=re.M)
    for entry in entries:
        heading, _, rest = entry.partition(":")
        event = heading.strip("C{}*")
        fields = set(CATALOGUE[event])
        said = set(re.findall(r"C\{([a-z_]+)\}", rest))
        if heading.endswith("*"):
            assert fields >= set(CLIENT)
            said |= set(CLIENT)
        if event == "flow":
            assert CATALOGUE["flow"] == CATALOGUE["decision"]
            continue
        assert fields - said == set(), event
        # What else is named is a value of one of them, or another event.
        assert said - fields - EVENTS <= {"allow", "deny", "limit", "quota"}, event
    assert set(re.findall(r"C\{([a-z]+)\}", head)) >= {*COMMON, *CLIENT}


@pytest.mark.parametrize("key", ["event", "why"])
def test_whatTheCatalogueDoesNotKnow(key: str) -> None:
    """It is found, wherever a test reads a journal."""
    with pytest.raises(AssertionError):
        catalogued({"event": "stop", "gateway": "g", key: "new"})
