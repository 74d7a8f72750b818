"""
Password hashes, and the file that holds them.

A line is C{name:$scrypt$ln=14,r=8,p=1$salt$hash}; salt and hash in base64
without padding.
"""

from __future__ import annotations

import getpass
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import scrypt
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from socksgw.login.userfile import PasswordFileError, readUsers, setUser

__all__ = [
    "DUMMY",
    "PasswordFileError",
    "Scrypt",
    "hashPassword",
    "passwdMain",
    "readPasswords",
    "requirePassword",
    "setPassword",
    "verifyPassword",
]

#: About 50 ms and 16 MiB.
_LN: Final = 14
_R: Final = 8
_P: Final = 1
#: Most memory that one verification may take, in octets.
_MEMORY: Final = 32 << 20
_HASH: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})\Z",
    re.ASCII,
)


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
    return readUsers(path, Scrypt.parse, "socksgw passwd")


def setPassword(path: Path, user: str, password: bytes) -> None:
    """
    Set a user's password in the file, which is made when it is not there;
    everything else in it stays as it is.

    @raise ValueError: the name or the password cannot be.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    requirePassword(password)
    setUser(path, user, lambda: str(hashPassword(password)), readPasswords)


def requirePassword(password: bytes) -> None:
    """
    @raise ValueError: it cannot be a password.
    """
    if not 1 <= len(password) <= 255 or b"\0" in password:
        raise ValueError("a password has 1 to 255 octets, and no NULL")


def passwdMain(
    file: str,
    user: str,
    stdin: TextIO,
    err: TextIO,
    ask: Callable[[str], str] = getpass.getpass,
    setIn: Callable[[Path, str, bytes], None] = setPassword,
) -> int:
    """
    C{socksgw passwd FILE USER}.

    @param ask: prompts on a terminal.
    @param setIn: sets a user's password in a file.
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
        setIn(Path(file), user, password.encode("utf-8", "surrogateescape"))
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
