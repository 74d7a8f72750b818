"""
Password hashes that other programs make: bcrypt and Argon2id.

A password file may hold them.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Kdf

__all__ = ["Argon2id", "Bcrypt"]

#: Octets of a password that bcrypt looks at.
_BCRYPT_LOOKS: Final = 72
_BCRYPT: Final = re.compile(
    # The last digit of salt and digest has bits that must be nought.
    r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}\Z",
    re.ASCII,
)
#: Rounds, as a power of two; the most takes some two seconds.
_BCRYPT_COSTS: Final = range(4, 15)
_ARGON2: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,8}),t=([1-9]\d{0,8}),p=([1-9]\d{0,8})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})\Z",
    re.ASCII,
)


class Bcrypt(NamedTuple):
    """
    A bcrypt hash, as C{htpasswd -B} makes it.
    """

    rounds: int
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "Bcrypt(…)"

    @classmethod
    def parse(cls, text: str) -> Bcrypt:
        """
        Read a hash of bcrypt.

        @raise ValueError: it is no such hash, or costs too much, or the package bcrypt
            is not installed.
        """
        match = _BCRYPT.match(text)
        if match is None:
            raise ValueError("not a bcrypt hash")
        rounds = int(match[1])
        if rounds not in _BCRYPT_COSTS:
            raise ValueError("its cost is not between 4 and 14")
        _bcrypt()
        return cls(rounds, text)

    @property
    def cost(self) -> tuple[object, ...]:
        """Equal where checking takes equally long."""
        return "bcrypt", self.rounds

    def verify(self, password: bytes) -> bool:
        """
        Return whether this is the hash of a password, in constant time.

        bcrypt does not tell what stands behind the 72nd octet or a NULL, so such
        passwords are refused.
        """
        looked = password[:_BCRYPT_LOOKS].replace(b"\0", b"?")
        right: bool = _bcrypt().checkpw(looked, self.text.encode())
        return right and looked == password


class Argon2id(NamedTuple):
    """
    An Argon2id hash (RFC 9106), version 1.3.
    """

    memory: int
    passes: int
    lanes: int
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "Argon2id(…)"

    @classmethod
    def parse(cls, text: str) -> Argon2id:
        """
        Read a hash of Argon2id.

        @raise ValueError: it is no such hash, or costs too much, or this OpenSSL has no
            Argon2.
        """
        match = _ARGON2.match(text)
        if match is None:
            raise ValueError("not a $argon2id$ hash of version 19")
        memory, passes, lanes = (int(number) for number in match.groups()[:3])
        if not (1 <= lanes <= 4 and 1 <= passes <= 10 and memory >= 8 * lanes):
            raise ValueError("its parameters are out of range")
        if memory > 32 << 10:
            raise ValueError("it takes more than 32 MiB to check")
        for part in match.groups()[3:]:
            octets = b64decode(part + "=" * (-len(part) % 4))
            if b64encode(octets).rstrip(b"=").decode() != part:
                raise ValueError("not a $argon2id$ hash of version 19")
        try:
            # Says whether there is Argon2, and computes nothing.
            Kdf(salt=b"any salt", length=4, iterations=1, lanes=1, memory_cost=8)
        except UnsupportedAlgorithm:
            raise ValueError(
                "an Argon2 hash needs OpenSSL 3.2 or newer, and the one that "
                "cryptography was built on is older: install cryptography's wheel"
            ) from None
        return cls(memory, passes, lanes, text)

    @property
    def cost(self) -> tuple[object, ...]:
        """Equal where checking takes equally long."""
        return "argon2id", self.memory, self.passes, self.lanes

    def verify(self, password: bytes) -> bool:
        """Return whether it is the hash of this password, in constant time."""
        try:
            Kdf.verify_phc_encoded(password, self.text)
        except InvalidKey:
            return False
        return True


def _bcrypt() -> Any:
    try:
        import bcrypt
    except ImportError:
        raise ValueError(
            "a bcrypt hash needs a package: pip install 'socksgw[bcrypt]'"
        ) from None
    return bcrypt
