"""
Files of users: a line C{name:value} for each.

Empty lines and lines beginning with C{#} count for nothing. A byte-order mark
and the carriage returns of Windows' editors change nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from twisted.logger import Logger
from zope.interface import implementer

from socksgw.config.reserved import isReserved
from socksgw.interfaces import IAlteredStore, IReportingStore
from socksgw.system.aside import collectorAside, givingWay
from socksgw.system.files import (
    FileError,
    isWide,
    readSecret,
    stampOf,
    unmarked,
    unreadable,
)

__all__ = [
    "PasswordFileError",
    "Unread",
    "UserFile",
    "WrongLine",
    "isUserName",
    "readUsers",
    "readingAhead",
    "removeUser",
    "setUser",
]

_log = Logger()

T = TypeVar("T")
U = TypeVar("U", bound=Mapping[bytes, object])

_NAME: Final = re.compile(r"[^:#\s\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,254}\Z")


#: Wrong lines of a file that are told, each by a line of its own.
_TOLD: Final = 10
#: Seconds for which a file that lost users has to stay as it is until they are
#: believed to be removed: editors that write in place empty it first.
_SETTLED: Final = 1.0
#: The same for users that are missing from a file that goes on changing.
_PATIENCE: Final = 5.0
#: Octets of the largest file that is read again on the spot: some 2,000 users,
#: 15 ms. A larger one is read in a thread.
_AT_ONCE: Final = 256 << 10

#: Changes of the file of which is known whom they concern.
_CHANGES: Final = 8

#: Where systemd puts the credentials of a unit that runs.
_CREDENTIALS: Final = "/run/credentials"


class WrongLine(NamedTuple):
    """
    A line that counts for nothing.

    @ivar name: the user's, where it can be read.
    @ivar why: names file, line and remedy.
    """

    name: bytes
    why: str


#: Reads a file of users.
Read = Callable[[Path, list[WrongLine], U | None], U]


class PasswordFileError(Exception):
    """
    The file cannot be used.

    The text names file, line and remedy, never what is secret in it.
    """


class WrongLines(PasswordFileError):
    """Lines are wrong, and none is right or wrong ones are not taken."""


def readUsers(
    path: Path,
    parse: Callable[[str], T],
    command: str,
    private: bool = False,
    wrong: list[WrongLine] | None = None,
    before: Mapping[bytes, T] | None = None,
) -> dict[bytes, T]:
    """
    Read a file of users.

    @param parse: makes a value of its text; raises C{ValueError} for what is none,
        without the text.
    @param command: what makes such a file, for the remedy.
    @param private: whether it has to be ours, or root's.
    @param wrong: gets the lines that are wrong, whose users are then left out.
    @param before: values that were read before. One whose text is the same is taken,
        and not made again: that is several times as fast.
    @return: the values by user name.
    @raise PasswordFileError: the file cannot be read, others can read it, or a line
        is wrong: any without C{wrong}, else all of them.
    """
    try:
        octets = readSecret(path, private)
    except FileError as e:
        raise PasswordFileError(str(e)) from None
    except OSError as e:
        why = unreadable(path, e)
        if isinstance(e, FileNotFoundError) and path.is_relative_to(_CREDENTIALS):
            why += "; systemd makes it when the unit starts (LoadCredential=)"
        elif isinstance(e, FileNotFoundError):
            why += f"; make it with: {command} {path} USER"
        elif not isinstance(e, PermissionError):
            why += "; name a file"
        raise PasswordFileError(why) from None
    if isWide(octets):
        raise PasswordFileError(f"{path}: UTF-16; save it as UTF-8")
    users: dict[bytes, T] = {}
    found: list[WrongLine] = []
    for number, line in enumerate(unmarked(octets).splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, value = line.partition(b":")
        try:
            if not colon or not _NAME.match(name.decode("utf-8", "strict")):
                raise ValueError("not of the form name:hash")
            if name in users:
                raise ValueError("the name stands twice")
            text = value.strip().decode("ascii", "replace")
            known = None if before is None else before.get(name)
            same = known is not None and str(known) == text
            users[name] = cast(T, known) if same else parse(text)
        except ValueError as e:
            why = "not UTF-8" if isinstance(e, UnicodeError) else str(e)
            said = f"{path}: line {number}: {why}; "
            found.append(WrongLine(name if colon else b"", said))
    # Of a name that stands twice, neither line counts.
    for each in found:
        users.pop(each.name, None)
    # Where no line is right it may be some other kind of file.
    found = [_withRemedy(each, f"{command} {path}" if users else "") for each in found]
    if wrong is not None:
        wrong += found
    if found and (wrong is None or not users):
        raise WrongLines(found[0].why)
    return users


def _withRemedy(line: WrongLine, command: str) -> WrongLine:
    """
    @param command: what sets the value of a user, if anything does.
    """
    user = line.name.decode("utf-8", "replace")
    remedy = "mend or remove the line"
    if command and _NAME.match(user) and "\ufffd" not in user:
        remedy = f"set it anew: {command} {shlex.quote(user)}"
    return line._replace(why=line.why + remedy)


def isUserName(name: str) -> bool:
    """Return whether a file of users can have a name."""
    return bool(_NAME.match(name)) and not isReserved(name)


def setUser(
    path: Path,
    user: str,
    make: Callable[[], str],
    check: Callable[[Path, list[WrongLine]], object],
) -> None:
    """
    Set a user's value in a file, which is made when it is not there.

    Everything else in it stays as it is.

    @param make: makes the value.
    @param check: raises when the file cannot be used, and gives the lines that are
        wrong. They have to be mended first, except those of this user.
    @raise ValueError: the name cannot be.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    if not isUserName(user):
        raise ValueError(
            "a user name has no colon, no control character, no @ or # in front, "
            'and is not "anonymous" or "users"'
        )
    prefix = f"{user}:".encode()
    # A link stays one: what it leads to is replaced.
    path = path.resolve()
    lines: list[bytes] = []
    owner: os.stat_result | None = None
    if path.exists():
        wrong: list[WrongLine] = []
        check(path, wrong)
        if wrong and all(each.name != user.encode() for each in wrong):
            raise WrongLines(wrong[0].why)
        lines = unmarked(path.read_bytes()).splitlines()
        owner = path.stat()
    made = f"{user}:{make()}".encode()
    places = [i for i, line in enumerate(lines) if line.startswith(prefix)]
    if places:
        lines[places[0]] = made
        lines = [line for i, line in enumerate(lines) if i not in places[1:]]
    else:
        lines.append(made)
    _replace(path, lines, owner)


