"""
Values as spreadsheets get them.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["tame"]

#: With one of these a text in a cell is a formula for spreadsheets.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def tame(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula: text has an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
