"""
Rules, and how each of them answers a question.
"""

from __future__ import annotations

from typing import Final, final

from attrs import field, frozen

from socksgw.interfaces import UNKNOWN
from socksgw.policy.answers import (
    APPLICATION,
    AT,
    FROM,
    GROUPS,
    LISTENER,
    METHOD,
    PORTS,
    SECURED,
    SERVER_NAME,
    TAG,
    TO,
    YES,
    Answer,
)
from socksgw.policy.conditions import Addresses, Destinations, Who
from socksgw.policy.patterns import NamePatterns
from socksgw.policy.ports import Ports, Services
from socksgw.policy.questions import Obligations, Question, Verdict
from socksgw.policy.schedules import Schedule
from socksgw.policy.special import kinds
from socksgw.policy.tags import Tags
from socksgw.wire.address import Address

__all__ = ["CONDITIONS", "Rule"]

#: What a rule that does not match is told to lack, in the order of L{Rule.answer}.
CONDITIONS: Final = (
    "command", "who", "listener", "from", "method", "secured", "tag", "asked_by",
    "until", "during", "application", "server_name", "ports", "services", "to",
    "resolving_to",
)  # fmt: skip
_NO_OBLIGATIONS: Final = Obligations()


@final
@frozen
class Rule:
    """
    One rule, compiled. A condition that is L{None} holds for every question.

    @ivar inspects: whether it depends on what a session carries.
    @ivar there: whether an upstream looks names up for what the rule allows.
    @ivar verdict: the verdict where the rule matches.
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
    tags: Tags | None = None
    applications: frozenset[str] | None = None
    serverNames: NamePatterns | None = None
    ticket: str = ""
    message: str = ""
    reportOnly: bool = False
    obligations: Obligations = _NO_OBLIGATIONS
    inspects: bool = field(init=False, eq=False, repr=False)
    there: bool = field(init=False, eq=False, repr=False)
    verdict: Verdict = field(init=False, eq=False, repr=False)

    @inspects.default
    def _inspecting(self) -> bool:
        return self.applications is not None or self.serverNames is not None

    @there.default
    def _there(self) -> bool:
        leaving = self.obligations.leaving
        return leaving is not None and leaving.there

    @verdict.default
    def _said(self) -> Verdict:
        if not self.allow:
            return Verdict(False, self.id, self.message or "a rule denies it")
        return Verdict(True, self.id, "", self.replies, self.ticket, self.obligations)

    @property
    def timed(self) -> bool:
        """Tell whether the rule may match at one time and not at another."""
        return self.during is not None or self.until is not None

    def names(self, address: Address) -> bool:
        """Tell whether C{to} names an unspecified address literally."""
        to = self.to.addresses if self.to is not None else None
        return to is not None and (
            "unspecified" in to.words or to.networks.names(address)
        )

    @property
    def isEmpty(self) -> bool:
        """
        Tell whether the rule never matches, since one of its conditions is empty.
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
                    self.tags,
                    self.applications,
                    self.serverNames,
                )
            )
        )

    def answer(self, question: Question, address: Address | None) -> Answer:
        """
        Return the rule's answer to a question.

        An empty condition fails, whatever is unknown.

        @param address: the destination; L{None} while it is unknown.
        """
        asker = question.asker
        unknown = YES
        if self.commands is not None and question.command not in self.commands:
            return "command"
        if self.who is not None and not self.who.covers(asker.user):
            if not asker.user.unsure or not self.who.mayCover(asker.user):
                return "who"
            unknown |= GROUPS
        if self.listeners is not None and asker.listener not in self.listeners:
            if asker.listener is not None or not self.listeners:
                return "listener"
            unknown |= LISTENER
        sources = self.sources
        if sources is not None and not sources.everything:
            if asker.source is not None:
                if not sources.covers(asker.source, 0, asker.listener):
                    return "from"
            elif not sources:
                return "from"
            else:
                unknown |= FROM
        if self.methods is not None and asker.user.method not in self.methods:
            if asker.user.method is not None or not self.methods:
                return "method"
            unknown |= METHOD
        if self.secured is not None and asker.secured not in self.secured:
            if asker.secured is not None or not self.secured:
                return "secured"
            unknown |= SECURED
        if self.tags is not None and not (asker.tag and self.tags.covers(asker.tag)):
            if asker.tag is not None or not self.tags:
                return "tag"
            unknown |= TAG
        if self.askedBy is not None and question.askedBy not in self.askedBy:
            return "asked_by"
        if self.until is not None or self.during is not None:
            at = question.moment()
            if at is not None:
                if (unmet := self._unmetAt(at)) is not None:
                    return unmet
            elif self.during == ():
                return "during"
            else:
                unknown |= AT
        if self.inspects:
            seen = self._carries(question)
            if seen:
                if isinstance(seen, str):
                    return seen
                unknown |= seen
        port = question.port
        if self.ports is not None and port not in self.ports:
            if port or not self.ports:
                return "ports"
            unknown |= PORTS
        services = self.services
        if services is not None and not services.covers(question.command, port):
            if port or not any(services.byProtocol.values()):
                return "services"
            unknown |= PORTS
        if self.to is not None or self.resolving is not None:
            if address is None:
                led = self._leading(question.name)
            else:
                led = self._leadingTo(question, address)
            if led:
                if isinstance(led, str):
                    return led
                unknown |= led
        return unknown

    def _carries(self, question: Question) -> Answer:
        """
        Return the answer of C{application} and C{server_name}.

        What could not be told allows nothing, and is denied by a rule for any of it.
        """
        applications, names = self.applications, self.serverNames
        if question.command != "connect":
            return "command"
        if applications is not None and not applications:
            return "application"
        if names is not None and not names:
            return "server_name"
        found = question.found
        unknown = YES
        if applications is not None:
            application = None if found is None else found.application
            if application is None:
                unknown |= APPLICATION
            elif application not in applications and (
                self.allow or application != UNKNOWN
            ):
                return "application"
        if names is not None:
            name = None if found is None else found.serverName
            if found is not None and found.hidden and not self.allow:
                return unknown
            if name is None:
                unknown |= SERVER_NAME
            elif name not in names:
                return "server_name"
        return unknown

    def _unmetAt(self, at: float) -> str | None:
        """Return the condition that does not hold at a time, L{None} if both do."""
        if self.until is not None and at >= self.until:
            return "until"
        during = self.during
        if during is not None and not any(each.covers(at) for each in during):
            return "during"
        return None

    def _leadingTo(self, question: Question, address: Address) -> Answer:
        """Return the answer of C{to} and C{resolving_to} about one address."""
        to = self.to
        byName = False
        if to is not None:
            addresses = to.addresses
            if addresses is None or not addresses.covers(
                address, question.port, question.asker.listener
            ):
                names = to.names
                if names is None or question.name is None or question.name not in names:
                    return "to"
                byName = True
        if self.resolving is not None:
            if not self.resolving.covers(
                address, question.port, question.asker.listener
            ):
                return "resolving_to"
        elif byName and self.allow and kinds(address):
            # The owner of a name must not be able to open private addresses by DNS.
            return "resolving_to"
        return YES

    def _leading(self, name: str | None) -> Answer:
        """
        Return the answer of C{to} and C{resolving_to} before an address is known.

        @param name: the asked name; L{None} for an association.
        """
        to, resolving = self.to, self.resolving
        unknown = YES
        if resolving is not None:
            if not resolving:
                return "resolving_to"
            if name is None or not resolving.everything:
                unknown = TO
        if to is None:
            return unknown
        addresses, names = to.addresses, to.names
        if name is None:
            return TO if addresses is not None or names is not None else "to"
        if addresses is not None and addresses.everything:
            return unknown
        if names is not None and name in names:
            # An allow by name alone is for public addresses, where these are known.
            public = self.allow and resolving is None and not self.there
            return TO if public else unknown
        return TO if addresses is not None else "to"
