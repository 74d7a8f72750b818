"""
Password hashes, and the file that holds them.

A line is C{name:$scrypt$ln=14,r=8,p=1$salt$hash}; salt and hash in base64
without padding. Lines of C{htpasswd -B} (bcrypt), and Argon2id's, are good as
well.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import blake2b, scrypt
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from socksgw.login.hashes import Argon2id, Bcrypt
from socksgw.login.userfile import PasswordFileError, WrongLine, readUsers, setUser

__all__ = [
    "DUMMY",
    "Hash",
    "Hashes",
    "PasswordFileError",
    "Scrypt",
    "hashPassword",
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
            raise ValueError("not a $scrypt$, bcrypt or $argon2id$ hash")
        ln, r, p = (int(number) for number in match.groups()[:3])
        if not (1 <= ln <= 20 and r >= 1 and 1 <= p <= 4):
            raise ValueError("its parameters are out of range")
        if 128 * r << ln > _MEMORY - (1 << 20) * p:
            raise ValueError("it takes more than 32 MiB to check")
        salt, digest = (
            b64decode(part + "=" * (-len(part) % 4)) for part in match.groups()[3:]
        )
        return cls(ln, r, p, salt, digest)

    @property
    def cost(self) -> tuple[object, ...]:
        """Equal where checking takes equally long."""
        return "scrypt", self.ln, self.r, self.p

    def verify(self, password: bytes) -> bool:
        """
        Return whether this is the hash of a password, in constant time.

        One with NULLs at its end has the same hash: HMAC fills keys up with them.
        """
        derived = _derive(password, self.ln, self.r, self.p, self.salt)
        return hmac.compare_digest(derived, self.digest)


Hash = Scrypt | Bcrypt | Argon2id


def parseHash(text: str) -> Hash:
    """
    Read a password hash of any kind.

    @raise ValueError: it is no hash that we know, or costs too much to check, or
        needs a package that is not installed.
    """
    if text.startswith("$argon2"):
        return Argon2id.parse(text)
    if text.startswith("$2"):
        return Bcrypt.parse(text)
    if text.startswith(("$apr1$", "$1$", "{SHA}")):
        raise ValueError("a hash of MD5 or SHA-1 is none (htpasswd has -B)")
    return Scrypt.parse(text)


@final
class Hashes(dict[bytes, Hash]):
    """
    Hashes by user name.
    """

    def __init__(self, hashes: Mapping[bytes, Hash]) -> None:
        super().__init__(hashes)
        kinds: dict[tuple[object, ...], list[Any]] = {}
        for known in hashes.values():
            kind = kinds.get(known.cost)
            if kind is None:
                kind = kinds[known.cost] = [0, known]
            kind[0] += 1
        #: One of each cost, and how many there are up to it.
        self._kinds: list[tuple[int, Hash]] = []
        count = 0
        for _, (alike, one) in sorted(kinds.items(), key=lambda kind: repr(kind[0])):
            count += alike
            self._kinds.append((count, one))
        text = str(next(iter(hashes.values()), DUMMY))
        self._key = blake2b(text.encode(), digest_size=32).digest()

    def instead(self, name: bytes) -> Hash:
        """
        Return the hash to check an unknown user's password by.

        Its cost is chosen per name, always the same, with the distribution that the
        hashes of the file have. So the time tells of what kind a hash is, but not
        whether there is such a user.
        """
        if len(self._kinds) <= 1:
            return self._kinds[0][1] if self._kinds else DUMMY
        dealt = blake2b(name, digest_size=8, key=self._key).digest()
        number = int.from_bytes(dealt, "big") * len(self) >> 64
        return next(known for count, known in self._kinds if number < count)


def hashPassword(password: bytes) -> Scrypt:
    """Make a hash of a password, with a fresh salt."""
    salt = os.urandom(16)
    return Scrypt(_LN, _R, _P, salt, _derive(password, _LN, _R, _P, salt))


def verifyPassword(password: bytes, known: Hash) -> bool:
    """
    Return whether this is the hash of a password, in constant time.

    No password has a NULL (L{setPassword}).
    """
    return known.verify(password) and b"\0" not in password


def _derive(password: bytes, ln: int, r: int, p: int, salt: bytes) -> bytes:
    return scrypt(
        password, salt=salt, n=1 << ln, r=r, p=p, maxmem=_MEMORY + (2 << 20), dklen=32
    )


#: For users that are not there: costs the same, and no password has it.
DUMMY: Final = Scrypt(_LN, _R, _P, bytes(16), bytes(32))


def readPasswords(
    path: Path, wrong: list[WrongLine] | None = None, before: Hashes | None = None
) -> Hashes:
    """
    Read a file of password hashes.

    @param wrong: gets the lines that are wrong, and are left out.
    @param before: what was read before.
    @return: the hashes by user name.
    @raise PasswordFileError: the file cannot be read, others can read it, or a line
        is wrong (all of them, where C{wrong} gets them).
    """
    found = readUsers(path, parseHash, "socksgw passwd", wrong=wrong, before=before)
    return Hashes(found)


def setPassword(path: Path, user: str, password: bytes) -> None:
    """
    Set a user's password in a file, which is made when it is not there.

    Everything else in it stays as it is.

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
