"""
Identities that a method or a transport has verified: what they are called
here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from zope.interface import implementer

from socksgw.interfaces import IVerifiedIdentity
from socksgw.login.refusal import Refused

__all__ = ["Proved", "VerifiedIdentities"]

#: Characters of a name with its realm.
_LONGEST: Final = 1024


@frozen
class Proved:
    """
    The avatar id of somebody whom no store has to know.

    @ivar name: the user's.
    @ivar expires: when the proof ends, in seconds since the epoch.
    """

    name: str
    expires: float | None


@implementer(ICredentialsChecker)
@final
class VerifiedIdentities:
    """
    Says yes to every identity that was verified, by one name for each, and no
    to names that could be taken for another's.

    A realm that is to be stripped is cut, any other stays behind an C{@}.
    Realms are compared octet by octet, as Kerberos does (RFC 4120 section
    6.1).
    """

    credentialInterfaces = (IVerifiedIdentity,)

    def __init__(self, strip: Iterable[str] = ()) -> None:
        """
        @param strip: the realms that are cut.
        """
        self._strip = frozenset(strip)

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        @return: L{Proved}.
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
        return Proved(name if realm in self._strip else whole, credentials.expires)
