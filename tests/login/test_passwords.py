"""
Password hashes, and their file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import scrypt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.login import passwords, userfile
from socksgw.login.passwords import (
    PasswordFileError,
    Scrypt,
    hashPassword,
    readPasswords,
    setPassword,
    verifyPassword,
)

CANARY = "canary-7f3a"

#: RFC 7914 section 12, the third vector ("pleaseletmein", "SodiumChloride",
#: N=16384, r=8, p=1): its first 32 octets, which is what dkLen=32 gives.
VECTOR = bytes.fromhex(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
)


def encoded(octets: bytes) -> str:
    """Base64 without padding."""
    return b64encode(octets).rstrip(b"=").decode()


KNOWN = f"$scrypt$ln=14,r=8,p=1${encoded(b'SodiumChloride')}${encoded(VECTOR)}"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """New hashes cost next to nothing; they are made as ever."""
    monkeypatch.setattr(passwords, "_LN", 2)


@pytest.fixture
def file(tmp_path: Path, cheap: None) -> Path:
    """A file with three users and what people write besides."""
    path = tmp_path / "users"
    path.touch(0o600)
    path.write_text("# made by hand\n\n")
    for name in ("alice", "bob", "al"):
        setPassword(path, name, name.encode() + b"-secret")
    return path


# Hashes.


def test_vector() -> None:
    """scrypt is that of RFC 7914 section 12."""
    known = Scrypt.parse(KNOWN)
    assert known == (14, 8, 1, b"SodiumChloride", VECTOR)
    assert str(known) == KNOWN
    assert verifyPassword(b"pleaseletmein", known)
    assert not verifyPassword(b"Pleaseletmein", known)
    assert not verifyPassword(b"", known)


def test_nullsBehind() -> None:
    """
    HMAC fills keys up with NULLs (RFC 2104 section 2): a password with some
    behind it is another password all the same.
    """
    known = Scrypt.parse(KNOWN)
    for tail in (b"\0", b"\0\0"):
        assert not verifyPassword(b"pleaseletmein" + tail, known)


def test_hash() -> None:
    """
    A hash says its own parameters, costs at most 32 MiB, and has a salt of
    its own.
    """
    one, other = hashPassword(b"sesame"), hashPassword(b"sesame")
    match = re.fullmatch(
        r"\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)", str(one), re.ASCII
    )
    assert match is not None
    ln, r, p = (int(number) for number in match.groups()[:3])
    salt, digest = (b64decode(part + "==") for part in match.groups()[3:])
    memory = 128 * r * (1 << ln)
    assert 8 << 20 <= memory <= 32 << 20
    assert len(salt) >= 16
    assert digest == scrypt(
        b"sesame", salt=salt, n=1 << ln, r=r, p=p, dklen=32, maxmem=64 << 20
    )
    assert one.salt != other.salt
    assert one.digest != other.digest
    assert Scrypt.parse(str(one)) == one


def test_hashIsNotPrinted() -> None:
    """A hash does not get into a log by its representation."""
    known = Scrypt.parse(KNOWN)
    assert encoded(VECTOR) not in repr(known)
    assert repr(VECTOR)[2:-1] not in repr(known)


DIGEST = encoded(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$2b$12$abcdefghijklmnopqrstuv",
        KNOWN[:-1],
        KNOWN + "A",
        KNOWN + "=",
        KNOWN + "\n",
        " " + KNOWN,
        KNOWN.replace("ln=14,", ""),
        KNOWN.replace("ln=14", "ln=-1"),
        KNOWN.replace("ln=14", "ln=０4"),
        KNOWN.replace("r=8", "r=0"),
        KNOWN.replace("p=1", "p=0"),
        KNOWN.replace("p=1", "p=5"),
        KNOWN.replace("ln=14", "ln=0"),
        # More than 32 MiB.
        KNOWN.replace("ln=14", "ln=16"),
        KNOWN.replace("ln=14", "ln=20"),
        KNOWN.replace("r=8", "r=99"),
        # Salts: none, and base64 that is none.
        f"$scrypt$ln=14,r=8,p=1$${DIGEST}",
        f"$scrypt$ln=14,r=8,p=1$AAAAAAAAAAAAA${DIGEST}",
    ],
)
def test_noHash(text: str) -> None:
    """What is no such hash, or costs too much to check, is refused."""
    with pytest.raises(ValueError):
        Scrypt.parse(text)


@given(st.text(max_size=80) | st.from_regex(r"\$scrypt\$ln=\d,r=\d,p=\d\$.*\$.*"))
def test_parseRaisesValueErrorOnly(text: str) -> None:
    """Whatever stands in a file, it is a hash or a ValueError."""
    try:
        known = Scrypt.parse(text)
    except ValueError:
        return
    assert Scrypt.parse(str(known)) == known


def test_dummyHasNoPassword() -> None:
    """The hash for users that are not there costs as much as a fresh one."""
    made = hashPassword(b"x")
    assert passwords.DUMMY[:3] == made[:3]
    assert len(passwords.DUMMY.salt) == len(made.salt)
    for password in (b"", b"\0", b"x"):
        assert not verifyPassword(password, passwords.DUMMY)


# The file.


def test_read(file: Path) -> None:
    """The users of a file; empty lines and comments count for nothing."""
    known = readPasswords(file)
    assert set(known) == {b"alice", b"bob", b"al"}
    assert verifyPassword(b"alice-secret", known[b"alice"])
    assert not verifyPassword(b"bob-secret", known[b"alice"])


def test_madeForItsOwnerOnly(tmp_path: Path, cheap: None) -> None:
    """A new file has mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        setPassword(tmp_path / "users", "alice", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["users"]


def test_replaced(file: Path) -> None:
    """One user's line is replaced; every other octet stays."""
    before = file.read_bytes().splitlines()
    setPassword(file, "alice", b"another")
    after = file.read_bytes().splitlines()
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert [before[i].partition(b":")[0] for i in changed] == [b"alice"]
    known = readPasswords(file)
    assert verifyPassword(b"another", known[b"alice"])
    assert not verifyPassword(b"alice-secret", known[b"alice"])
    assert verifyPassword(b"al-secret", known[b"al"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_keepsOwner(file: Path) -> None:
    """
    When root sets a password, the gateway's user must still be able to read
    the file.
    """
    os.chown(file, 12345, 54321)
    setPassword(file, "alice", b"another")
    found = file.stat()
    assert (found.st_uid, found.st_gid) == (12345, 54321)
    assert stat.S_IMODE(found.st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o601, 0o666])
def test_othersMayNotReachIt(file: Path, mode: int) -> None:
    """
    A file of secrets that others can read, its group among them, is an error
    with its remedy.
    """
    os.chown(file, -1, 54321)
    file.chmod(mode)
    with pytest.raises(PasswordFileError, match=r"chmod [go]-rwx") as caught:
        readPasswords(file)
    assert file.stat().st_mode & 0o070 or "chmod o-rwx" in str(caught.value)


@pytest.mark.parametrize("wrong", ["carol:x", f"carol:{KNOWN}\ncarol:{KNOWN}"])
def test_theRemedyHelps(file: Path, cheap: None, wrong: str) -> None:
    """
    A user's line that is wrong, or stands twice, is mended by the command that
    the message names, also beside others that are.
    """
    with file.open("a") as opened:
        opened.write(f"{wrong}\ndave:y\n")
    with pytest.raises(PasswordFileError, match=f"passwd {file} carol"):
        readPasswords(file)
    for user in ("carol", "dave"):
        setPassword(file, user, b"sesame")
    known = readPasswords(file)
    assert all(verifyPassword(b"sesame", known[user]) for user in (b"carol", b"dave"))


def test_theOwnersGroupGoesOnReadingIt(file: Path) -> None:
    """Root's change leaves owner, group and mode as they are."""
    os.chown(file, 0, os.getegid())
    file.chmod(0o640)
    setPassword(file, "alice", b"another")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_whatCannotBeRead(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there is not said to be made."""

    def denied(*_: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(userfile, "readSecret", denied)
    with pytest.raises(
        PasswordFileError, match=r"Permission denied; .*chown"
    ) as caught:
        readPasswords(file)
    assert "make it" not in str(caught.value)


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def directory(path: Path) -> None:
    path.mkdir(0o700)


def absent(path: Path) -> None:
    pass


@pytest.mark.parametrize("make", [fifo, directory, absent])
def test_noFile(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What is no regular file is an error that names it, and never waits."""
    path = tmp_path / "users"
    make(path)
    with pytest.raises(PasswordFileError, match=re.escape(str(path))):
        readPasswords(path)


@pytest.mark.parametrize("make", [fifo, directory])
def test_setInNoFile(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What is no regular file is not replaced by one."""
    path = tmp_path / "users"
    make(path)
    before = path.stat()
    with pytest.raises(PasswordFileError):
        setPassword(path, "alice", b"x")
    assert path.stat() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"carol", "name:hash"),
        (b":" + KNOWN.encode(), "name:hash"),
        (b"carol:" + CANARY.encode(), "not a \\$scrypt"),
        (b"carol:", "not a \\$scrypt"),
        (b"carol\x00:" + KNOWN.encode(), "name:hash"),
        (b"c\x1bl:" + KNOWN.encode(), "name:hash"),
        (b"\xff:" + KNOWN.encode(), "UTF-8"),
        (b"alice:" + KNOWN.encode(), "twice"),
        (b"carol:" + KNOWN.replace("ln=14", "ln=20").encode(), "32 MiB"),
    ],
)
def test_wrongLine(file: Path, line: bytes, why: str) -> None:
    """A wrong line is told by its number, never by its hash."""
    count = len(file.read_bytes().splitlines())
    with file.open("ab") as opened:
        opened.write(line + b"\n")
    with pytest.raises(PasswordFileError, match=why) as raised:
        readPasswords(file)
    text = str(raised.value)
    assert f"line {count + 1}" in text
    assert str(file) in text
    assert CANARY not in text
    assert encoded(VECTOR) not in text
    assert raised.value.__cause__ is None
    before = file.read_bytes()
    with pytest.raises(PasswordFileError):
        setPassword(file, "dave", b"x")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "user",
    ["", "anonymous", "users", "@staff", "#x", "a:b", "a\nb", "a\0", " a", "a" * 256],
    ids=ascii,
)
def test_nameThatCannotBe(file: Path, user: str) -> None:
    """Names that mean something else, or break the file, are refused."""
    before = file.read_bytes()
    with pytest.raises(ValueError, match="name"):
        setPassword(file, user, b"x")
    assert file.read_bytes() == before


@pytest.mark.parametrize("user", ["a", "alice@CORP.EXAMPLE", "Jürgen", "a b", "a#b"])
def test_nameThatCanBe(file: Path, user: str) -> None:
    """Any other name is a user's."""
    setPassword(file, user, b"x")
    assert verifyPassword(b"x", readPasswords(file)[user.encode()])


@pytest.mark.parametrize("password", [b"", b"x" * 256, b"x\0", b"\0"])
def test_passwordThatCannotBe(file: Path, password: bytes) -> None:
    """A password has 1 to 255 octets (RFC 1929 section 2)."""
    before = file.read_bytes()
    with pytest.raises(ValueError, match="1 to 255"):
        setPassword(file, "alice", password)
    assert file.read_bytes() == before
