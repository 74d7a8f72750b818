"""
The C{pam} checker: whoever the system lets in by a PAM service.

PAM's modules run in this process, in threads of their own, with the rights of
this process: C{pam_unix} lets anybody but root ask about themselves only.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final, final

import pam
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from zope.interface import implementer

from socksgw.interfaces import Settings
from socksgw.login.refusal import Refused, busy
from socksgw.login.remote import Turns, Unavailable, nameOf
from socksgw.threads import threadsFor

__all__ = ["PAMChecker", "pamChecker"]

#: Calls that wait for a thread.
_WAITING: Final = 64
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
#: What says something of the system, and nothing of the user
#: (C{_pam_types.h} of Linux-PAM): open, symbol and service error, no memory, no
#: information, conversation, abort, unknown module, bad item. A system error
#: is not among them: it is how C{pam_exec} says no.
_BROKEN: Final = frozenset({1, 2, 3, 5, 9, 19, 26, 28, 29})


@implementer(ICredentialsChecker)
@final
class PAMChecker:
    """
    Asks PAM. A module that never comes back takes one thread, and lets nobody
    in.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self, name: str, reactor: Any, service: str, timeout: float, threads: int
    ) -> None:
        """
        @param service: the name of a file in C{/etc/pam.d}.
        @param timeout: seconds for one login, waiting for a thread included.
        """
        self._service = service
        self._threads = threadsFor(reactor, f"pam-{name}", threads, _WAITING, busy)
        self._turns = Turns(reactor, name, threads + _WAITING, timeout)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        @return: fires with the name; fails with L{Refused}.
        """
        name, password = credentials.username, credentials.password
        return self._turns.ask(partial(self._logIn, name, password))

    async def _logIn(self, username: bytes, password: bytes) -> bytes | tuple[()]:
        name = nameOf(username)
        if not password or b"\0" in password:
            raise Refused("wrong-credentials")
        right, code = await self._threads.do(
            partial(_ask, self._service, name.encode(), password)
        )
        if code in _BROKEN:
            raise Unavailable(f"PAM answers with code {code}")
        if not right:
            raise Refused("wrong-credentials")
        return name.encode()


def _ask(service: str, name: bytes, password: bytes) -> tuple[bool, int]:
    """
    In a thread: authentication, and whether the account is good.

    @return: whether both are, and PAM's code.
    """
    asking = pam.PamAuthenticator()
    # Nobody becomes anybody here: no credentials are set.
    right = asking.authenticate(name, password, service, resetcreds=False)
    return right is True, asking.code


def pamChecker(settings: Settings, reactor: Any) -> PAMChecker:
    """
    The checker that a table asks for.

    @raise ValueError: the system has no PAM.
    """
    try:
        pam.PamAuthenticator()
    except (AttributeError, OSError):
        raise ValueError("needs libpam, which this system does not have") from None
    settings.only("service", "timeout", "threads")
    service = settings.word("service", "socksgw")
    if not _SERVICE.match(service):
        settings.wrong("service", "must be the name of a file in /etc/pam.d")
    timeout = settings.duration("timeout", 8.0, 60.0)
    threads = settings.number("threads", 8, 1, 64)
    return PAMChecker(settings.name, reactor, service, timeout, threads)
