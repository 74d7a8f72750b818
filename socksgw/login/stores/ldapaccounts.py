"""
The accounts of a directory: how one is found, what its name is, who may not log in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, final

from attrs import frozen

from socksgw.login.refusal import Barred, Refused
from socksgw.login.stores.ldaplinks import Entry, Link, ResultError
from socksgw.login.stores.ldapnames import fill, fillAs, firstOf
from socksgw.login.stores.remote import Unavailable, nameOf

__all__ = ["STATES", "Accounts", "PlainAccounts", "Search"]

#: The name below which entries are looked for, and a filter.
Search = tuple[str, Any]

#: Why an account may not log in: words of the journal, and what is said of each.
STATES: Final[Mapping[str, str]] = {
    "password-expired": "the password has expired",
    "password-must-change": "the password has to be changed first",
    "account-locked": "the account is locked",
}


class Accounts(Protocol):
    """
    What one kind of directory knows of its accounts.
    """

    @property
    def attributes(self) -> Sequence[str]:
        """Return the attributes that are read of an entry."""

    async def learn(self, link: Link) -> None:
        """
        Ask a server what is needed to find accounts, by a new connection to it.

        @raise NotServed: the server does not have it.
        """

    def asSaid(self, name: str) -> Sequence[Search]:
        """
        Return how the account is found that a client names; the first that finds counts.
        """

    def asNamed(self, name: str) -> Sequence[Search]:
        """Return how the account is found that has this one name."""

    def nameIn(self, entry: Entry) -> str:
        """
        Return the account's one name.

        @raise Refused: it cannot be told.
        """

    def barred(self, entry: Entry) -> Refused | None:
        """Return why the account may not log in now, if so."""

    def refused(self, error: ResultError) -> Refused | None:
        """Return what a refused bind says of the account, if anything."""


@final
@frozen
class PlainAccounts:
    """
    Accounts that a filter finds.

    @ivar base: the distinguished name below which they are.
    @ivar userFilter: with C{{user}}; L{None} where names lead to entries without a
        search.
    @ivar userName: the attribute that holds a user's one name.
    """

    base: str
    userFilter: Any
    userName: str

    @property
    def attributes(self) -> tuple[str, ...]:
        """As L{Accounts.attributes}."""
        return (self.userName,)

    async def learn(self, link: Link) -> None:
        """As L{Accounts.learn}: there is nothing to learn."""

    def asSaid(self, name: str) -> list[Search]:
        """As L{Accounts.asSaid}."""
        return [(self.base, fill(self.userFilter, user=name))]

    def asNamed(self, name: str) -> list[Search]:
        """As L{Accounts.asNamed}."""
        # With its other conditions: a disabled account is not found.
        return [(self.base, fillAs(self.userFilter, self.userName, name))]

    def nameIn(self, entry: Entry) -> str:
        """
        Return the attribute's only value, or of several the one in the entry's name.

        @raise Refused: as L{Accounts.nameIn}.
        """
        attribute = self.userName
        values = entry.values.get(attribute.lower(), ())
        names = [nameOf(value) for value in values]
        if len(names) == 1:
            return names[0]
        if not names:
            raise Unavailable(
                f"an entry without {attribute}, or one that may not be read; name "
                "an attribute that everybody has as user_name",
                alone=True,
            )
        first = firstOf(entry.dn, attribute)
        if first in names:
            return first
        raise Refused(
            "ambiguous",
            f"an entry with {len(names)} values of {attribute}, so that one user "
            "would have several names; name an attribute of one value as user_name",
            counts=True,
        )

    def barred(self, entry: Entry) -> Refused | None:
        """As L{Accounts.barred}: the filter finds only those who may."""
        return None

    def refused(self, error: ResultError) -> Refused | None:
        """As L{Accounts.refused}: a result code says nothing certain, a state does."""
        return Barred(error.state, STATES[error.state]) if error.state else None
