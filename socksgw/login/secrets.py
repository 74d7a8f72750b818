"""
The C{secrets:} checker: passwords that can be read back.

Methods in which the password does not travel need them.

A line is C{name:$clear$password}, the password in base64: encoded, so that it is
not read in passing, and nothing more.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from socksgw.interfaces import Answer, IProbed
from socksgw.login.fileprobe import askFile
from socksgw.login.passwords import requirePassword
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.userfile import UserFile, WrongLine, readUsers, setUser

__all__ = ["SecretsFile", "readSecrets", "setSecret"]

_KIND = "$clear$"


@final
class Secret:
    """A password; never printed."""

    __slots__ = ("password",)

    def __init__(self, password: bytes) -> None:
        self.password = password

    def __repr__(self) -> str:
        return "Secret(…)"

    @classmethod
    def parse(cls, text: str) -> Secret:
        """
        @raise ValueError: it is none.
        """
        kind, encoded = text[: len(_KIND)], text[len(_KIND) :]
        try:
            password = b64decode(encoded, validate=True)
            if kind != _KIND or b64encode(password).decode() != encoded:
                raise ValueError
            requirePassword(password)
        except ValueError:
            raise ValueError(f"not {_KIND} and a password in base64") from None
        return cls(password)


def readSecrets(
    path: Path, wrong: list[WrongLine] | None = None
) -> dict[bytes, Secret]:
    """
    Read a file of passwords.

    @param wrong: gets the lines that are wrong, and are left out.
    @return: the passwords by user name.
    @raise PasswordFileError: the file cannot be read, is not ours (or root's)
        alone, or a line is wrong (all of them, where C{wrong} gets them).
    """
    return readUsers(path, Secret.parse, "socksgw passwd --secrets", True, wrong)


def setSecret(path: Path, user: str, password: bytes) -> None:
    """
    Set a user's password in the file, which is made when it is not there.

    @raise ValueError: the name or the password cannot be.
    @raise PasswordFileError: the file cannot be used.
    @raise OSError: it cannot be written.
    """
    requirePassword(password)
    setUser(path, user, lambda: _KIND + b64encode(password).decode(), readSecrets)


@implementer(ICredentialsChecker, IProbed)
@final
class SecretsFile(UserFile[dict[bytes, Secret]]):
    """
    Check responses by a file made by C{socksgw passwd --secrets}.

    The file is read again when it changes. While it cannot be read, every login is
    refused.
    """

    credentialInterfaces = (IUsernameHashedPassword,)

    def __init__(self, path: Path) -> None:
        """
        @raise PasswordFileError: the file cannot be used.
        """
        # A password is never text: all are read anew.
        super().__init__(path, lambda path, wrong, _: readSecrets(path, wrong))
        # For users that are not there: costs the same.
        self._nobody = Secret(os.urandom(16))

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}."""
        return askFile(self._path, self.users(), self.problems(), "--secrets ")

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        Check a name and a response.

        @return: fires with the name; fails with C{UnauthorizedLogin} after the same
            work whether the user or the response is wrong.
        """
        users = self.users()
        if users is None:
            return fail(Refused("store-unreadable", "the file of users cannot be read"))
        name: bytes = credentials.username
        known = users.get(name)
        right = credentials.checkPassword((known or self._nobody).password)
        if not right or known is None:
            return fail(Refused(WRONG))
        return succeed(name)
