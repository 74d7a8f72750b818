"""
Users, and who asks for something: what the stages pass on to one another.
"""

from __future__ import annotations

from typing import Protocol, final

from zope.interface import Attribute, Interface

from socksgw.wire.address import Address
from socksgw.wire.levels import CLEAR

__all__ = ["Asker", "ISocksUser", "User"]


class ISocksUser(Interface):
    """The avatar interface of the Portal."""

    name = Attribute("The user's name; L{ANONYMOUS} without a login.")
    anonymous = Attribute("Whether the client came in without a login, a C{bool}.")
    groups = Attribute("A C{frozenset} of group names.")
    method = Attribute("The policy's name of the method that logged the user in.")
    expires = Attribute(
        "When the login ends, in seconds since the epoch; L{None} for never."
    )
    unsure = Attribute(
        """
        A C{frozenset} of groups of which it is not known whether the user is in
        them: an allow by one does not match, a deny does.
        """
    )
    doubt = Attribute("Why there are such groups, a C{str} for the operator.")


class User(Protocol):
    """Who asks, as the policy and the journal see it (L{ISocksUser})."""

    @property
    def name(self) -> str:
        """The user's name; L{ANONYMOUS} without a login."""

    @property
    def anonymous(self) -> bool:
        """Whether the client came in without a login."""

    @property
    def groups(self) -> frozenset[str]:
        """The groups that the user is in."""

    @property
    def method(self) -> str:
        """The policy's name of the method that logged the user in."""

    @property
    def expires(self) -> float | None:
        """When the login ends, in seconds since the epoch; L{None} for never."""

    @property
    def unsure(self) -> frozenset[str]:
        """The groups of which it is not known whether the user is in them."""

    @property
    def doubt(self) -> str:
        """Why there are such groups, for the operator."""


@final
class Asker:
    """
    Who asks for something, from where.

    @ivar source: the client's address.
    @ivar listener: the name of the C{[[listen]]} that the client came in by.
    @ivar secured: how the client's side is protected, one of
        L{socksgw.wire.levels.FACTS}.
    @ivar tag: what the client has written behind its name; empty for nothing.
    """

    __slots__ = ("listener", "secured", "source", "tag", "user")

    def __init__(
        self,
        user: User,
        source: Address,
        listener: str,
        secured: str = CLEAR,
        tag: str = "",
    ) -> None:
        self.user = user
        self.source = source
        self.listener = listener
        self.secured = secured
        self.tag = tag

    @property
    def whose(self) -> bytes:
        """What tells the user from others; without a login, the client's address."""
        if self.user.anonymous:
            return self.source.sourceKey
        return self.user.name.encode("utf-8", "backslashreplace")
