"""
Questions to the policy, and the verdicts that answer them.
"""

from __future__ import annotations

import time
from typing import ClassVar, Final, Protocol, Self, final

from attrs import frozen

from socksgw.policy.answers import GROUPS, KEEPS_DENYING
from socksgw.policy.conditions import Person
from socksgw.wire.address import Address

__all__ = [
    "DEFAULT",
    "NEVER",
    "UNOFFERED",
    "Asking",
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


class Asking(Protocol):
    """
    Who asks (L{socksgw.interfaces.Asker}); L{None} is not known.
    """

    @property
    def user(self) -> Person: ...
    @property
    def source(self) -> Address | None: ...
    @property
    def listener(self) -> str | None: ...
    @property
    def secured(self) -> str | None: ...


class Question:
    """
    Who asks for what.

    @cvar keepsDenying: facts which, while they are not known, keep a rule from
        denying. The groups of a user do not: unknown ones deny, and never allow.
    @ivar command: C{connect}, C{bind}, C{udp} or C{resolve}.
    @ivar name: the asked host name, or L{None} for a literal.
    @ivar port: 0 while it is not known: of a BIND's peer, of an association, of
        a look-up.
    @ivar at: when, in seconds since the epoch; L{None} for now.
    """

    __slots__ = ("asker", "at", "command", "name", "port")

    keepsDenying: ClassVar[int] = KEEPS_DENYING & ~GROUPS

    def __init__(
        self,
        asker: Asking,
        command: str,
        name: str | None,
        port: int,
        at: float | None = None,
    ) -> None:
        self.asker = asker
        self.command = command
        self.name = name
        self.port = port
        self.at = at

    @property
    def askedBy(self) -> str:
        """Whether a C{name} or an C{address} was asked for."""
        return "address" if self.name is None else "name"

    def about(self, command: str, port: int) -> Self:
        """Return the same question about another command, or another port."""
        return type(self)(self.asker, command, self.name, port, self.at)

    def moment(self) -> float | None:
        """Return the time of the question; L{None} when it is not known."""
        return time.time() if self.at is None else self.at


@final
class Supposed(Question):
    """
    A question that no client has asked. Facts that are not known are not
    guessed: a rule that depends on one decides nothing.
    """

    __slots__ = ()

    keepsDenying = KEEPS_DENYING

    def moment(self) -> float | None:
        """Return the time that was supposed; L{None} when none was."""
        return self.at


class Missing(Exception):
    """
    The verdict depends on a fact that is not known.

    @ivar fact: C{groups}, C{from}, C{listener}, C{method}, C{secured}, C{at}
        or C{resolving_to}.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@final
@frozen
class Obligations:
    """
    What a rule asks of the sessions that it allows; L{None} where it leaves
    the general value.

    @ivar connect: seconds for all attempts at the destination.
    @ivar idle: seconds without an octet after which a session ends.
    """

    connect: float | None = None
    idle: float | None = None


_NO_OBLIGATIONS: Final = Obligations()


@final
class Verdict:
    """
    What the rules say of one address.

    @ivar allowed: whether it may be dialled.
    @ivar rule: the deciding rule's id, or L{NEVER} or L{DEFAULT}.
    @ivar why: for the operator.
    @ivar replies: whose answers come back to a UDP flow: C{exact} (only the
        destination's), C{address} (of any port of it), or C{any}.
    @ivar ticket: of the rule that allowed it, if it has one.
    @ivar obligations: of the rule that allowed it.
    """

    __slots__ = ("allowed", "obligations", "replies", "rule", "ticket", "why")

    def __init__(
        self,
        allowed: bool,
        rule: str,
        why: str,
        replies: str = "exact",
        ticket: str = "",
        obligations: Obligations = _NO_OBLIGATIONS,
    ) -> None:
        self.allowed = allowed
        self.rule = rule
        self.why = why
        self.replies = replies
        self.ticket = ticket
        self.obligations = obligations
