"""
The C{passwd:} checker: a password file, hashed in threads of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from socksgw.interfaces import Answer, IProbed
from socksgw.login.fileprobe import askFile
from socksgw.login.passwords import Hash, Hashes, readPasswords, verifyPassword
from socksgw.login.refusal import WRONG, Refused, busy
from socksgw.login.userfile import UserFile
from socksgw.system.threads import Threads

__all__ = ["HashingPool", "PasswordFile", "Refused"]

#: Verifications at a time, and those that may wait. Each waits for a client, as long
#: as that may take for its handshake, and the sources take turns: this only bounds
#: what strangers can have held.
_THREADS: Final = 2
_WAITING: Final = 8192


@final
class HashingPool:
    """
    Threads for verification alone.

    @ivar stop: ends them when the last verification is done.
    """

    def __init__(self, reactor: Any, threads: int = _THREADS, waiting: int = _WAITING):
        """
        @param waiting: most verifications that wait for a thread.
        """
        self._threads = Threads(reactor, "passwords", threads, waiting, busy)
        self.stop = self._threads.stop

    @property
    def figures(self) -> tuple[str, int, int, int]:
        """As L{Threads.figures}."""
        return self._threads.figures

    def verify(self, password: bytes, known: Hash) -> Deferred[bool]:
        """
        Check a password in a thread.

        @return: fires with whether the password is right; fails at once with
            L{Refused} when the queue is full.
        """
        return self._threads.do(lambda: verifyPassword(password, known))


@implementer(ICredentialsChecker, IProbed)
@final
class PasswordFile(UserFile[Hashes]):
    """
    Check passwords by a file made by C{socksgw passwd}.

    The file is read again when it changes. While it cannot be read, every login is
    refused.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, path: Path, pool: HashingPool) -> None:
        """
        @raise PasswordFileError: the file cannot be used.
        """
        super().__init__(path, readPasswords)
        self._pool = pool

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}."""
        return askFile(self._path, self.users(), self.problems())

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        Check a name and a password.

        @return: fires with the name; fails with C{UnauthorizedLogin} after the same
            work whether the user or the password is wrong.
        """
        users = self.users()
        if users is None:
            return fail(Refused("store-unreadable", "the file of users cannot be read"))
        if not credentials.password:
            # No user has that, so the time tells nothing of who there is.
            return fail(Refused(WRONG))
        name: bytes = credentials.username
        known = users.get(name)

        def verified(right: bool) -> bytes | tuple[()]:
            if not right or known is None:
                raise Refused(WRONG)
            return name

        # Users that are not there cost what the others cost.
        checked = self._pool.verify(credentials.password, known or users.instead(name))
        return checked.addCallback(verified)
