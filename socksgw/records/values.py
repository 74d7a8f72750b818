"""
Values as spreadsheets get them.
"""

from __future__ import annotations

from typing import Any, Final

from socksgw.system.output import printable

__all__ = ["tame"]

#: With one of these a text in a cell is a formula for spreadsheets.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def tame(value: Any) -> Any:
    """
    Return a value that no spreadsheet takes for a formula, and no terminal for commands.

    Text that begins like a formula has an apostrophe before it.
    """
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)
