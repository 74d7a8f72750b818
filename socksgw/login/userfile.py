"""
Files of users: a line C{name:value} for each.

Empty lines and lines beginning with C{#} count for nothing.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar

from twisted.logger import Logger
from zope.interface import implementer

from socksgw.files import FileError, readSecret, stampOf
from socksgw.interfaces import IChangingStore

__all__ = ["PasswordFileError", "UserFile", "readUsers", "setUser"]

_log = Logger()

T = TypeVar("T")
U = TypeVar("U", bound=Mapping[bytes, object])

_NAME: Final = re.compile(r"[^:#\s\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,254}\Z")


class PasswordFileError(Exception):
    """
    The file cannot be used; the text names file, line and remedy, never what
    is secret in it.
    """


def readUsers(
    path: Path, parse: Callable[[str], T], command: str, private: bool = False
) -> dict[bytes, T]:
    """
    The values by user name.

    @param parse: makes a value of its text; raises C{ValueError} for what is
        none, without the text.
    @param command: what makes such a file, for the remedy.
    @param private: whether it has to be ours, or root's.
    @raise PasswordFileError: the file cannot be read, others can read it,
        or a line is wrong.
    """
    try:
        octets = readSecret(path, private)
    except FileError as e:
        raise PasswordFileError(str(e)) from None
    except OSError as e:
        raise PasswordFileError(
            f"{path}: {e.strerror}; make it with: {command} {path} USER"
        ) from None
    users: dict[bytes, T] = {}
    for number, line in enumerate(octets.splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, value = line.partition(b":")
        try:
            if not colon or not _NAME.match(name.decode("utf-8", "strict")):
                raise ValueError("not of the form name:hash")
            if name in users:
                raise ValueError("the name stands twice")
            users[name] = parse(value.strip().decode("ascii", "replace"))
        except ValueError as e:
            why = "not UTF-8" if isinstance(e, UnicodeError) else str(e)
            raise PasswordFileError(
                f"{path}: line {number}: {why}; set it with: {command} {path} USER"
            ) from None
    return users


def setUser(
    path: Path, user: str, make: Callable[[], str], check: Callable[[Path], object]
) -> None:
    """
    Set a user's value in the file, which is made when it is not there;
    everything else in it stays as it is.

    @param make: makes the value.
    @param check: raises when the file cannot be used.
    @raise ValueError: the name cannot be.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    if not _NAME.match(user) or user in ("anonymous", "users") or user[0] == "@":
        raise ValueError(
            "a user name has no colon, no control character, no @ or # in front, "
            'and is not "anonymous" or "users"'
        )
    # A link stays one: what it leads to is replaced.
    path = path.resolve()
    lines: list[bytes] = []
    owner: os.stat_result | None = None
    if path.exists():
        check(path)
        lines = path.read_bytes().splitlines()
        owner = path.stat()
    made = f"{user}:{make()}".encode()
    prefix = f"{user}:".encode()
    for i, line in enumerate(lines):
        if line.startswith(prefix):
            lines[i] = made
            break
    else:
        lines.append(made)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".passwd-")
    try:
        with os.fdopen(handle, "wb") as opened:
            if owner is not None and owner.st_uid != os.geteuid():
                # Set by root: the gateway's user goes on reading it.
                os.fchown(handle, owner.st_uid, owner.st_gid)
            opened.write(b"\n".join(lines) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@implementer(IChangingStore)
class UserFile(Generic[U]):
    """
    A file of users, read again when it changes. When it cannot be read, it
    has none.
    """

    def __init__(self, path: Path, read: Callable[[Path], U]) -> None:
        """
        @raise PasswordFileError: the file cannot be used.
        """
        self._path = path
        self._read = read
        self._stamp = self.stamp()
        self._users: U | None = read(path)

    def stamp(self) -> object:
        """
        Differs when the file may.
        """
        return stampOf(self._path)

    def knows(self, name: bytes) -> bool:
        """
        Whether there is such a user now.
        """
        users = self.users()
        return users is not None and name in users

    def users(self) -> U | None:
        """
        Who there is now; L{None} when the file cannot be used.
        """
        stamp = self.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._users = self._read(self._path)
            except PasswordFileError as e:
                self._users = None
                _log.error("{why}; nobody can log in", why=str(e))
        return self._users
