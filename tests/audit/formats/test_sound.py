"""
Lines that somebody else has written: no format raises, and each is bounded.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socksgw.audit.catalogue import CATALOGUE
from socksgw.audit.formats import FORMATS, formatOf
from socksgw.audit.formats.sound import sound
from socksgw.audit.sinks.entries import Line

_NAMES = sorted({name for names in CATALOGUE.values() for name in names})
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["192.0.2.1:80", "[::1]:٣", "a:²", "9" * 5000, "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
_LINES = st.tuples(
    st.sampled_from([*CATALOGUE, "nothing", 7, None, []]),
    st.dictionaries(st.sampled_from([*_NAMES, "n", "time", "v"]), _VALUES),
    st.booleans(),
).map(
    lambda each: {
        **({"n": 7, "time": "2026-11-28T07:00:00.000Z"} if each[2] else {}),
        **each[1],
        "event": each[0],
    }
)


@pytest.mark.parametrize("form", [each for each in FORMATS if each != "native"])
@given(line=_LINES)
@example(line={"event": "start", "sent": None})
def test_anyLine(form: str, line: dict[str, Any]) -> None:
    """Whatever the members are."""
    made = formatOf(form, "edge")
    assert made is not None
    octets = made(line)
    assert octets is None or len(octets) <= 7168
    assert octets is None or b"\n" not in octets
    assert 2 <= Line(1, json.dumps(line).encode()).severity <= 6


@pytest.mark.parametrize("form", ["ecs", "ocsf", "cef"])
@pytest.mark.parametrize("seconds", [None, [0, 0, 0, 0], "1"])
@pytest.mark.parametrize("kind", ["start", "end"])
def test_noTime(form: str, seconds: object, kind: str) -> None:
    """Whatever stands in the place of a number of seconds."""
    made = formatOf(form, "edge")
    assert made is not None
    made({"event": kind, "seconds": seconds})
    time = "2026-11-28T07:00:00.000Z"
    made({"n": 7, "time": time, "event": kind, "seconds": seconds})


@pytest.mark.parametrize("form", ["ecs", "ocsf", "cef"])
def test_whatIsWrongIsTold(form: str) -> None:
    """The other members are where they belong."""
    line = {
        "v": 1, "n": 3, "time": "2026-11-28T07:00:00.000Z", "event": "end",
        "session": 4, "client": ["x"], "sent": "many", "received": 5, "seconds": 1.5,
        "reason": "closed", "address": {"a": 1}, "reply": 0,
    }  # fmt: skip
    made = formatOf(form, "edge")
    assert made is not None
    octets = made(line)
    assert octets is not None
    text = octets.decode()
    assert "closed" in text
    assert "malformed" in text
    assert "many" in text
    if form == "ecs":
        assert json.loads(text)["destination"]["bytes"] == 5
    elif form == "ocsf":
        assert json.loads(text)["traffic"] == {
            "bytes_out": 0,
            "bytes_in": 5,
            "bytes": 5,
        }


@pytest.mark.parametrize("line", [[], 7, "x", None])
def test_noObject(line: Any) -> None:
    """JSON that is no object at all."""
    assert sound(line)["malformed"]["line"] == repr(line)
    made = formatOf("ecs", "edge")
    assert made is not None
    assert json.loads(made(line) or b"")["event"]["action"] == "unknown"


def test_whatIsRightStays() -> None:
    """Members that the gateway writes are left as they are."""
    line = {
        "v": 1, "n": 3, "time": "2026-11-28T07:00:00.000Z", "event": "decision",
        "verdict": "allow", "addresses": ["192.0.2.1"], "name": None, "x": {"y": [1]},
    }  # fmt: skip
    assert sound(line) == {k: v for k, v in line.items() if k != "name"}
