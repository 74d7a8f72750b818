"""
Set a user's password in a file, and see to its users: C{socksgw passwd}.

A password is asked for, or read from standard input; it is never an argument.
"""

from __future__ import annotations

import argparse
import getpass
import hmac
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TextIO, final

from socksgw.login.passwords import (
    DUMMY,
    readPasswords,
    setPassword,
    verifyPassword,
)
from socksgw.login.secrets import readSecrets, setSecret
from socksgw.login.userfile import PasswordFileError, WrongLine, removeUser
from socksgw.system.output import printable

__all__ = [
    "HASHES",
    "SECRETS",
    "deleteMain",
    "listMain",
    "passwdCommand",
    "passwdMain",
    "verifyMain",
]

Ask = Callable[[str], str]


class Kind(Protocol):
    """What a file of users holds of each."""

    def set(self, path: Path, user: str, password: bytes, /) -> None:
        """Set a user's password."""

    def kinds(self, path: Path, wrong: list[WrongLine], /) -> Mapping[bytes, str]:
        """Return how the password of each user is kept."""

    def verifies(self, path: Path, user: bytes, password: bytes, /) -> bool:
        """Tell whether this is the password of a user."""


@final
class _Hashes:
    """A file for the checker C{passwd:}."""

    def set(self, path: Path, user: str, password: bytes) -> None:
        """As L{Kind.set}."""
        setPassword(path, user, password)

    def kinds(self, path: Path, wrong: list[WrongLine]) -> Mapping[bytes, str]:
        """As L{Kind.kinds}."""
        found = readPasswords(path, wrong)
        return {name: str(known.cost[0]) for name, known in found.items()}

    def verifies(self, path: Path, user: bytes, password: bytes) -> bool:
        """As L{Kind.verifies}."""
        return verifyPassword(password, readPasswords(path, []).get(user, DUMMY))


@final
class _Secrets:
    """A file for the checker C{secrets:}."""

    def set(self, path: Path, user: str, password: bytes) -> None:
        """As L{Kind.set}."""
        setSecret(path, user, password)

    def kinds(self, path: Path, wrong: list[WrongLine]) -> Mapping[bytes, str]:
        """As L{Kind.kinds}."""
        return dict.fromkeys(readSecrets(path, wrong), "clear")

    def verifies(self, path: Path, user: bytes, password: bytes) -> bool:
        """As L{Kind.verifies}."""
        known = readSecrets(path, []).get(user)
        return known is not None and hmac.compare_digest(known.password, password)


HASHES: Final[Kind] = _Hashes()
SECRETS: Final[Kind] = _Secrets()


def passwdMain(
    file: str,
    user: str,
    stdin: TextIO,
    err: TextIO,
    ask: Ask = getpass.getpass,
    kind: Kind = HASHES,
) -> int:
    """
    Read a password twice from a terminal, or once from a pipe, and set it.

    @param ask: prompts on a terminal.
    @return: the exit status: 0, or 1 when nothing was changed.
    """

    def change() -> str:
        password = _password(user, stdin, ask, "Once more: ")
        kind.set(Path(file), user, password)
        return f"the password of {user} is set in {file}"

    return _changed(change, file, err)


def deleteMain(file: str, user: str, err: TextIO, kind: Kind = HASHES) -> int:
    """
    Remove a user from a file.

    @return: the exit status: 0, or 1 when nothing was changed.
    """

    def change() -> str:
        check = partial(_checked, kind)
        if not removeUser(Path(file), user, check):
            raise ValueError(f"{file} has no user {printable(user)}")
        return f"{user} is removed from {file}"

    return _changed(change, file, err)


def _checked(kind: Kind, path: Path, wrong: list[WrongLine]) -> object:
    return kind.kinds(path, wrong)


