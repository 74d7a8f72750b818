"""
Questions, what one rule says of them, and the verdict.
"""

from __future__ import annotations

import time
from typing import Final, final

from attrs import frozen

from socksgw.interfaces import Asker
from socksgw.policy.conditions import Addresses, Destinations, Who
from socksgw.policy.networks import Ports, Services
from socksgw.policy.schedules import Schedule
from socksgw.policy.special import kinds
from socksgw.wire.address import Address

__all__ = [
    "DEFAULT",
    "NEVER",
    "UNOFFERED",
    "Obligations",
    "Question",
    "Rule",
    "Verdict",
]

#: The rule of a verdict when no rule matched, and when [never] did.
DEFAULT: Final = "default"
NEVER: Final = "never"
#: In place of a rule's id: no C{[[auth.choose]]} lets such a client in.
UNOFFERED: Final = "auth.choose"


@final
class Question:
    """
    Who asks for what.

    @ivar command: C{connect}, C{bind}, C{udp} or C{resolve}.
    @ivar name: the asked host name, or L{None} for a literal.
    @ivar at: when, in seconds since the epoch; L{None} for now.
    """

    __slots__ = ("asker", "at", "command", "name", "port")

    def __init__(
        self,
        asker: Asker,
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


@final
@frozen
class Rule:
    """
    One rule, compiled; a condition that is L{None} matches everything.
    """

    id: str
    allow: bool
    commands: frozenset[str] | None
    who: Who | None
    sources: Addresses | None
    listeners: frozenset[str] | None
    to: Destinations | None
    resolving: Addresses | None
    ports: Ports | None
    replies: str = "exact"
    services: Services | None = None
    during: tuple[Schedule, ...] | None = None
    until: float | None = None
    secured: frozenset[str] | None = None
    methods: frozenset[str] | None = None
    askedBy: frozenset[str] | None = None
    ticket: str = ""
    reportOnly: bool = False
    obligations: Obligations = _NO_OBLIGATIONS

    def allows(self) -> Verdict:
        """The verdict where it matches and allows."""
        return Verdict(True, self.id, "", self.replies, self.ticket, self.obligations)

    @property
    def timed(self) -> bool:
        """Whether it can match at one time and not at another."""
        return self.during is not None or self.until is not None

    def names(self, address: Address) -> bool:
        """Whether its C{to} says an unspecified address, in so many words."""
        to = self.to.addresses if self.to is not None else None
        return to is not None and (
            "unspecified" in to.words or to.networks.names(address)
        )

    @property
    def isEmpty(self) -> bool:
        """
        Whether it matches nothing, since one of its fields is an empty list
        or comes to one.
        """
        to, services = self.to, self.services
        return (
            (to is not None and to.addresses is None and to.names is None)
            or (services is not None and not any(services.byProtocol.values()))
            or any(
                each is not None and not each
                for each in (
                    self.commands,
                    self.who,
                    self.sources,
                    self.listeners,
                    self.resolving,
                    self.ports,
                    self.during,
                    self.secured,
                    self.methods,
                    self.askedBy,
                )
            )
        )

    def unmetByAsker(self, question: Question) -> str | None:
        """
        The first condition that does not hold whatever the destination, or
        L{None}.
        """
        asker = question.asker
        if self.commands is not None and question.command not in self.commands:
            return "command"
        if self.who is not None and not self.who.covers(asker.user):
            # What is not known matches no allow, and is not missed by a deny.
            if self.allow or not self.who.mayCover(asker.user):
                return "who"
        if self.listeners is not None and asker.listener not in self.listeners:
            return "listener"
        if self.sources is not None and not self.sources.covers(asker.source):
            return "from"
        if self.methods is not None and asker.user.method not in self.methods:
            return "method"
        if self.secured is not None and asker.secured not in self.secured:
            return "secured"
        if self.askedBy is not None and question.askedBy not in self.askedBy:
            return "asked_by"
        until, during = self.until, self.during
        if until is not None or during is not None:
            at = question.at if question.at is not None else time.time()
            if until is not None and at >= until:
                return "until"
            if during is not None and not any(each.covers(at) for each in during):
                return "during"
        return None

    def unmet(self, question: Question) -> str | None:
        """
        The first condition that does not hold whatever the address, or
        L{None}.
        """
        unmet = self.unmetByAsker(question)
        if unmet is not None:
            return unmet
        if self.ports is not None and question.port not in self.ports:
            return "ports"
        if self.services is not None and not self.services.covers(
            question.command, question.port
        ):
            return "services"
        return None

    def unmetBy(self, question: Question, address: Address) -> str | None:
        """
        The first condition on the destination that does not hold for
        C{address}, or L{None}: then, if L{unmet} is L{None} too, the rule
        matches.
        """
        to = self.to
        byName = False
        if to is not None:
            addresses = to.addresses
            if addresses is None or not addresses.covers(address, question.port):
                names = to.names
                if names is None or question.name is None or question.name not in names:
                    return "to"
                byName = True
        if self.resolving is not None:
            if not self.resolving.covers(address, question.port):
                return "resolving_to"
        elif byName and self.allow and kinds(address):
            # A stranger's DNS must not open the inside.
            return "resolving_to"
        return None

    def couldMatch(self, question: Question) -> bool:
        """
        Whether some address of the asked name could make it match.
        """
        resolving, to = self.resolving, self.to
        if resolving is not None and not resolving:
            return False
        if to is None or to.addresses is not None:
            return True
        names = to.names
        return (
            names is not None and question.name is not None and question.name in names
        )

    def surelyMatches(self, question: Question) -> bool:
        """
        Whether every address of the asked name makes it match.
        """
        if self.resolving is not None and not self.resolving.everything:
            return False
        to = self.to
        if to is None or (to.addresses is not None and to.addresses.everything):
            return True
        names, name = to.names, question.name
        byName = names is not None and name is not None and name in names
        return byName and not self.allow
