"""
What the library of GSSAPI says when it fails.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["gssapiWords"]

#: Characters of the library's words; a peer has a say in them.
_WORDS: Final = 200


def gssapiWords(error: Any) -> str:
    """Return what the library says, in one line."""
    lines = error.get_all_statuses(error.min_code, False) if error.min_code else []
    # MIT's has no words for some of its own codes, and says that.
    if not lines or lines == ["Success"]:
        lines = error.get_all_statuses(error.maj_code, True)
        lines = [*lines, f"(minor code {error.min_code})"]
    return " ".join(" ".join(lines).split())[:_WORDS]
