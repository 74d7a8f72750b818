"""
Conditions of rules: sets of addresses, destinations, users, and the ban before all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, final

from socksgw.config.reserved import USERS, isLocal, isLocalName, isReserved
from socksgw.config.userwords import userWord
from socksgw.interfaces import ANONYMOUS
from socksgw.policy.networks import Network, Networks
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.special import KINDS, PRIVATE, SPECIAL, embedded, kinds
from socksgw.wire.address import Address

__all__ = [
    "WORDS",
    "Addresses",
    "Destinations",
    "HostFacts",
    "Never",
    "Person",
    "Who",
]

#: The built-in names of a network.
WORDS: Final = KINDS | {"self", "listeners", "any"}
_PLACES: Final = frozenset({"self", "listeners"})


class HostFacts(Protocol):
    """
    What the policy asks about the host that it runs on, as it is now.

    An address is in the network of the client's listener: the same one may be this
    host's own there, and another's elsewhere.
    """

    def isSelf(self, address: Address, listener: str | None = None) -> bool:
        """
        Tell whether a connection to the address stays on this host.

        @param listener: the client's; L{None} for any.
        """

    def isListener(
        self, address: Address, port: int, listener: str | None = None
    ) -> bool:
        """
        Tell whether the gateway listens at an address and port.

        @param listener: the client's; L{None} for any.
        """


class Person(Protocol):
    """
    The user who asks, as far as rules need it (L{socksgw.interfaces.User}).
    """

    @property
    def name(self) -> str:
        """Return the user's name, or C{anonymous}."""

    @property
    def anonymous(self) -> bool:
        """Tell whether the client has not logged in."""

    @property
    def groups(self) -> frozenset[str]:
        """Return the groups that the user is known to be in."""

    @property
    def method(self) -> str | None:
        """Return the method of the login; L{None} when it is unknown."""

    @property
    def unsure(self) -> frozenset[str]:
        """Return the groups that the user may be in."""

    @property
    def doubt(self) -> str:
        """Return why these are unknown, for the operator; empty when none are."""


@final
class Addresses:
    """
    A set of addresses: networks and built-in names.

    @ivar words: the built-in names.
    @ivar networks: the networks.
    @ivar everything: whether it is every address there is.
    """

    __slots__ = (
        "_facts", "_kinds", "_listed", "_places", "everything", "networks", "words",
    )  # fmt: skip

    def __init__(
        self, words: Iterable[str], networks: Networks, facts: HostFacts
    ) -> None:
        self.words = frozenset(words)
        self.networks = networks
        self.everything = "any" in self.words or (
            any(shift == 32 for shift, _ in networks.four)
            and any(shift == 128 for shift, _ in networks.six)
        )
        self._listed = bool(networks)
        self._kinds = self.words & KINDS
        self._places = self.words & _PLACES
        self._facts = facts

    def __bool__(self) -> bool:
        return bool(self.words or self.networks)

    @property
    def moves(self) -> bool:
        """Whether it may be other addresses at another time: this host's own."""
        return bool(self._places)

    def covers(
        self, address: Address, port: int = 0, listener: str | None = None
    ) -> bool:
        """
        Tell whether an address is in the set.

        @param port: counts for C{listeners}, which are addresses with ports.
        @param listener: the client's, whose network the address is in.
        """
        if self.everything or (self._listed and address in self.networks):
            return True
        if self._kinds and not self._kinds.isdisjoint(kinds(address)):
            return True
        if self._places:
            if "self" in self._places and self._facts.isSelf(address, listener):
                return True
            if "listeners" in self._places:
                return self._facts.isListener(address, port, listener)
        return False

    def why(self, address: Address, port: int, listener: str | None = None) -> str:
        """
        Return the word of the set that covers an address, for the operator.
        """
        for word in sorted((self._kinds & kinds(address)) - {SPECIAL}):
            return word
        if SPECIAL in self._kinds and SPECIAL in kinds(address):
            return next(iter(sorted(kinds(address) - {SPECIAL, PRIVATE})), SPECIAL)
        facts = self._facts
        if "self" in self._places and facts.isSelf(address, listener):
            return "self"
        if "listeners" in self._places and facts.isListener(address, port, listener):
            return "listeners"
        return "any" if self.everything else "a network"

    def contains(self, other: Addresses) -> bool:
        """Tell whether this set surely covers all that another one does."""
        if self.everything:
            return True
        return other.words <= self._reaching(other.words) and (
            self.networks.contains(other.networks)
        )

    def joined(self, other: Addresses) -> Addresses:
        """Return the set of what this one or another one covers."""
        networks = Networks((), (self.networks, other.networks))
        return Addresses(self.words | other.words, networks, self._facts)

    def _reaching(self, words: frozenset[str]) -> frozenset[str]:
        if SPECIAL in self.words:
            return self.words | (KINDS - {PRIVATE})
        return self.words