def removeUser(
    path: Path, user: str, check: Callable[[Path, list[WrongLine]], object]
) -> bool:
    """
    Remove a user from a file: all lines with that name, also wrong ones.

    Everything else in it stays as it is.

    @param check: raises when the file cannot be used; lines may be wrong.
    @return: whether the user was there.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    path = path.resolve()
    check(path, [])
    prefix = f"{user}:".encode()
    before = unmarked(path.read_bytes()).splitlines()
    lines = [line for line in before if not line.startswith(prefix)]
    if len(lines) == len(before):
        return False
    _replace(path, lines, path.stat())
    return True


def _replace(path: Path, lines: Sequence[bytes], owner: os.stat_result | None) -> None:
    """
    Put another file in the place of a file of users, at one moment.

    @param owner: whose it was, and who may read it; L{None} where it was not there.
    @raise OSError: it cannot be written; the file is as it was.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".passwd-")
    try:
        with os.fdopen(handle, "wb") as opened:
            if owner is not None:
                # Set by root: the gateway's user, or its group, goes on reading it.
                if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(handle, owner.st_uid, owner.st_gid)
                os.fchmod(handle, stat.S_IMODE(owner.st_mode))
            opened.write(b"".join(line + b"\n" for line in lines))
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class _Reading(Generic[U]):
    """
    One reading of a file.

    @ivar stamp: the file's, when it began.
    @ivar over: whether it is over; set last.
    @ivar users: who there is; L{None} when the file cannot be used.
    @ivar named: the names in lines that are wrong.
    @ivar missing: the names that were there before, and are not now.
    @ivar altered: those of whom something else is there than before; L{None} where
        that is not known.
    @ivar wrong: the lines that are wrong.
    @ivar error: why the file cannot be used.
    """

    __slots__ = (
        "_before", "_names", "_path", "_read", "altered", "error", "missing", "named",
        "over", "stamp", "users", "wrong",
    )  # fmt: skip

    def __init__(
        self,
        path: Path,
        read: Read[U],
        stamp: object,
        before: U | None = None,
        names: Sequence[Collection[bytes]] = (),
    ) -> None:
        """
        Read nothing yet.

        @param before: the users of the last reading.
        @param names: all names that count as those of users.
        """
        self._path = path
        self._read = read
        self._before = before
        self._names = names
        self.altered: frozenset[bytes] | None = None
        self.stamp = stamp
        self.over = False
        self.users: U | None = None
        self.named: frozenset[bytes] = frozenset()
        self.missing: list[bytes] = []
        self.wrong: list[WrongLine] = []
        self.error: Exception | None = None

    def run(self) -> None:
        """
        Read the file. Run in a thread where it is large.

        All that takes long is done name by name: a set of names that is made in one go
        would hold up every other thread.
        """
        try:
            before, self._before = self._before, None
            names, self._names = self._names, ()
            users = self._read(self._path, self.wrong, before)
            self.named = frozenset(each.name for each in self.wrong if each.name)
            if before is not None:
                self.altered = frozenset(_altered(before, users))
            self.missing = [
                name
                for those in names
                for name in those
                if name not in users and name not in self.named
            ]
            self.users = users
        except Exception as e:
            self.error = e.with_traceback(None)
        self.over = True


