"""
Questions to the policy, and the verdicts that answer them.
"""

from __future__ import annotations

import time
from typing import ClassVar, Final, NamedTuple, Protocol, Self, final

from attrs import frozen

from socksgw.interfaces import UNKNOWN
from socksgw.policy.answers import (
    GROUPS,
    INSPECTED,
    KEEPS_ALLOWING,
    KEEPS_DENYING,
)
from socksgw.policy.conditions import Person
from socksgw.policy.groups import ORDINARY, GroupTerms
from socksgw.policy.leaving import Leaving
from socksgw.wire.address import Address

__all__ = [
    "DECIDER",
    "DEFAULT",
    "NEVER",
    "UNOFFERED",
    "UNSEEN",
    "Asking",
    "Consulting",
    "Found",
    "Missing",
    "Obligations",
    "Question",
    "Supposed",
    "Verdict",
]

#: The rule of a verdict when no rule matched, and when [never] did.
DEFAULT: Final = "default"
NEVER: Final = "never"
#: In place of a rule's id: no C{[[auth.choose]]} lets such a client in.
UNOFFERED: Final = "auth.choose"
#: And that: a C{[[decider]]} denies what a rule allows.
DECIDER: Final = "decider"


class Asking(Protocol):
    """
    Who asks (L{socksgw.interfaces.Asker}); L{None} means that a fact is unknown.
    """

    @property
    def user(self) -> Person:
        """Return the user."""

    @property
    def source(self) -> Address | None:
        """Return the client's address."""

    @property
    def listener(self) -> str | None:
        """Return the name of the listener that the client connected to."""

    @property
    def secured(self) -> str | None:
        """Return how the client's connection is protected."""

    @property
    def tag(self) -> str | None:
        """Return the tag behind the user's name; empty for none."""


class Found(NamedTuple):
    """
    What the first octets of a session tell; L{None} for a fact that is not given.

    @ivar application: the word for it; L{socksgw.interfaces.UNKNOWN} where that could
        not be told.
    @ivar serverName: the name of the server; empty for none.
    @ivar hidden: whether there may be another name that cannot be read.
    """

    application: str | None
    serverName: str | None
    hidden: bool = False


#: Of a session that was not looked at when there was time for it.
UNSEEN: Final = Found(UNKNOWN, "", hidden=True)


class Question:
    """
    A question to the policy: who asks for what.

    @cvar keepsAllowing: the facts which, while they are unknown, keep a rule from
        allowing. What a session carries is known later of a live request.
    @cvar keepsDenying: the facts which, while they are unknown, keep a rule from
        denying. For a live request groups do not: a user who may be in a denied group
        is denied.
    @ivar command: C{connect}, C{bind}, C{udp}, C{multicast} or C{resolve}.
    @ivar name: the asked host name, or L{None} for a literal.
    @ivar port: 0 while it is unknown: for the peer of a BIND, for an association,
        for a look-up.
    @ivar at: when, in seconds since the epoch; L{None} for now.
    @ivar found: what its first octets tell; L{None} while that is unknown.
    """

    __slots__ = ("asker", "at", "command", "found", "name", "port")

    keepsAllowing: ClassVar[int] = KEEPS_ALLOWING
    keepsDenying: ClassVar[int] = KEEPS_DENYING & ~GROUPS

    def __init__(
        self,
        asker: Asking,
        command: str,
        name: str | None,
        port: int,
        at: float | None = None,
        found: Found | None = None,
    ) -> None:
        self.asker = asker
        self.command = command
        self.name = name
        self.port = port
        self.at = at
        self.found = found

    @property
    def askedBy(self) -> str:
        """Return what was asked for: C{name} or C{address}."""
        return "address" if self.name is None else "name"

    def about(self, command: str, port: int) -> Self:
        """Return the same question about another command, or another port."""
        return type(self)(self.asker, command, self.name, port, self.at, self.found)

    def moment(self) -> float | None:
        """Return the time in seconds since the epoch; L{None} when it is unknown."""
        return time.time() if self.at is None else self.at


@final
class Supposed(Question):
    """
    A question that no client has asked, for C{socksgw explain} and C{[[expect]]}.

    Facts may be unknown, and are not guessed: a rule that depends on one does not
    decide.
    """

    __slots__ = ()

    keepsAllowing = KEEPS_ALLOWING | INSPECTED
    keepsDenying = KEEPS_DENYING

    def moment(self) -> float | None:
        """Return the given time; L{None} when none was given."""
        return self.at


class Missing(Exception):
    """
    The verdict depends on a fact that was not given.

    @ivar fact: C{groups}, C{from}, C{listener}, C{method}, C{secured}, C{tag},
        C{at}, C{application}, C{server_name} or C{resolving_to}.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@final
@frozen
class Consulting:
    """
    A service that has to be asked about what a rule allows.

    @ivar name: its name.
    @ivar listeners: about the clients of these only; L{None} for all.
    """

    name: str
    listeners: frozenset[str] | None = None

    def concerns(self, listener: str | None) -> bool:
        """Tell whether it is asked about the clients of a listener."""
        return self.listeners is None or listener in self.listeners


@final
@frozen
class Obligations:
    """
    The settings of a rule for sessions that it allows; L{None} for the general ones.

    @ivar connect: seconds for all attempts at the destination.
    @ivar idle: seconds without an octet after which a session ends.
    @ivar leaving: how it leaves this host.
    @ivar deciders: who has to be asked, and may deny it.
    @ivar groups: what it may do in multicast groups.
    """

    connect: float | None = None
    idle: float | None = None
    leaving: Leaving | None = None
    deciders: tuple[Consulting, ...] = ()
    groups: GroupTerms = ORDINARY


_NO_OBLIGATIONS: Final = Obligations()


@final
class Verdict:
    """
    The rules' verdict about one address.

    @ivar allowed: whether it may be dialled.
    @ivar rule: the deciding rule's id, or L{NEVER} or L{DEFAULT}.
    @ivar why: the reason of a denial, for the operator.
    @ivar replies: which datagrams a UDP flow returns to the client: C{exact} (those of
        the destination), C{address} (those of any of its ports), or C{any}.
    @ivar ticket: the ticket of the rule that allowed it; empty without one.
    @ivar obligations: those of the rule that allowed it.
    @ivar pending: whether it depends on what the session carries. It is opened by this
        rule, looked at, and judged again.
    """

    __slots__ = (
        "_unseen", "allowed", "obligations", "pending", "replies", "rule", "ticket",
        "why",
    )  # fmt: skip

    def __init__(
        self,
        allowed: bool,
        rule: str,
        why: str,
        replies: str = "exact",
        ticket: str = "",
        obligations: Obligations = _NO_OBLIGATIONS,
        pending: bool = False,
    ) -> None:
        self.allowed = allowed
        self.rule = rule
        self.why = why
        self.replies = replies
        self.ticket = ticket
        self.obligations = obligations
        self.pending = pending
        self._unseen: Verdict | None = None

    def untilSeen(self) -> Verdict:
        """Return the same, depending on what the session carries."""
        unseen = self._unseen
        if unseen is None:
            unseen = self._unseen = Verdict(
                self.allowed,
                self.rule,
                self.why,
                self.replies,
                self.ticket,
                self.obligations,
                pending=True,
            )
        return unseen

    @property
    def there(self) -> bool:
        """Tell whether an upstream looks names up."""
        leaving = self.obligations.leaving
        return self.allowed and leaving is not None and leaving.there