def _changed(change: Callable[[], str], file: str, err: TextIO) -> int:
    """
    Change a file, and say what was done, or why not.

    @param change: does it, and returns what it has done.
    @return: the exit status.
    """
    try:
        done = change()
    except (ValueError, PasswordFileError) as e:
        print(f"socksgw: {e}; nothing changed", file=err)
        return 1
    except OSError as e:
        folder = Path(file).parent
        if isinstance(e, FileNotFoundError) and not folder.exists():
            told = f"there is no folder {folder}; make it first"
        else:
            told = f"{file}: {e.strerror}"
        print(f"socksgw: {told}; nothing changed", file=err)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nsocksgw: nothing changed", file=err)
        return 1
    print(f"socksgw: {done}", file=err)
    return 0


def _password(user: str, stdin: TextIO, ask: Ask, again: str = "") -> bytes:
    """
    Read a password.

    @param again: the prompt for the second time; empty for once.
    @raise ValueError: the second one is another.
    """
    if stdin.isatty():
        password = ask(f"Password for {user}: ")
        if again and ask(again) != password:
            raise ValueError("the two passwords differ")
    else:
        password = stdin.readline().rstrip("\r\n")
    return password.encode("utf-8", "surrogateescape")


def listMain(
    file: str, out: TextIO, err: TextIO, kind: Kind = HASHES, json_: bool = False
) -> int:
    """
    Print the users of a file, each with how its password is kept.

    @return: the exit status: 0, 1 where lines are wrong, so that their users cannot
        log in, or 2 when the file cannot be used.
    """
    wrong: list[WrongLine] = []
    try:
        found = kind.kinds(Path(file), wrong)
    except PasswordFileError as e:
        print(f"socksgw: {e}", file=err)
        return 2
    users = {name.decode("utf-8"): how for name, how in sorted(found.items())}
    if json_:
        lines = [{"user": name, "kind": how} for name, how in users.items()]
        said = {"users": lines, "wrong": [each.why for each in wrong]}
        print(json.dumps(said), file=out)
    else:
        width = max(map(len, users), default=0)
        for name, how in users.items():
            print(f"{printable(name):<{width}}  {how}", file=out)
        for each in wrong:
            print(f"socksgw: {printable(each.why)}", file=err)
    return 1 if wrong else 0


def verifyMain(
    file: str,
    user: str,
    stdin: TextIO,
    err: TextIO,
    ask: Ask = getpass.getpass,
    kind: Kind = HASHES,
) -> int:
    """
    Say whether a password is that of a user, as the gateway would.

    @return: the exit status: 0 it is, 1 it is not, or there is no such user, 2 when
        the file cannot be used.
    """
    try:
        password = _password(user, stdin, ask)
        right = kind.verifies(Path(file), user.encode(), password)
        there = user.encode() in kind.kinds(Path(file), [])
    except PasswordFileError as e:
        print(f"socksgw: {e}", file=err)
        return 2
    except (KeyboardInterrupt, EOFError):
        print("\nsocksgw: nothing checked", file=err)
        return 1
    name = printable(user)
    if right:
        print(f"socksgw: that is the password of {name}", file=err)
    elif there:
        print(f"socksgw: that is not the password of {name}", file=err)
    else:
        print(f"socksgw: {file} has no user {name}", file=err)
    return 0 if right else 1


def passwdCommand(
    options: argparse.Namespace, given: TextIO, out: TextIO, err: TextIO
) -> int:
    """
    Do what the options say.

    @param given: where a password is read from.
    @return: the exit status.
    """
    kind = SECRETS if options.secrets else HASHES
    file, user = options.file, options.user
    if options.list:
        if user is not None:
            print("socksgw passwd: --list is for all users", file=err)
            return 2
        return listMain(file, out, err, kind, options.json)
    if user is None or options.json:
        what = "name FILE and USER" if user is None else "--json is for --list"
        print(f"socksgw passwd: {what}", file=err)
        return 2
    if options.delete:
        return deleteMain(file, user, err, kind)
    if options.verify:
        return verifyMain(file, user, given, err, kind=kind)
    return passwdMain(file, user, given, err, kind=kind)
