"""
Words that a policy uses in place of user names, so that no user can have them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANONYMOUS", "USERS", "isPattern", "isReserved"]

#: The user name of clients without a login. No user can log in with it.
ANONYMOUS: Final = "anonymous"
#: All users who have logged in.
USERS: Final = "users"
_WORDS: Final = frozenset({"", ANONYMOUS, USERS})


def isReserved(name: str) -> bool:
    """
    Tell whether a name is reserved, so that no user can have it.

    That is C{anonymous}, C{users}, the empty name, and groups (C{@group}).
    """
    return name in _WORDS or name.startswith("@")


def isPattern(name: str) -> bool:
    """Tell whether a name is written as a pattern of several users."""
    return "*" in name or "?" in name
