"""
Words that a policy uses in place of user names, so that no user can have them.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ANONYMOUS",
    "LOCAL",
    "USERS",
    "isLocal",
    "isLocalName",
    "isReserved",
]

#: The user name of clients without a login. No user can log in with it.
ANONYMOUS: Final = "anonymous"
#: All users who have logged in.
USERS: Final = "users"
#: Before the name or the number of a user, and of a group, of this machine.
LOCAL: Final = ("uid:", "gid:")
_WORDS: Final = frozenset({"", ANONYMOUS, USERS})


def isReserved(name: str) -> bool:
    """
    Tell whether a name is reserved, so that no user can have it.

    That is C{anonymous}, C{users}, the empty name, groups (C{@group}), and users and
    groups of this machine (L{isLocal}).
    """
    return name in _WORDS or name.startswith("@") or isLocal(name)


def isLocal(name: str) -> bool:
    """
    Tell whether a name is that of a user or a group of this machine.

    The method C{peer} alone logs in users of such names.
    """
    return name.startswith(LOCAL)


def isLocalName(name: str) -> bool:
    """Tell whether it is the name of a user of this machine, and not a number."""
    return name.startswith("uid:") and not name.removeprefix("uid:").isdigit()
