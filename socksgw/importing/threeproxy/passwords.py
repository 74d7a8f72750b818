"""
The users of a 3proxy server, as a file of ours; their passwords are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from socksgw.importing.draft import Draft
from socksgw.login.passwords import hashPassword, parseHash
from socksgw.login.userfile import isUserName

__all__ = ["usersOf"]

#: The name of the file.
_FILE: Final = "3proxy.users"


def usersOf(users: Iterable[tuple[int, str]], draft: Draft) -> str:
    """
    Write the file of users, and return its name.

    @param users: entries of C{users}, C{name:CL:password}, with their lines.
    """
    lines: dict[str, str] = {}
    for line, entry in users:
        name, colon, rest = entry.partition(":")
        kind, _, value = rest.partition(":")
        if not (len(kind) == 2 and rest[2:3] == ":"):
            # 3proxy takes what has no kind as the password itself.
            kind, value = "CL", rest
        if not colon:
            why = "left out: it has no password"
        elif not isUserName(name):
            why = "left out: this is no name of a user here"
        elif kind == "CL" and value and len(value) <= 255:
            lines[name] = str(hashPassword(value.encode("utf-8", "surrogateescape")))
            continue
        elif kind == "CR" and _isKnown(value):
            lines[name] = value
            continue
        else:
            why = f"left out: its kind of hash is not taken; socksgw passwd {_FILE} {name}"
        # What is no name may be a password.
        said = f"users {name}" if colon and isUserName(name) else "users"
        draft.leave(line, said, why)
    draft.hide(_FILE, "".join(f"{name}:{value}\n" for name, value in lines.items()))
    return _FILE


def _isKnown(value: str) -> bool:
    try:
        parseHash(value)
    except ValueError:
        return False
    return True
