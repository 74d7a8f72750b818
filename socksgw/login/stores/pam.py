"""
The C{pam} checker: users whom the system lets in by a PAM service.

PAM's modules run in this process, in threads of their own, with the rights of
this process: C{pam_unix} lets anybody but root ask about themselves only.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Sequence
from ctypes import CDLL, byref, c_char_p, c_int, c_void_p, cast
from functools import partial
from typing import Any, Final, final

import pam
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from socksgw.interfaces import Answer, IProbed, IReportingStore, Settings
from socksgw.login.refusal import WRONG, Refused, busy
from socksgw.login.stores.keys import PAM
from socksgw.login.stores.pamprobe import askService, lacking
from socksgw.login.stores.remote import Turns, Unavailable, nameOf
from socksgw.system.threads import threadsFor

__all__ = ["PAMChecker", "pamChecker"]

#: Calls that wait for a thread: as of passwords (L{socksgw.login.checkers}).
_WAITING: Final = 4096
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
#: What says something of the system, and nothing of the user
#: (C{_pam_types.h} of Linux-PAM): open, symbol and service error, no memory, no
#: information, conversation, abort, unknown module, bad item. A system error
#: is not among them: it is how C{pam_exec} says no.
_BROKEN: Final = frozenset({1, 2, 3, 5, 9, 19, 26, 28, 29})
#: The item that holds the user's name (C{_pam_types.h}).
_PAM_USER: Final = 2


class _Call:
    """
    A login that PAM is asked about.

    @ivar since: when it began, in the reactor's seconds.
    @ivar running: whether it is in a thread.
    """

    __slots__ = ("running", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.running = False


@implementer(ICredentialsChecker, IProbed, IReportingStore)
@final
class PAMChecker:
    """
    Ask PAM about names and passwords.

    A module that does not return holds one thread, and its login is refused.
    Meanwhile PAM is not asked about that name again.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(
        self, name: str, reactor: Any, service: str, timeout: float, threads: int
    ) -> None:
        """
        Make a checker.

        @param service: the name of a file in C{/etc/pam.d}.
        @param timeout: seconds for one login, waiting for a thread included.
        """
        self._reactor = reactor
        self._service = service
        self._timeout = timeout
        self._threads = threadsFor(
            reactor, f"pam-{name}", threads, _WAITING, busy, timeout
        )
        self._turns = Turns(reactor, name, 2 * threads + _WAITING, timeout)
        self._hanging: set[str] = set()

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}, without a login."""
        return await self._threads.do(partial(askService, self._service))

    def problems(self) -> Sequence[str]:
        """As L{IReportingStore.problems}."""
        return lacking(self._service)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """
        @return: fires with the name; fails with L{Refused}.
        """
        name, password = credentials.username, credentials.password
        return self._turns.ask(partial(self._logIn, name, password))

    async def _logIn(self, username: bytes, password: bytes) -> bytes | tuple[()]:
        name = nameOf(username)
        if not password or b"\0" in password:
            raise Refused(WRONG)
        key = name.casefold()
        if key in self._hanging:
            raise Unavailable("PAM has not come back from an earlier login")
        call = _Call(self._reactor.seconds())
        work = partial(self._inThread, name, password, key, call)
        # The thread alone holds the password now.
        del password
        try:
            found, code = await self._threads.do(work)
        except CancelledError:
            late = self._reactor.seconds() - call.since >= self._timeout
            if late and call.running:
                self._hanging.add(key)
            raise
        if code in _BROKEN:
            raise Unavailable(f"PAM answers with code {code}")
        if found is None:
            raise Refused(WRONG)
        # The name is a client's word until PAM has said which user it took.
        return nameOf(found).encode()

    def _inThread(
        self, name: str, password: bytes, key: str, call: _Call
    ) -> tuple[bytes | None, int]:
        call.running = True
        try:
            return _ask(self._service, name.encode(), password)
        finally:
            self._reactor.callFromThread(self._came, key, call)

    def _came(self, key: str, call: _Call) -> None:
        call.running = False
        self._hanging.discard(key)


def _ask(service: str, name: bytes, password: bytes) -> tuple[bytes | None, int]:
    """
    Authenticate, and see whether the account is good. Runs in a thread.

    @return: the user's one name, or L{None} when one of them fails; and PAM's
        code.
    """
    asking = pam.PamAuthenticator()
    try:
        # No credentials are set: this process becomes no other user.
        right = asking.authenticate(
            name, password, service, resetcreds=False, call_end=False
        )
        found = _userOf(asking.handle) if right is True else None
        return found, asking.code
    finally:
        asking.end()


def _userOf(handle: Any) -> bytes | None:
    """
    Return the user's name after a login.

    It is what modules have made of the name that they were given (pam_get_item(3)),
    as the system's database of users spells it. SSSD takes a name in any case, leaves
    PAM_USER as it is, and has one spelling in its database.
    """
    item = c_void_p()
    ask = CDLL("libpam.so.0").pam_get_item
    ask.restype = c_int
    if ask(handle, _PAM_USER, byref(item)) != 0 or not item.value:
        return None
    name = cast(item, c_char_p).value
    assert name is not None
    try:
        return pwd.getpwnam(name.decode()).pw_name.encode()
    except (KeyError, UnicodeDecodeError):
        # A user of the service alone.
        return name


def pamChecker(settings: Settings, reactor: Any) -> PAMChecker:
    """
    Make the checker that a table asks for.

    @raise ValueError: the system has no PAM.
    """
    try:
        pam.PamAuthenticator()
    except (AttributeError, OSError):
        raise ValueError("needs libpam, which this system does not have") from None
    settings.only(*PAM)
    service = settings.word("service", "socksgw")
    if not _SERVICE.match(service):
        settings.wrong("service", "must be the name of a file in /etc/pam.d")
    timeout = settings.duration("timeout", 8.0, 60.0)
    threads = settings.number("threads", 8, 1, 64)
    return PAMChecker(settings.name, reactor, service, timeout, threads)
