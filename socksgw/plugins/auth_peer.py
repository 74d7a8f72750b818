"""
Login by what the kernel says of the program at the other end.

On the wire it is method 00, no authentication (RFC 1928): a program of this machine
has an identity already, the one of its user.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import (
    IAuthenticator,
    IConditional,
    ILocalIdentity,
    IVerifiedIdentity,
    IVerifyingMethod,
    Program,
)
from socksgw.system.program import isUnmapped
from socksgw.system.threads import SharedThreads, threadsFor
from socksgw.wire.codes import Method

__all__ = ["LocalIdentity", "Peer", "identify", "method"]

#: Threads that ask the system's user database, and calls that wait for one.
_THREADS: Final = 4
_WAITING: Final = 1024
#: Seconds after which a call counts as stuck, and for which an answer counts.
_PATIENCE: Final = 5.0
_SECONDS: Final = 60.0
#: Programs that are remembered at most.
_REMEMBERED: Final = 4096


def _busy() -> AuthenticationFailed:
    return AuthenticationFailed(
        "the system's user database answers too slowly", reason="busy", counts=False
    )


@implementer(ILocalIdentity)
@final
class LocalIdentity:
    """
    A user of this machine.

    @ivar username: C{uid:} and the name, or the number where there is no name.
    @ivar realm: none.
    @ivar expires: never.
    @ivar words: C{uid:} with the number, and C{gid:} with the names and the numbers of
        the groups.
    """

    __slots__ = ("expires", "realm", "username", "words")

    def __init__(self, name: str, words: Iterable[str]) -> None:
        self.username = name.encode()
        self.words = frozenset(words)
        self.realm = ""
        self.expires: float | None = None


def _isName(name: str) -> bool:
    """
    Tell whether a name of the user database can stand in a policy.

    A name of digits would be another user's number.
    """
    return (
        name.isprintable()
        and name == name.strip() != ""
        and "\\" not in name
        and not name.isdigit()
    )


def _userOf(uid: int) -> tuple[str, int] | None:
    """Return the name and the group of a user; L{None} for one without a name."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return None
    return (found.pw_name, found.pw_gid) if _isName(found.pw_name) else None


def _groupNames(gid: int) -> list[str]:
    words = [f"gid:{gid}"]
    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        return words
    return [*words, f"gid:{name}"] if _isName(name) else words


def identify(program: Program) -> LocalIdentity:
    """
    Ask the system's user database who a program is; it may block.

    Where the kernel has said no groups, they are those of the database.
    """
    user = _userOf(program.uid)
    groups: set[int] = set()
    if program.gid is not None:
        groups = {program.gid, *(program.groups or ())}
    elif user is not None:
        groups = set(os.getgrouplist(*user))
    words = [f"uid:{program.uid}"]
    for gid in groups:
        if not isUnmapped(gid):
            words += _groupNames(gid)
    return LocalIdentity(words[0] if user is None else f"uid:{user[0]}", words)


@implementer(IAuthenticator, IConditional)
@final
class Peer:
    """
    Takes what the kernel has said; says nothing.
    """

    def __init__(self, threads: SharedThreads, reactor: Any) -> None:
        self._threads = threads
        self._reactor = reactor
        # By the program without its process.
        self._known: OrderedDict[Program, tuple[float, LocalIdentity]] = OrderedDict()

    def applies(self, exchange: Any) -> bool:
        """
        Tell whether the other end is a program of a user who has a number here.

        Those of other user namespaces share one number.
        """
        program: Program | None = exchange.program
        return program is not None and not isUnmapped(program.uid)

    async def readCredentials(self, exchange: Any) -> IVerifiedIdentity:
        """There is nothing to read; the name of the user may be looked up."""
        program: Program | None = exchange.program
        if program is None or isUnmapped(program.uid):
            raise AuthenticationFailed(
                "the kernel does not say whose program it is",
                reason="no-peer",
                counts=False,
            )
        program = program._replace(pid=0)
        now = self._reactor.seconds()
        known = self._known.get(program)
        if known is not None and now < known[0]:
            return known[1]
        found = await self._threads.do(lambda: identify(program))
        self._known[program] = now + _SECONDS, found
        self._known.move_to_end(program)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def writeOutcome(
        self, exchange: Any, credentials: IVerifiedIdentity, granted: bool
    ) -> None:
        """There is nothing to say: the method has no messages."""


@implementer(IVerifyingMethod)
@final
class PeerMethod:
    """
    The method's declaration.
    """

    name = "peer"
    code = Method.NO_AUTHENTICATION
    help = "the user of the program at the other end, on this machine (method 00)"
    anonymous = False
    cleartext = False
    credentials = ()
    local = True
    serves = "as the user of their program"

    def build(self, settings: Mapping[str, Any], reactor: Any) -> Peer:
        """
        Make what serves every connection.

        @raise ValueError: there are settings, and it has none.
        """
        if settings:
            raise ValueError("has no settings")
        threads = threadsFor(
            reactor, "users of this machine", _THREADS, _WAITING, _busy, _PATIENCE
        )
        return Peer(threads, reactor)


method = PeerMethod()
