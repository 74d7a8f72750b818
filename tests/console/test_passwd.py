"""
C{socksgw passwd}, with and without C{--secrets}.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.strcred import InvalidAuthArgumentString, makeChecker

from socksgw.console.passwd import passwdMain
from socksgw.login import passwords
from socksgw.login.passwords import readPasswords, setPassword, verifyPassword
from socksgw.login.secrets import SecretsFile, readSecrets, setSecret
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


def refusing(_: Path, __: str, ___: bytes) -> None:
    raise ValueError("not this one")


@pytest.mark.parametrize("setIn", [setSecret, refusing])
def test_otherKindsOfFiles(
    tmp_path: Path, setIn: Callable[[Path, str, bytes], None]
) -> None:
    """What sets the password is another function."""
    file = tmp_path / "secrets"
    setSecret(file, "alice", b"sesame")
    err = io.StringIO()
    stdin = io.StringIO(f"{CANARY}\n")
    status = passwdMain(str(file), "bob", stdin, err, setIn=setIn)
    assert (b"bob" in readSecrets(file)) is (status == 0) is (setIn is setSecret)
    assert CANARY not in err.getvalue()


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
