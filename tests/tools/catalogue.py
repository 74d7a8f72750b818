"""
Every line of a journal against the catalogue of events and fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from socksgw.audit.catalogue import CATALOGUE, COMMON
from socksgw.audit.shapes import shaped

__all__ = ["catalogued"]


def catalogued(line: Mapping[str, Any]) -> None:
    """
    See that the catalogue knows a line's event, and that the event has its fields.

    @param line: with or without the fields that every line has.
    """
    event = line["event"]
    assert event in CATALOGUE, f"{event} is not in the catalogue"
    frame = {"v": 1, "n": 1, "time": "2026-11-28T02:14:15.003456Z"}
    assert shaped(json.dumps({**frame, **line}).encode()) is not None, line
    unknown = set(line) - set(COMMON) - set(CATALOGUE[event])
    assert not unknown, f"{event} has no {sorted(unknown)} in the catalogue"
