"""
Logins by their names, with secrets from files: for endpoint strings and commands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from socksgw.client.logins.login import Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.system.files import FileError, readSecret, unreadable

__all__ = ["LOGINS", "loginBy", "secretIn"]

#: What a login may be called.
LOGINS: Final = ("none", "userpass")


def secretIn(path: Path) -> bytes:
    """
    Return the secret in a file: its first line.

    @raise ValueError: it cannot be read, others can read it, or it is empty.
    """
    try:
        octets = readSecret(path)
    except OSError as e:
        raise ValueError(unreadable(path, e)) from None
    except FileError as e:
        raise ValueError(str(e)) from None
    secret = octets.partition(b"\n")[0].rstrip(b"\r")
    if not secret:
        raise ValueError(f"{path}: its first line, which is the secret, is empty")
    return secret


def loginBy(
    name: str, user: str = "", passwordFile: Path | None = None
) -> Login | None:
    """
    Return a login.

    @param name: one of L{LOGINS}; empty where the other options tell it.
    @return: L{None} for none.
    @raise ValueError: the options do not go together, or a file cannot be used.
    """
    if not name:
        name = "userpass" if user or passwordFile else "none"
    if name not in LOGINS:
        raise ValueError(f"login is one of {', '.join(LOGINS)}, and not {name!r}")
    if name == "none":
        if user or passwordFile:
            raise ValueError("user and passwordFile are of login=userpass, not none")
        return None
    if not user or passwordFile is None:
        raise ValueError("login=userpass needs user=… and passwordFile=…")
    return PasswordLogin(user, secretIn(passwordFile))