@implementer(IAlteredStore, IReportingStore)
class UserFile(Generic[U]):
    """
    A file of users, read again when it changes.

    A large one is read in a thread, and what was read before counts until that is
    over.

    Lines that are wrong count for nothing. While the file cannot be read every login
    is refused, and open sessions go on. A user who is missing cannot log in at once,
    and is believed to be removed when the file has stayed as it is for a second.
    """

    def __init__(self, path: Path, read: Read[U]) -> None:
        """
        Read the file.

        @param read: returns the file's users, and adds the lines that are wrong. It may
            be called in a thread. It is given the users of the last reading, too.
        @raise PasswordFileError: the file cannot be used.
        @raise Unread: within L{readingAhead}, the file is large.
        """
        self._path = path
        self._readFile = read
        reading: _Reading[U] = _firstReading(path, read)
        self._stamp = reading.stamp
        self._changed = monotonic()
        # Those of the last reading that found any, and others that count as such.
        self._names: Collection[bytes] = ()
        self._named: frozenset[bytes] = frozenset()
        # Users who are missing, but not believed to be removed, and since when.
        self._missing: dict[bytes, float] = {}
        self._removals = 0
        # What has changed of late, each after the state that was before.
        self._changes: deque[tuple[object, frozenset[bytes] | None]] = deque(
            maxlen=_CHANGES
        )
        self._problems: tuple[str, ...] = ()
        self._reading: _Reading[U] | None = None
        if reading.error is not None:
            raise reading.error
        self._users: U | None = reading.users
        if reading.users is not None:
            self._found(reading, reading.users)

    def stamp(self) -> object:
        """
        Return what differs when other users count than before.

        It also differs when users turn out to be removed.
        """
        self._look()
        if self._missing and self._reading is None:
            self._settle()
        return self._stamp, self._removals

    def _settle(self) -> None:
        """Believe that users are removed who have been missing for long enough."""
        now = monotonic()
        settled = now - self._changed >= _SETTLED
        missing = {
            name: since
            for name, since in self._missing.items()
            if not settled and now - since < _PATIENCE
        }
        removed = self._missing.keys() - missing.keys()
        if removed:
            self._changes.append(((self._stamp, self._removals), frozenset(removed)))
        self._removals += len(removed)
        self._missing = missing

    def altered(self, since: object) -> Iterable[bytes] | None:
        """As L{IAlteredStore.altered}."""
        names: set[bytes] = set()
        for before, altered in reversed(self._changes):
            if altered is None:
                return None
            names |= altered
            if before == since:
                return names
        return None

    def knows(self, name: bytes) -> bool:
        """
        Return whether there is such a user, or was a moment ago.

        While the file cannot be read, those count who were in it before. A user whose
        line is wrong is there, and cannot log in.
        """
        self._look()
        return name in self._names or name in self._named or name in self._missing

    def problems(self) -> tuple[str, ...]:
        """As L{IReportingStore.problems}."""
        self._look()
        return self._problems

    def users(self) -> U | None:
        """Return who there is now; L{None} when the file cannot be used."""
        self._look()
        return self._users

    def _look(self) -> None:
        """Read the file again if it has changed, and take what a thread has read."""
        reading = self._reading
        if reading is None:
            stamp = stampOf(self._path)
            if stamp == self._stamp:
                return
            self._changed = monotonic()
            reading = self._reading = _Reading(
                self._path,
                self._readFile,
                stamp,
                self._users,
                (self._names, self._named),
            )
            if not _isLarge(self._path) or not _started(reading):
                reading.run()
        if reading.over:
            self._reading = None
            self._take(reading)

    def _take(self, reading: _Reading[U]) -> None:
        self._changes.append(((self._stamp, self._removals), reading.altered))
        self._stamp = reading.stamp
        before = self._problems
        self._users = reading.users
        if reading.users is not None:
            self._found(reading, reading.users)
        elif isinstance(reading.error, PasswordFileError):
            self._named |= self._missing.keys()
            self._missing.clear()
            self._problems = (
                f"{reading.error}; nobody can log in, whoever is in stays",
            )
        else:
            assert reading.error is not None
            raise reading.error
        if before and not self._problems:
            _log.info("{path}: can be used again", path=str(self._path))
        for why in self._problems:
            _log.error("{why}", why=why)

    def _found(self, reading: _Reading[U], users: U) -> None:
        """Take note of users who are missing, and of lines that are wrong."""
        wrong, named = reading.wrong, reading.named
        missing = dict.fromkeys(reading.missing, self._changed) | self._missing
        self._missing = {
            name: since
            for name, since in missing.items()
            if name not in users and name not in named
        }
        self._names, self._named = users, named
        lines = [f"{each.why}; this user cannot log in" for each in wrong[:_TOLD]]
        if len(wrong) > _TOLD:
            lines.append(f"{self._path}: {len(wrong) - _TOLD} more lines are wrong")
        self._problems = tuple(lines)