@final
class Destinations:
    """
    The C{to} of a rule: addresses, names, or both.

    @ivar addresses: L{None} when there are none.
    @ivar names: L{None} when there are none.
    """

    __slots__ = ("addresses", "names")

    def __init__(self, addresses: Addresses | None, names: NamePatterns | None) -> None:
        self.addresses = addresses
        self.names = names


@final
class Who:
    """
    The C{who} of a rule.

    @ivar words: those for users and groups of this machine.
    @ivar names: the names of users.
    @ivar beginnings: what the names begin with that are meant besides, by their
        lengths: each is a pattern without its C{*}.
    """

    __slots__ = (
        "_any", "anonymous", "beginnings", "groups", "names", "users", "words",
    )  # fmt: skip

    def __init__(self, words: Iterable[str]) -> None:
        found = set(words)
        self.anonymous = ANONYMOUS in found
        self.users = USERS in found
        self.words = frozenset(filter(isLocal, found))
        named = frozenset(filter(isLocalName, self.words))
        # What a user of this machine is called besides its name counts as a group.
        self.groups = self.words - named | {w[1:] for w in found if w.startswith("@")}
        others = [userWord(w) for w in found if not isReserved(w)]
        self.names = named | {each.text for each in others if not each.pattern}
        self._any = tuple(each.text for each in others if each.pattern)
        self.beginnings: dict[int, frozenset[str]] = {
            length: frozenset(each for each in self._any if len(each) == length)
            for length in map(len, self._any)
        }

    def __bool__(self) -> bool:
        return bool(
            self.anonymous or self.users or self.groups or self.names or self._any
        )

    def covers(self, user: Person) -> bool:
        """Tell whether a user is meant."""
        if user.anonymous:
            return self.anonymous
        return (
            self.users
            or user.name in self.names
            or not self.groups.isdisjoint(user.groups)
            or (self._any != () and self._begins(user.name))
        )

    def _begins(self, name: str) -> bool:
        """Tell whether a name has one of the beginnings, and more."""
        return name.startswith(self._any) and any(
            name.startswith(each) and name != each for each in self._any
        )

    def mayCover(self, user: Person) -> bool:
        """Tell whether a user is meant if they are in a group that is not known."""
        return not user.anonymous and not self.groups.isdisjoint(user.unsure)

    def contains(self, other: Who) -> bool:
        """Tell whether this surely covers all users that another one does."""
        if other.anonymous and not self.anonymous:
            return False
        if self.users:
            return True
        return (
            not other.users
            and other.groups <= self.groups
            and all(n in self.names or self._begins(n) for n in other.names)
            and all(each.startswith(self._any) for each in other._any)
        )


@final
class Never:
    """
    The ban before every rule, with its exceptions: C{[never]}.

    @ivar banned: what is banned; L{None} for nothing.
    @ivar lifted: the addresses that are not banned, whatever the port.
    @ivar places: addresses with ports that are not banned.
    """

    __slots__ = ("banned", "lifted", "places")

    def __init__(
        self,
        banned: Addresses | None,
        lifted: Iterable[Network],
        places: Iterable[tuple[Address, int]],
    ) -> None:
        """
        Combine a ban and its exceptions.

        @param banned: what is banned; L{None} for nothing.
        @param lifted: networks that are not banned, whatever the port.
        @param places: addresses with ports that are not banned.
        """
        self.banned = banned
        self.lifted = Networks(lifted)
        self.places = frozenset(places)

    def hit(
        self, address: Address, port: int | None, listener: str | None = None
    ) -> str | None:
        """
        Return why an address is banned, or one that it embeds; else L{None}.

        @param port: L{None} while it is not known: an address that is not banned on
            some port is not banned then.
        @param listener: the client's.
        """
        banned = self.banned
        if banned is None:
            return None
        number = port or 0
        if banned.covers(address, number, listener) and not self.lifts(address, port):
            return banned.why(address, number, listener)
        for each in embedded(address):
            # An exception is for the address itself, not where it is embedded.
            if banned.covers(each, number, listener):
                return f"{banned.why(each, number, listener)} (as {each} in it)"
        return None

    def bansSelf(self, address: Address, port: int) -> bool:
        """
        Tell whether an address is banned if it leads to this host.

        This is for a connection that turned out to lead here, though the address did
        not say so.
        """
        banned = self.banned
        return (
            banned is not None
            and (banned.everything or "self" in banned.words)
            and not self.lifts(address, port)
        )

    def lifts(self, address: Address, port: int | None) -> bool:
        """
        Tell whether an address is an exception.

        @param port: L{None} while it is not known.
        """
        if address in self.lifted:
            return True
        if port is None:
            return any(address == lifted for lifted, _ in self.places)
        return (address, port) in self.places
