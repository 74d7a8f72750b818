"""
Password hashes, and the file that holds them.

A line is C{name:$scrypt$ln=14,r=8,p=1$salt$hash}; salt and hash in base64
without padding. Empty lines and lines beginning with C{#} count for nothing.
"""

from __future__ import annotations

import getpass
import hmac
import os
import re
import stat
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import scrypt
from pathlib import Path
from typing import Final, NamedTuple, TextIO

__all__ = [
    "DUMMY",
    "PasswordFileError",
    "Scrypt",
    "hashPassword",
    "passwdMain",
    "readPasswords",
    "setPassword",
    "verifyPassword",
]

#: About 50 ms and 16 MiB.
_LN: Final = 14
_R: Final = 8
_P: Final = 1
#: Most memory that one verification may take, in octets.
_MEMORY: Final = 32 << 20
_NAME: Final = re.compile(r"[^:#\s\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,254}\Z")
_HASH: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})\Z",
    re.ASCII,
)


class PasswordFileError(Exception):
    """
    The file cannot be used; the text names file, line and remedy, never a
    hash.
    """


class Scrypt(NamedTuple):
    """
    A salted scrypt hash (RFC 7914).
    """

    ln: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        salt, digest = (b64encode(octets).rstrip(b"=").decode() for octets in self[3:])
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${salt}${digest}"

    def __repr__(self) -> str:
        return "Scrypt(…)"

    @classmethod
    def parse(cls, text: str) -> Scrypt:
        """
        @raise ValueError: it is no such hash, or takes too much memory.
        """
        match = _HASH.match(text)
        if match is None:
            raise ValueError("not a $scrypt$ hash")
        ln, r, p = (int(number) for number in match.groups()[:3])
        if not (1 <= ln <= 20 and r >= 1 and 1 <= p <= 4):
            raise ValueError("its parameters are out of range")
        if 128 * r << ln > _MEMORY - (1 << 20) * p:
            raise ValueError("it takes more than 32 MiB to check")
        salt, digest = (
            b64decode(part + "=" * (-len(part) % 4)) for part in match.groups()[3:]
        )
        return cls(ln, r, p, salt, digest)


def hashPassword(password: bytes) -> Scrypt:
    """
    A fresh salted hash.
    """
    salt = os.urandom(16)
    return Scrypt(_LN, _R, _P, salt, _derive(password, _LN, _R, _P, salt))


def verifyPassword(password: bytes, known: Scrypt) -> bool:
    """
    Whether the hash is of this password; in constant time.

    HMAC fills keys up with NULLs: with some behind it the password would be
    right as well. No password has one (L{setPassword}).
    """
    derived = _derive(password, known.ln, known.r, known.p, known.salt)
    return hmac.compare_digest(derived, known.digest) and b"\0" not in password


def _derive(password: bytes, ln: int, r: int, p: int, salt: bytes) -> bytes:
    return scrypt(
        password, salt=salt, n=1 << ln, r=r, p=p, maxmem=_MEMORY + (2 << 20), dklen=32
    )


#: For users that are not there: costs the same, and no password has it.
DUMMY: Final = Scrypt(_LN, _R, _P, bytes(16), bytes(32))


def readPasswords(path: Path) -> dict[bytes, Scrypt]:
    """
    The hashes by user name.

    @raise PasswordFileError: the file cannot be read, others can read it,
        or a line is wrong.
    """
    try:
        # Never wait for the other end of a FIFO.
        with open(
            path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
        ) as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise PasswordFileError(f"{path}: not a regular file; name another")
            octets = opened.read()
    except OSError as e:
        raise PasswordFileError(
            f"{path}: {e.strerror}; make it with: socksgw passwd {path} USER"
        ) from None
    if mode & (0o007 if _isCredential(path) else 0o077):
        raise PasswordFileError(f"{path}: others can read it; remedy: chmod 600 {path}")
    known: dict[bytes, Scrypt] = {}
    for number, line in enumerate(octets.splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, encoded = line.partition(b":")
        try:
            if not colon or not _NAME.match(name.decode("utf-8", "strict")):
                raise ValueError("not of the form name:hash")
            if name in known:
                raise ValueError("the name stands twice")
            known[name] = Scrypt.parse(encoded.strip().decode("ascii", "replace"))
        except ValueError as e:
            why = "not UTF-8" if isinstance(e, UnicodeError) else str(e)
            raise PasswordFileError(
                f"{path}: line {number}: {why}; set it with: socksgw passwd {path} USER"
            ) from None
    return known


def _isCredential(path: Path) -> bool:
    """
    Whether systemd handed the file to this service (systemd.exec(5),
    C{LoadCredential}); it lets us read by an access control list, whose mask
    shows as permissions of the group.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.is_relative_to(directory)


def setPassword(path: Path, user: str, password: bytes) -> None:
    """
    Set a user's password in the file, which is made when it is not there;
    everything else in it stays as it is.

    @raise ValueError: the name or the password cannot be.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    if not _NAME.match(user) or user in ("anonymous", "users") or user[0] == "@":
        raise ValueError(
            "a user name has no colon, no control character, no @ or # in front, "
            'and is not "anonymous" or "users"'
        )
    if not 1 <= len(password) <= 255 or b"\0" in password:
        raise ValueError("a password has 1 to 255 octets, and no NULL")
    # A link stays one: what it leads to is replaced.
    path = path.resolve()
    lines: list[bytes] = []
    owner: os.stat_result | None = None
    if path.exists():
        readPasswords(path)
        lines = path.read_bytes().splitlines()
        owner = path.stat()
    made = f"{user}:{hashPassword(password)}".encode()
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


def passwdMain(
    file: str,
    user: str,
    stdin: TextIO,
    err: TextIO,
    ask: Callable[[str], str] = getpass.getpass,
) -> int:
    """
    C{socksgw passwd FILE USER}.

    @param ask: prompts on a terminal.
    @return: the exit status.
    """
    try:
        if stdin.isatty():
            password = ask(f"Password for {user}: ")
            if ask("Once more: ") != password:
                print("socksgw: the two passwords differ; nothing changed", file=err)
                return 1
        else:
            password = stdin.readline().rstrip("\r\n")
        setPassword(Path(file), user, password.encode("utf-8", "surrogateescape"))
    except (ValueError, PasswordFileError) as e:
        print(f"socksgw: {e}; nothing changed", file=err)
        return 1
    except OSError as e:
        print(f"socksgw: {file}: {e.strerror}; nothing changed", file=err)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nsocksgw: nothing changed", file=err)
        return 1
    print(f"socksgw: the password of {user} is set in {file}", file=err)
    return 0