class Unread(BaseException):
    """
    A large file has to be read, which may be done in a thread, and then all made again.

    It is no L{Exception}: what makes checkers catches these.

    @ivar run: reads it.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self.run = run


#: What was read ahead, by path and by what reads; L{None} outside of L{readingAhead}.
_ahead: Final[ContextVar[dict[object, Any] | None]] = ContextVar("ahead", default=None)


@contextmanager
def readingAhead() -> Iterator[None]:
    """Have no large file read on the spot meanwhile: L{Unread} is raised instead."""
    token = _ahead.set({})
    try:
        yield
    finally:
        _ahead.reset(token)


def _firstReading(path: Path, read: Read[U]) -> _Reading[U]:
    """Return what was read ahead of a file, or read it."""
    ahead = _ahead.get()
    found: _Reading[U] | None = None if ahead is None else ahead.get((path, read))
    if found is None:
        found = _Reading(path, read, stampOf(path))
        if ahead is not None and _isLarge(path):
            ahead[path, read] = found
            raise Unread(partial(_runAside, found))
        found.run()
    return found


def _isLarge(path: Path) -> bool:
    try:
        return path.stat().st_size > _AT_ONCE
    except OSError:
        return False


def _altered(
    before: Mapping[bytes, object], users: Mapping[bytes, object]
) -> Iterator[bytes]:
    """Yield the users of whom something else is there than before."""
    for name, value in users.items():
        known = before.get(name)
        if known is not value and known != value:
            yield name
    for name in before:
        if name not in users:
            yield name


def _runAside(reading: _Reading[U]) -> None:
    """Read, and let other threads run often."""
    with collectorAside(), givingWay():
        reading.run()


def _started(reading: _Reading[U]) -> bool:
    """
    Read in a thread of its own.

    @return: whether the thread could be started.
    """
    try:
        Thread(target=_runAside, args=(reading,), name="users", daemon=True).start()
    except RuntimeError:
        return False
    return True
