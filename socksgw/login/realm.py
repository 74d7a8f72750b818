"""
The Portal's realm, and its avatar: who a client is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, final

from attrs import evolve, field, frozen
from twisted.cred.checkers import ANONYMOUS as NOBODY
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from zope.interface import implementer

from socksgw.config.reserved import isLocal, isReserved
from socksgw.interfaces import ANONYMOUS, ISocksUser
from socksgw.login.identities import Proved

__all__ = ["ANYBODY", "SocksRealm", "SocksUser"]


@implementer(ISocksUser)
@frozen
class SocksUser:
    """
    Who a client is: the avatar of the Portal.

    @ivar name: the login name, or C{anonymous}.
    @ivar groups: the groups that the configuration gives the name.
    @ivar method: the policy's name of the method that logged them in.
    @ivar expires: when the login ends, in seconds since the epoch.
    @ivar proved: whether cryptography said who it is, and no store.
    @ivar named: whether a directory has said the name of somebody whom no store
        has logged in.
    @ivar issued: the groups in the token that logged them in, by its own names; what
        else the kernel calls a user of this machine.
    @ivar unsure: groups of which it is not known whether the user is in them.
    @ivar doubt: why there are such groups, for the operator.
    @ivar anonymous: whether nobody has logged in; the realm keeps users from
        having that name.
    """

    name: str
    groups: frozenset[str]
    method: str
    expires: float | None = None
    proved: bool = False
    named: bool = False
    issued: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()
    doubt: str = ""
    anonymous: bool = field(init=False)

    @anonymous.default
    def _isAnonymous(self) -> bool:
        return self.name == ANONYMOUS


_NONE: Final[frozenset[str]] = frozenset()

#: The user of clients that have not logged in; of another method than this, a copy.
ANYBODY: Final = SocksUser(ANONYMOUS, frozenset(), "none")


@implementer(IRealm)
@final
class SocksRealm:
    """
    From an avatar id to a L{SocksUser}.
    """

    def __init__(
        self,
        groups: Mapping[str, Iterable[str]],
        issued: Mapping[str, Iterable[str]] = MappingProxyType({}),
        words: Iterable[str] = (),
    ) -> None:
        """
        Take the groups of the configuration.

        @param groups: the members of each group.
        @param issued: what tokens call each group.
        @param words: those for users and groups of this machine that rules name.
        """
        self._groups = _turned(groups)
        self._issued = _turned(issued)
        self._words = frozenset(words)

    def requestAvatar(
        self, avatarId: object, mind: object, *interfaces: Any
    ) -> tuple[Any, SocksUser, Callable[[], None]]:
        """
        Make the user of an avatar id.

        @param mind: the policy's name of the method.
        @raise UnauthorizedLogin: the name cannot be a user's.
        """
        if ISocksUser not in interfaces:
            raise NotImplementedError("the realm knows ISocksUser only")
        if avatarId is NOBODY:
            method = str(mind)
            user = (
                ANYBODY if method == ANYBODY.method else evolve(ANYBODY, method=method)
            )
            return ISocksUser, user, _logout
        proof = avatarId if isinstance(avatarId, Proved) else None
        name = _text(avatarId) if proof is None else proof.name
        if isLocal(name) != (proof is not None and proof.local) or (
            isReserved(name) and not isLocal(name)
        ):
            raise UnauthorizedLogin("a name that means something else in a policy")
        issued = frozenset() if proof is None else proof.groups
        user = SocksUser(name, self.groupsOf(name, issued), str(mind))
        if proof is not None:
            user = evolve(
                user,
                expires=proof.expires,
                proved=True,
                named=proof.named,
                issued=issued,
            )
        return ISocksUser, user, _logout

    def groupsOf(self, name: str, issued: frozenset[str]) -> frozenset[str]:
        """
        Return the groups that the user of that name has.

        @param issued: the groups in their token, or what else the kernel calls them.
        """
        found = self._groups.get(name, _NONE)
        if isLocal(name):
            # Words that rules name count as groups.
            found |= issued & self._words
            return found.union(*(self._groups.get(word, _NONE) for word in issued))
        for each in issued & self._issued.keys():
            found |= self._issued[each]
        return found


def _turned(groups: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return the groups of each member, from the members of each group."""
    found: dict[str, set[str]] = {}
    for group, members in groups.items():
        for member in members:
            found.setdefault(member, set()).add(group)
    return {name: frozenset(its) for name, its in found.items()}


def _logout() -> None:
    """Do nothing: the end of a session changes nothing in the realm."""


def _text(avatarId: object) -> str:
    if isinstance(avatarId, bytes):
        return avatarId.decode("utf-8", "backslashreplace")
    return str(avatarId)
