"""
What authentication methods declare of themselves.

Where a method declares nothing, the worst is assumed.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

from attrs import frozen
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass

from socksgw.interfaces import IProtectingMethod, IVerifyingMethod

__all__ = ["UNDECLARED", "Capabilities", "capabilitiesOf"]


@frozen
@final
class Capabilities:
    """
    What one method declares (L{socksgw.interfaces.IMethodCapabilities}).

    @ivar anonymous: as declared; so are the next five. L{None} where it was left
        out.
    @ivar verifies: whether its credentials need no checking (it is an
        C{IVerifyingMethod}).
    @ivar protects: whether what follows the login may be protected by it (it is
        an C{IProtectingMethod}).
    @ivar serves: what the banner says; empty for the method's name.
    @ivar challenge: as declared; empty where it was left out.
    """

    anonymous: bool | None = None
    cleartext: bool | None = None
    credentials: tuple[InterfaceClass, ...] | None = None
    certificate: bool = False
    local: bool = False
    serves: str = ""
    challenge: str = ""
    verifies: bool = False
    protects: bool = False

    @property
    def scheme(self) -> str:
        """The scheme of L{challenge}, in lower case; empty where it has none."""
        return self.challenge.partition(" ")[0].lower()

    @property
    def mayBeAnonymous(self) -> bool:
        """Whether it has to be assumed that it lets in clients without a login."""
        return self.anonymous is not False

    @property
    def mayBeSomebody(self) -> bool:
        """Whether a user can log in by it."""
        return not (self.anonymous and self.credentials == ()) or self.verifies

    @property
    def showsSecrets(self) -> bool:
        """Whether it has to be assumed that its secrets can be read on the wire."""
        return self.cleartext is not False

    @property
    def needsChecker(self) -> bool:
        """Whether some checker has to decide about its credentials."""
        if self.credentials is None:
            return not self.verifies
        return bool(self.credentials)


#: Nothing; or a token and, behind one space, what a field may hold (RFC 9110 sections
#: 5.6.2 and 11.3).
_CHALLENGE: Final = re.compile(r"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+(?: [!-~][ -~]*)?)?\Z")
#: Of a method that declares nothing.
UNDECLARED: Final = Capabilities()


def capabilitiesOf(method: Any) -> Capabilities:
    """
    Return what an C{IAuthMethod} declares.

    @raise Invalid: a declaration is not of its type.
    """
    for name in ("anonymous", "cleartext", "certificate", "local"):
        if type(getattr(method, name, False)) is not bool:
            raise Invalid(f"the method's declaration `{name}` is not True or False")
    credentials = getattr(method, "credentials", None)
    if credentials is not None and not (
        isinstance(credentials, tuple)
        and all(isinstance(each, InterfaceClass) for each in credentials)
    ):
        raise Invalid(
            "the method's declaration `credentials` is no tuple of interfaces"
        )
    serves = getattr(method, "serves", "")
    if not isinstance(serves, str) or not serves.isprintable():
        raise Invalid("the method's declaration `serves` is no line of text")
    challenge = getattr(method, "challenge", "")
    if not isinstance(challenge, str) or not _CHALLENGE.match(challenge):
        raise Invalid(
            "the method's declaration `challenge` is no scheme, with its parameters"
        )
    return Capabilities(
        getattr(method, "anonymous", None),
        getattr(method, "cleartext", None),
        credentials,
        getattr(method, "certificate", False),
        getattr(method, "local", False),
        serves,
        challenge,
        IVerifyingMethod.providedBy(method),
        IProtectingMethod.providedBy(method),
    )
