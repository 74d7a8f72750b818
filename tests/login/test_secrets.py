"""
The file of passwords that can be read back, and its checker.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.logger import capturedLogs, eventAsText
from zope.interface.verify import verifyObject

from socksgw.interfaces import IChangingStore
from socksgw.login.checkers import Refused
from socksgw.login.secrets import Secret, SecretsFile, readSecrets, setSecret
from socksgw.login.userfile import PasswordFileError

CANARY = "canary-2f90"


class Response:
    """Whoever knows the password gives the right response."""

    def __init__(self, username: bytes, password: bytes) -> None:
        self.username = username
        self.password = password
        self.asked: list[bytes] = []

    def checkPassword(self, password: bytes) -> bool:
        self.asked.append(password)
        return password == self.password


def ask(checker: SecretsFile, name: bytes, password: bytes) -> Any:
    """Whom the checker takes this for, or its exception."""
    results: list[Any] = []
    checker.requestAvatarId(Response(name, password)).addBoth(results.append)
    return getattr(results[0], "value", results[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file where alice has C{sesame}."""
    path = tmp_path / "secrets"
    setSecret(path, "alice", b"sesame")
    return path


def test_rightAndWrong(file: Path) -> None:
    """The name for the right response; one failure for everything else."""
    checker = SecretsFile(file)
    verifyObject(ICredentialsChecker, checker)
    verifyObject(IChangingStore, checker)
    assert ask(checker, b"alice", b"sesame") == b"alice"
    for name, password in [
        (b"alice", b"Sesame"),
        (b"Alice", b"sesame"),
        (b"bob", b"sesame"),
        (b"", b""),
        (b"\xff", b"sesame"),
    ]:
        failure = ask(checker, name, password)
        assert isinstance(failure, Refused)
        assert failure.reason == "wrong-credentials"
    # It takes no password that has travelled.
    assert IUsernamePassword not in checker.credentialInterfaces


def test_sameWork(file: Path) -> None:
    """
    For a user that is not there, one response is computed as well; with a
    password that nobody can know, and which lets nobody in.
    """
    checker = SecretsFile(file)
    unknown = Response(b"nobody", b"")
    checker.requestAvatarId(unknown).addErrback(lambda _: None)
    (instead,) = unknown.asked
    assert len(instead) == 16
    assert instead != SecretsFile(file)._nobody.password
    assert isinstance(ask(checker, b"nobody", instead), Refused)


def test_readAgain(file: Path) -> None:
    """What changes in the file counts from the next login on."""
    checker = SecretsFile(file)
    stamp = checker.stamp()
    setSecret(file, "bob", b"x")
    assert checker.stamp() != stamp
    assert ask(checker, b"bob", b"x") == b"bob"
    assert checker.knows(b"bob")
    assert not checker.knows(b"carol")
    file.chmod(0o604)
    with capturedLogs() as events:
        for _ in range(2):
            assert ask(checker, b"bob", b"x").reason == "store-unreadable"
    (event,) = events
    assert "chmod o-rwx" in eventAsText(event)


def test_madeForItsOwnerOnly(tmp_path: Path) -> None:
    """A new file has mode 0600; the password does not stand in it as it is."""
    setSecret(tmp_path / "secrets", "alice", CANARY.encode())
    path = tmp_path / "secrets"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert CANARY not in path.read_text()
    assert readSecrets(path)[b"alice"].password == CANARY.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_othersMayNotReachIt(file: Path, mode: int) -> None:
    """
    A file of secrets that others can read, its group among them, is an error
    with its remedy.
    """
    os.chown(file, -1, 54321)
    file.chmod(mode)
    with pytest.raises(PasswordFileError, match=r"chmod [go]-rwx"):
        SecretsFile(file)


@pytest.mark.parametrize(
    ("us", "owner", "good"), [(7, 7, True), (7, 0, True), (7, 8, False), (0, 8, True)]
)
def test_owner(
    file: Path, monkeypatch: pytest.MonkeyPatch, us: int, owner: int, good: bool
) -> None:
    """
    It is ours, or root's: whoever owns it can let anybody in. Root may go on
    to be whoever owns it.
    """
    if os.getuid() == 0:
        os.chown(file, owner, owner)
    elif owner != file.stat().st_uid:
        pytest.skip("only root can give a file away")
    monkeypatch.setattr("socksgw.login.userfile.os.geteuid", lambda: us)
    if good:
        assert readSecrets(file)
    else:
        with pytest.raises(PasswordFileError, match=f"chown {us}"):
            readSecrets(file)


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        "$clear$",
        "$clear$" + CANARY,
        "$clear$Y2FuYXJ5=",
        "$CLEAR$Y2FuYXJ5",
        "$scrypt$ln=14,r=8,p=1$AAAAAAAAAAAAAAAA$" + "A" * 43,
        "$clear$" + b64encode(b"a\0b").decode(),
        "$clear$" + b64encode(bytes(256)).decode(),
        "$clear$Y2Fu\xe9",
    ],
)
def test_wrongLine(file: Path, value: str) -> None:
    """A wrong line is told by its number, never by what stands in it."""
    with file.open("a") as opened:
        opened.write(f"carol:{value}\n")
    with pytest.raises(PasswordFileError, match="line 2: not ") as raised:
        readSecrets(file)
    text = str(raised.value)
    assert "socksgw passwd --secrets" in text
    assert CANARY not in text
    assert raised.value.__cause__ is None


@given(st.text(max_size=40) | st.from_regex(r"\$clear\$[A-Za-z0-9+/=]*"))
def test_parseRaisesValueErrorOnly(text: str) -> None:
    """Whatever stands in a file, it is a password or a ValueError."""
    try:
        secret = Secret.parse(text)
    except ValueError:
        return
    assert 1 <= len(secret.password) <= 255
    assert repr(secret) == "Secret(…)"


@pytest.mark.parametrize("password", [b"", b"x" * 256, b"x\0"])
def test_passwordThatCannotBe(file: Path, password: bytes) -> None:
    """A password has 1 to 255 octets; HMAC could not tell NULLs at its end."""
    before = file.read_bytes()
    with pytest.raises(ValueError, match="1 to 255"):
        setSecret(file, "alice", password)
    assert file.read_bytes() == before
