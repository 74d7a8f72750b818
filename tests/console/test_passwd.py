"""
C{socksgw passwd}, with and without C{--secrets}.
"""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.strcred import InvalidAuthArgumentString, makeChecker

from socksgw.console.passwd import (
    SECRETS,
    deleteMain,
    listMain,
    passwdMain,
    verifyMain,
)
from socksgw.login import passwords
from socksgw.login.passwords import readPasswords, setPassword, verifyPassword
from socksgw.login.secrets import SecretsFile, readSecrets
from tests.live.running import socksgw

CANARY = "canary-7f3a"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a user; new hashes cost next to nothing."""
    monkeypatch.setattr(passwords, "_LN", 2)
    path = tmp_path / "users"
    setPassword(path, "alice", b"alice-secret")
    return path


class Terminal(io.StringIO):
    """A terminal, for standard input."""

    def isatty(self) -> bool:
        return True


def asking(*answers: Any) -> tuple[Callable[[str], str], list[str]]:
    """What prompts on the terminal, and everything it was asked."""
    asked: list[str] = []
    left = list(answers)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    return ask, asked


def test_prompt(file: Path) -> None:
    """On a terminal the password is asked for twice."""
    ask, asked = asking(CANARY, CANARY)
    err = io.StringIO()
    assert passwdMain(str(file), "alice", Terminal(), err, ask) == 0
    assert len(asked) == 2
    assert verifyPassword(CANARY.encode(), readPasswords(file)[b"alice"])
    assert CANARY not in err.getvalue() + "".join(asked)
    assert str(file) in err.getvalue()


@pytest.mark.parametrize(
    "answers",
    [
        (CANARY, CANARY + "x"),
        ("", ""),
        (KeyboardInterrupt(),),
        (CANARY, KeyboardInterrupt()),
        (EOFError(),),
    ],
    ids=["differing", "empty", "interrupted", "interrupted again", "ended"],
)
def test_promptInVain(file: Path, answers: tuple[Any, ...]) -> None:
    """Two that differ, none, and a change of mind change nothing."""
    before = file.read_bytes()
    err = io.StringIO()
    assert passwdMain(str(file), "alice", Terminal(), err, asking(*answers)[0]) == 1
    assert "nothing changed" in err.getvalue()
    assert CANARY not in err.getvalue()
    assert file.read_bytes() == before


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_standardInput(file: Path, end: str) -> None:
    """Else it is the first line of standard input, without the line's end."""
    err = io.StringIO()
    stdin = io.StringIO(f" {CANARY} {end}", newline="")
    ask, asked = asking()
    assert passwdMain(str(file), "alice", stdin, err, ask) == 0
    assert not asked
    assert verifyPassword(f" {CANARY} ".encode(), readPasswords(file)[b"alice"])
    assert CANARY not in err.getvalue()


@pytest.mark.parametrize(
    ("name", "user", "stdin"),
    [
        ("users", "a:b", CANARY),
        ("users", "anonymous", CANARY),
        ("users", "alice", ""),
        ("users", "alice", "\n"),
        ("nowhere/users", "alice", CANARY),
        (".", "alice", CANARY),
    ],
)
def test_commandInVain(file: Path, name: str, user: str, stdin: str) -> None:
    """Every failure is one line that says that nothing changed, and why."""
    before = file.read_bytes()
    err = io.StringIO()
    path = file.parent / name
    assert passwdMain(str(path), user, io.StringIO(stdin), err) == 1
    assert err.getvalue().startswith("socksgw: ")
    assert err.getvalue().count("\n") == 1
    assert err.getvalue().endswith("nothing changed\n")
    assert CANARY not in err.getvalue()
    assert file.read_bytes() == before


def test_noFolder(file: Path) -> None:
    """A folder that is missing is what has to be made, not the file."""
    err = io.StringIO()
    path = file.parent / "none" / "users"
    assert passwdMain(str(path), "alice", io.StringIO("alice-secret\n"), err) == 1
    told = f"there is no folder {path.parent}; make it first; nothing changed"
    assert err.getvalue() == f"socksgw: {told}\n"


def test_commandOnReadableFile(file: Path) -> None:
    """A file that others can read is not written to, but told of."""
    file.chmod(0o644)
    err = io.StringIO()
    assert passwdMain(str(file), "alice", io.StringIO(CANARY), err) == 1
    assert "chmod o-rwx" in err.getvalue()


def test_commandLine(tmp_path: Path) -> None:
    """C{socksgw passwd FILE USER} makes a file that a checker can read."""
    done = socksgw("passwd", "users", "alice", cwd=tmp_path, stdin=CANARY + "\n")
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    path = tmp_path / "users"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert CANARY not in path.read_text()
    assert verifyPassword(CANARY.encode(), readPasswords(path)[b"alice"])


