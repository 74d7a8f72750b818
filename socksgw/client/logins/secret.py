"""
Where a login has its password or token from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from socksgw.client.errors import LoginRefused

if TYPE_CHECKING:
    from socksgw.system.secretfile import SecretFile

__all__ = ["Secret", "constant", "secretIn"]

#: Returns a secret; raises L{LoginRefused} where there is none at the moment.
Secret = Callable[[], bytes]


def constant(secret: str | bytes | Secret) -> Secret:
    """Return what always returns a secret, unless it is such a function already."""
    if callable(secret):
        return secret
    octets = secret.encode() if isinstance(secret, str) else secret
    return lambda: octets


def secretIn(file: SecretFile) -> Secret:
    """Return what returns the secret that a file holds at the moment."""

    def read() -> bytes:
        # Programs whose secrets are in no file load less.
        from socksgw.system.files import FileError

        try:
            return file.read()
        except FileError as e:
            raise LoginRefused(str(e)) from None

    return read
