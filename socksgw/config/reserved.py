"""
Words that stand in a policy where names of users stand, and so are no names.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANONYMOUS", "USERS", "isPattern", "isReserved"]

#: The name of the user whom no method has logged in. No login can have it.
ANONYMOUS: Final = "anonymous"
#: Everybody who has logged in.
USERS: Final = "users"
_WORDS: Final = frozenset({"", ANONYMOUS, USERS})


def isReserved(name: str) -> bool:
    """
    Tell whether no user can have a name: it is C{anonymous}, C{users}, empty, or
    a group's (C{@group}).
    """
    return name in _WORDS or name.startswith("@")


def isPattern(name: str) -> bool:
    """Tell whether a name is written as a pattern of several users."""
    return "*" in name or "?" in name