def test_secrets(tmp_path: Path) -> None:
    """A file of passwords is set, listed, checked and shortened likewise."""
    file = str(tmp_path / "secrets")
    err, out = io.StringIO(), io.StringIO()
    for user in ("alice", "bob"):
        stdin = io.StringIO(f"{CANARY}\n")
        assert passwdMain(file, user, stdin, err, kind=SECRETS) == 0
    for user, given, status in (
        ("bob", CANARY, 0),
        ("bob", "x", 1),
        ("carol", CANARY, 1),
    ):
        stdin = io.StringIO(given)
        assert verifyMain(file, user, stdin, err, kind=SECRETS) == status
    assert deleteMain(file, "alice", err, SECRETS) == 0
    assert list(readSecrets(Path(file))) == [b"bob"]
    assert listMain(file, out, err, SECRETS) == 0
    assert out.getvalue() == "bob  clear\n"
    assert CANARY not in err.getvalue() + out.getvalue()


#: As `htpasswd -nbB -C 4` makes it of `zoe-secret`, and a kind that is none here.
BCRYPT = "$2y$04$D.m1JaaYoKfXJX4KH.yCeOmSF.ESitaaTYOma4tDEZkLAzhObrDYa"
MD5 = "$apr1$x$y"


def test_list(file: Path) -> None:
    """Users with the kinds of their hashes; wrong lines are told, and no hash is."""
    text = file.read_text()
    digest = text.partition(":")[2].strip()
    file.write_text(f"{text}# comment\nzoe:{BCRYPT}\n")
    out, err = io.StringIO(), io.StringIO()
    assert listMain(str(file), out, err) == 0
    assert out.getvalue() == "alice  scrypt\nzoe    bcrypt\n"
    file.write_text(f"{text}bob:{MD5}\n")
    assert listMain(str(file), out, err) == 1
    assert "line 2" in err.getvalue()
    assert "htpasswd has -B" in err.getvalue()
    said = io.StringIO()
    assert listMain(str(file), said, err, json_=True) == 1
    found = json.loads(said.getvalue())
    assert found["users"] == [{"user": "alice", "kind": "scrypt"}]
    assert "line 2" in found["wrong"][0]
    for secret in (digest, BCRYPT, MD5):
        assert secret not in out.getvalue() + err.getvalue() + said.getvalue()
    assert listMain(str(file.parent / "none"), out, err) == 2


def test_delete(file: Path) -> None:
    """All lines of a user go, also a wrong one; nothing else does."""
    text = file.read_text()
    file.write_text(f"# first\n{text}bob:{MD5}\nalicea:{BCRYPT}\n")
    file.chmod(0o640)
    err = io.StringIO()
    assert deleteMain(str(file), "bob", err) == 0
    assert file.read_text() == f"# first\n{text}alicea:{BCRYPT}\n"
    assert deleteMain(str(file), "alice", err) == 0
    assert file.read_text() == f"# first\nalicea:{BCRYPT}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    before = file.stat().st_ino
    assert deleteMain(str(file), "alice", err) == 1
    assert err.getvalue().endswith("has no user alice; nothing changed\n")
    assert file.stat().st_ino == before
    assert deleteMain(str(file.parent / "none"), "alice", err) == 1


def test_verify(file: Path) -> None:
    """As the gateway checks it: from a terminal, or from a pipe; and never told."""
    file.write_text(f"{file.read_text()}zoe:{BCRYPT}\nbob:{MD5}\n")
    for user, given, status in (
        ("alice", "alice-secret", 0),
        ("alice", "alice-secrex", 1),
        ("zoe", "zoe-secret", 0),
        ("zoe", "zoe-secrex", 1),
        ("bob", "bob-secret", 1),
        ("carol", "alice-secret", 1),
    ):
        err = io.StringIO()
        assert verifyMain(str(file), user, io.StringIO(f"{given}\n"), err) == status
        assert given not in err.getvalue()
        ask, asked = asking(given)
        assert verifyMain(str(file), user, Terminal(), err, ask) == status
        assert asked == [f"Password for {user}: "]
    ask, _ = asking(EOFError())
    assert verifyMain(str(file), "alice", Terminal(), io.StringIO(), ask) == 1
    assert verifyMain(str(file.parent / "x"), "a", io.StringIO("b"), err) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("users",),
        ("--list", "users", "alice"),
        ("--delete", "users"),
        ("--verify", "--delete", "users", "alice"),
        ("--json", "users", "alice"),
    ],
)
def test_wrongUse(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Nothing is asked for then."""
    done = socksgw("passwd", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def test_commandLineForSecrets(tmp_path: Path) -> None:
    """
    C{socksgw passwd --secrets FILE USER} makes a file that C{secrets:} takes,
    and C{passwd:} does not; nor the other way round.
    """
    for name, *options in (("secrets", "--secrets"), ("hashes",)):
        made = socksgw(
            "passwd", *options, name, "alice", cwd=tmp_path, stdin=CANARY + "\n"
        )
        assert made.returncode == 0, made.stderr
        assert CANARY not in made.stdout + made.stderr
    assert isinstance(makeChecker(f"secrets:{tmp_path}/secrets"), SecretsFile)
    for wrong in (
        f"secrets:{tmp_path}/hashes",
        f"passwd:{tmp_path}/secrets",
        f"secrets:{tmp_path}/none",
        "secrets:",
        "secrets",
    ):
        with pytest.raises(InvalidAuthArgumentString):
            makeChecker(wrong)
    mixed = socksgw("passwd", "secrets", "alice", cwd=tmp_path, stdin=CANARY + "\n")
    assert mixed.returncode == 1
    assert "nothing changed" in mixed.stderr
