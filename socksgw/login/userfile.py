"""
Files of users: a line C{name:value} for each.

Empty lines and lines beginning with C{#} count for nothing. A byte-order mark
and the carriage returns of Windows' editors change nothing.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from twisted.logger import Logger
from zope.interface import implementer

from socksgw.files import FileError, readSecret, stampOf
from socksgw.interfaces import IChangingStore, IReportingStore

__all__ = ["PasswordFileError", "UserFile", "WrongLine", "readUsers", "setUser"]

_log = Logger()

T = TypeVar("T")
U = TypeVar("U", bound=Mapping[bytes, object])

_NAME: Final = re.compile(r"[^:#\s\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,254}\Z")


#: What Windows' editors put in front of UTF-8, and of UTF-16.
_MARK: Final = b"\xef\xbb\xbf"
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
#: Wrong lines of a file that are told, each by a line of its own.
_TOLD: Final = 10


class WrongLine(NamedTuple):
    """
    A line that counts for nothing.

    @ivar name: the user's, where it can be read.
    @ivar why: names file, line and remedy.
    """

    name: bytes
    why: str


class PasswordFileError(Exception):
    """
    The file cannot be used; the text names file, line and remedy, never what
    is secret in it.
    """


def readUsers(
    path: Path,
    parse: Callable[[str], T],
    command: str,
    private: bool = False,
    wrong: list[WrongLine] | None = None,
) -> dict[bytes, T]:
    """
    The values by user name.

    @param parse: makes a value of its text; raises C{ValueError} for what is
        none, without the text.
    @param command: what makes such a file, for the remedy.
    @param private: whether it has to be ours, or root's.
    @param wrong: gets the lines that are wrong, whose users are then left out.
    @raise PasswordFileError: the file cannot be read, others can read it, or a
        line is wrong: any, where nobody takes them, else all of them.
    """
    try:
        octets = readSecret(path, private)
    except FileError as e:
        raise PasswordFileError(str(e)) from None
    except OSError as e:
        raise PasswordFileError(
            f"{path}: {e.strerror}; make it with: {command} {path} USER"
        ) from None
    if octets.startswith(_WIDE):
        raise PasswordFileError(f"{path}: UTF-16; save it as UTF-8")
    users: dict[bytes, T] = {}
    found: list[WrongLine] = []
    for number, line in enumerate(octets.removeprefix(_MARK).splitlines(), 1):
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
            found.append(
                WrongLine(
                    name if colon else b"",
                    f"{path}: line {number}: {why}; set it with: {command} {path} USER",
                )
            )
    # Of a name that stands twice, neither line counts.
    for each in found:
        users.pop(each.name, None)
    if found and (wrong is None or not users):
        raise PasswordFileError(found[0].why)
    if wrong is not None:
        wrong += found
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
        lines = path.read_bytes().removeprefix(_MARK).splitlines()
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


@implementer(IChangingStore, IReportingStore)
class UserFile(Generic[U]):
    """
    A file of users, read again when it changes. Lines that are wrong count for
    nothing. While it cannot be read it lets nobody in, and whoever is in stays.
    """

    def __init__(self, path: Path, read: Callable[[Path, list[WrongLine]], U]) -> None:
        """
        @param read: the file's users; adds the lines that are wrong.
        @raise PasswordFileError: the file cannot be used.
        """
        self._path = path
        self._readFile = read
        self._stamp = self.stamp()
        self._names: frozenset[bytes] = frozenset()
        self._problems: tuple[str, ...] = ()
        self._users: U | None = self._read()

    def stamp(self) -> object:
        """
        Differs when the file may.
        """
        return stampOf(self._path)

    def knows(self, name: bytes) -> bool:
        """
        Whether there is such a user now, or was when the file could last be
        read. A user whose line is wrong is there, and cannot log in.
        """
        self.users()
        return name in self._names

    def problems(self) -> tuple[str, ...]:
        """
        As L{IReportingStore.problems}.
        """
        self.users()
        return self._problems

    def users(self) -> U | None:
        """
        Who there is now; L{None} when the file cannot be used.
        """
        stamp = self.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            before = self._problems
            try:
                self._users = self._read()
            except PasswordFileError as e:
                self._users = None
                self._problems = (f"{e}; nobody can log in, whoever is in stays",)
            if before and not self._problems:
                _log.info("{path}: can be used again", path=str(self._path))
            for why in self._problems:
                _log.error("{why}", why=why)
        return self._users

    def _read(self) -> U:
        wrong: list[WrongLine] = []
        users = self._readFile(self._path, wrong)
        self._names = frozenset(users) | {each.name for each in wrong}
        lines = [f"{each.why}; this user cannot log in" for each in wrong[:_TOLD]]
        if len(wrong) > _TOLD:
            lines.append(f"{self._path}: {len(wrong) - _TOLD} more lines are wrong")
        self._problems = tuple(lines)
        return users
