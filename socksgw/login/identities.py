"""What the identities that a method or a transport has verified are called here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.logger import Logger
from zope.interface import implementer

from socksgw.interfaces import (
    IAssertedIdentity,
    ILocalIdentity,
    IVerifiedIdentity,
)
from socksgw.login.canonical import CanonicalNames, folded
from socksgw.login.refusal import Refused

__all__ = ["Proved", "VerifiedIdentities"]

_log = Logger()

#: Characters of a name with its realm: a URI has 2,048, and there may be a prefix.
_LONGEST: Final = 2560


@frozen
class Proved:
    """
    The avatar id of somebody whom no store has to know.

    @ivar name: the user's.
    @ivar expires: when the proof ends, in seconds since the epoch.
    @ivar named: whether a directory has said the name: it has to know the user
        as long as there are sessions.
    @ivar groups: those that the proof has, by its own names of them.
    @ivar local: whether the kernel has proved a user of this machine, who is called by
        the words in C{groups} besides.
    """

    name: str
    expires: float | None
    named: bool = False
    groups: frozenset[str] = frozenset()
    local: bool = False


@implementer(ICredentialsChecker)
@final
class VerifiedIdentities:
    """
    Accept every identity that was verified, under one name for each.

    Names that could be taken for another user's are refused.

    A realm that is to be stripped is cut, any other stays behind an C{@}.
    Realms are compared octet by octet, as Kerberos does (RFC 4120 section
    6.1). Names of the stripped realms are those that a directory has, however
    the ticket spells them. Where there is no directory, and in other realms, names
    are folded.
    """

    credentialInterfaces = (IVerifiedIdentity,)

    def __init__(
        self,
        strip: Iterable[str] = (),
        exact: bool = False,
        names: CanonicalNames | None = None,
    ) -> None:
        """
        Make a checker.

        @param strip: the realms that are cut.
        @param exact: whether names that are not looked up stay as the ticket has them.
        @param names: where names of these realms are looked up.
        """
        self._strip = frozenset(strip)
        self._alike: dict[str, set[str]] = {}
        for each in self._strip:
            self._alike.setdefault(each.casefold(), set()).add(each)
        self._exact = exact
        self._names = names

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        Name an identity that was verified.

        @return: L{Proved}, or a C{Deferred} of it, which fails with L{Refused} when the
            directory knows no such user or cannot be asked.
        @raise Refused: the name cannot be a user's.
        """
        realm: str = credentials.realm
        try:
            name = credentials.username.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("bad-name") from None
        whole = f"{name}@{realm}" if realm else name
        # An escape (RFC 1964 section 2.1.1), or a second @, could make one
        # principal look like another's name and realm.
        if (
            not name
            or name != name.strip()
            or not whole.isprintable()
            or "\\" in whole
            or (realm and "@" in name + realm)
            or len(whole) > _LONGEST
        ):
            raise Refused("bad-name")
        if ILocalIdentity.providedBy(credentials):
            return Proved(
                whole, credentials.expires, groups=credentials.words, local=True
            )
        if IAssertedIdentity.providedBy(credentials):
            # The other gateway has folded it, or has not, as it is told to.
            return Proved(whole, credentials.expires, groups=credentials.groups)
        stripped = realm in self._strip
        if realm and not stripped:
            self._compare(realm)
        if stripped and self._names is not None:
            asking = self._names.of(name)
            return asking.addCallback(self._named, credentials.expires)
        if realm and not self._exact:
            name = folded(name)
        whole = f"{name}@{realm}" if realm and not stripped else name
        return Proved(whole, credentials.expires)

    def _compare(self, realm: str) -> None:
        """
        Tell, once, of a realm that is to be stripped in another case.
        """
        for each in self._alike.pop(realm.casefold(), ()):
            _log.warn(
                'auth.strip_realms has "{said}" and tickets have "{realm}": case counts '
                "in realms, so that users are called NAME@{realm}",
                said=each,
                realm=realm,
            )

    def _named(self, name: str | None, expires: float | None) -> Proved:
        if name is None:
            raise Refused(
                "unknown-user",
                "no directory finds the user among those who may log in",
            )
        return Proved(name, expires, True)
