"""
Every line of a journal against the catalogue of events and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from socksgw.audit.catalogue import CATALOGUE, COMMON

__all__ = ["catalogued"]


def catalogued(line: Mapping[str, Any]) -> None:
    """
    See that the catalogue knows a line's event, and that the event has its fields.

    @param line: with or without the fields that every line has.
    """
    event = line["event"]
    assert event in CATALOGUE, f"{event} is not in the catalogue"
    unknown = set(line) - set(COMMON) - set(CATALOGUE[event])
    assert not unknown, f"{event} has no {sorted(unknown)} in the catalogue"
