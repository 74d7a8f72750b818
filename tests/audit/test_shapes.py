"""
Lines as the gateway writes them, and others.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from socksgw.audit.shapes import shaped
from tests.tools.journallines import LINES, line


@pytest.mark.parametrize("name", LINES)
def test_ours(name: str) -> None:
    """Each is read as it is; that of the whole suite, L{tests.tools.catalogue} sees."""
    assert shaped(json.dumps(LINES[name]).encode() + b"\n") == LINES[name]


def test_ofALaterVersion() -> None:
    """What is not known is passed on, but nothing that nobody can hold."""
    later = line("teleported", session=7, whither={"x": [1, None]})
    assert shaped(json.dumps(later).encode()) == later
    later["whither"] = 1 << 64
    assert shaped(json.dumps(later).encode()) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "443"), ("port", True), ("port", 1 << 63), ("user", None), ("user", 7),
        ("addresses", "127.0.0.1"), ("addresses", [7]), ("command", "dance"),
        ("time", "soon"), ("event", "\x1b[31m"), ("event", ["decision"]), ("n", None),
        ("struck", [["198.51.100.3"]]), ("more", [[[[[[[[[[[[[[[[[[7]]]]]]]]]]]]]]]]]]),
    ],
)  # fmt: skip
def test_anotherType(field: str, value: Any) -> None:
    """It is no line."""
    assert shaped(json.dumps({**LINES["allowed"], field: value}).encode()) is None
