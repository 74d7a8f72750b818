"""
Questions that nobody has asked: for C{socksgw explain} and C{[[expect]]}.

Some facts may be missing. Then it is said which one the verdict depends on;
nothing is guessed. Where every fact is known, the rules themselves decide, as
they do for a live request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, final

from attrs import evolve, frozen

from socksgw.config.levels import CLEAR
from socksgw.config.schema import Group
from socksgw.interfaces import ANONYMOUS, Asker
from socksgw.policy.decision import REACHING, UNREACHED
from socksgw.policy.fields import Listener, Source
from socksgw.policy.fields import Who as InWho
from socksgw.policy.rules import DEFAULT, NEVER, Question, Rule, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.special import embedded
from socksgw.wire.address import Address

__all__ = [
    "Facts",
    "Missing",
    "Outcome",
    "Step",
    "consider",
    "groupsOf",
    "outcomeOf",
    "unsureOf",
]

_SOMEWHERE: Final = Address(bytes(4))


@frozen
class Somebody:
    """Who asks."""

    name: str
    groups: frozenset[str]
    method: str
    expires: float | None = None
    unsure: frozenset[str] = frozenset()
    doubt: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether nobody has logged in."""
        return self.name == ANONYMOUS


@frozen
class Facts:
    """
    What is known of a question; L{None} is not known.

    @ivar user: a name, or C{anonymous}.
    @ivar groups: the user's, as far as they are known.
    @ivar unsure: groups that the user may be in besides, or not: a directory
        knows.
    @ivar port: 0 for a BIND whose peer's is not known, for a look-up, and for
        an association (which has neither name nor addresses).
    @ivar addresses: the address asked for, or what the name leads to.
    @ivar at: seconds since the epoch.
    """

    user: str
    groups: frozenset[str]
    command: str
    name: str | None
    port: int
    addresses: tuple[Address, ...] = ()
    method: str | None = None
    source: Address | None = None
    listener: str | None = None
    secured: str | None = None
    at: float | None = None
    unsure: frozenset[str] = frozenset()

    def question(self, command: str) -> Question:
        """
        The question, with something in place of what is missing.

        @param command: this one, or one that it rests on.
        """
        asker = Asker(
            Somebody(self.user, self.groups, self.method or "?"),
            self.source or _SOMEWHERE,
            self.listener or "",
            self.secured or CLEAR,
        )
        # A look-up has no port.
        port = 0 if self.command == "resolve" else self.port
        return Question(asker, command, self.name, port, self.at or 0.0)


class Missing(Exception):
    """
    The verdict depends on a fact that was not given.

    @ivar fact: C{groups}, C{from}, C{listener}, C{method}, C{secured}, C{at}
        or C{resolving_to}.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


@frozen
class Step:
    """
    One rule that was tried.

    @ivar unmet: the first condition that did not hold; L{None} for the rule
        that matched.
    """

    rule: str
    unmet: str | None


@frozen
class Outcome:
    """
    What is decided.

    @ivar steps: for each address, the rules that were tried.
    @ivar addresses: what may be dialled.
    @ivar struck: what may not, with why.
    @ivar doubt: a fact that is not known, and that which rule decides depends
        on (never what is decided).
    """

    verdict: Verdict
    steps: tuple[tuple[Address | None, tuple[Step, ...]], ...]
    addresses: tuple[Address, ...] = ()
    struck: tuple[tuple[Address, str], ...] = ()
    doubt: str | None = None


def consider(ruleset: Ruleset, facts: Facts) -> Outcome:
    """
    What the rules say, with every rule up to the deciding one.

    @raise Missing: they depend on something that is not known.
    """
    return _consider(ruleset, facts, everyRule=True)


def outcomeOf(ruleset: Ruleset, facts: Facts) -> Outcome:
    """
    What L{consider} says, in less time: without the rules that cannot match.

    @raise Missing: it depends on something that is not known.
    """
    return _consider(ruleset, facts, everyRule=False)


def _consider(ruleset: Ruleset, facts: Facts, everyRule: bool) -> Outcome:
    """
    @param everyRule: whether to try also those that cannot match.
    """
    case = _Case(ruleset, facts, everyRule)
    if not facts.addresses:
        verdict, steps = case.at(None)
        if verdict.allowed and facts.name is not None:
            # [never], if nothing else, depends on it.
            raise Missing("resolving_to")
        return Outcome(verdict, ((None, steps),), doubt=case.doubt)
    found = [(address, *case.at(address)) for address in facts.addresses]
    verdicts = [(address, verdict) for address, verdict, _ in found]
    deciding = next((v for _, v in verdicts if v.allowed), verdicts[0][1])
    return Outcome(
        deciding,
        tuple((address, steps) for address, _, steps in found),
        tuple(a for a, v in verdicts if v.allowed),
        tuple((a, f"{v.rule}: {v.why}") for a, v in verdicts if not v.allowed),
        case.doubt,
    )


@final
class _Case:
    """
    What is asked, before the rules.

    @ivar doubt: a fact that is not known, and that which rule decides depends
        on (never what it decides).
    """

    def __init__(self, ruleset: Ruleset, facts: Facts, everyRule: bool) -> None:
        self._ruleset = ruleset
        self._facts = facts
        self._everyRule = everyRule
        self.doubt: str | None = None

    def at(self, address: Address | None) -> tuple[Verdict, tuple[Step, ...]]:
        """
        What is decided of one address; L{None} where there is none.

        @raise Missing: it depends on something that is not known.
        """
        command = self._facts.command
        # Whatever the port: who comes is judged on its own.
        if command == "bind" and address and address.isUnspecified:
            return self._anybody(address), ()
        verdict, steps = self._judged(command, address)
        if command == "resolve" and verdict.allowed:
            if not self._reaches(address):
                return UNREACHED, steps
        return verdict, steps

    def _judged(
        self, command: str, address: Address | None
    ) -> tuple[Verdict, tuple[Step, ...]]:
        ruleset, facts = self._ruleset, self._facts
        question = facts.question(command)
        if address is not None:
            banned = ruleset.never.hit(address, question.port or None)
            if banned is not None:
                return Verdict(False, NEVER, banned), ()
        walk = _Walk(facts, question, address)
        verdict, steps = walk.over(self._rulesFor(walk))
        doubt = walk.doubt
        for inside in embedded(address) if address and verdict.allowed else ():
            # What it wraps may depend on something else.
            within = _Walk(facts, question, inside)
            other, _ = within.over(self._rulesFor(within))
            doubt = doubt or within.doubt
            if not other.allowed:
                verdict = other
                break
        self.doubt = self.doubt or doubt
        if doubt is None:
            # Nothing that counts is missing: as for a live request.
            if not question.port:
                verdict = ruleset.prospect(question, address)
            elif address is not None:
                verdict = ruleset.judge(question, address)
            else:
                verdict = ruleset.hopeless(question) or verdict
        return verdict, tuple(steps)

    def _anybody(self, address: Address) -> Verdict:
        """
        Of a BIND that waits for anybody.
        """
        question = self._facts.question("bind")
        missing = _Walk(self._facts, question, address).missing(self._ruleset.rules)
        if missing is not None:
            raise Missing(missing)
        return self._ruleset.awaited(question, address)

    def _reaches(self, address: Address | None) -> bool:
        """
        Whether any command leads to what is looked up.

        @raise Missing: that depends on something that is not known.
        """
        missing: Missing | None = None
        for command in REACHING:
            try:
                verdict, _ = self._judged(command, address)
            except Missing as e:
                missing = missing or e
            else:
                if verdict.allowed:
                    return True
        if missing is not None:
            raise missing
        return False

    def _rulesFor(self, walk: _Walk) -> Iterable[Rule]:
        if self._everyRule:
            return self._ruleset.rules
        return walk.couldMatch(self._ruleset)


@final
class _Walk:
    """
    The rules one after the other, with what is known.

    @ivar doubt: as L{_Case.doubt}.
    """

    def __init__(
        self, facts: Facts, question: Question, address: Address | None
    ) -> None:
        self._facts = facts
        self._address = address
        self._question = question
        self.doubt: str | None = None

    def couldMatch(self, ruleset: Ruleset) -> Iterable[Rule]:
        """The rules that could, whatever is missing."""
        if self._address is None or not self._question.port:
            return ruleset.rules
        facts = self._facts
        return ruleset.index.ofUnknown(
            self._question,
            self._address,
            [
                *((InWho,) if facts.unsure else ()),
                *((Source,) if facts.source is None else ()),
                *((Listener,) if facts.listener is None else ()),
            ],
        )

    def missing(self, rules: Iterable[Rule]) -> str | None:
        """What any rule asks for that is not known."""
        for rule in rules:
            known, missing = self._known(rule)
            if missing and known.unmetByAsker(self._question) is None:
                return missing[0]
        return None

    def over(self, rules: Iterable[Rule]) -> tuple[Verdict, list[Step]]:
        """
        @raise Missing: the verdict depends on it.
        """
        steps: list[Step] = []
        open_: list[tuple[Rule, str]] = []
        verdict = Verdict(False, DEFAULT, "no rule allows it")
        for rule in rules:
            unmet, missing = self._standing(rule)
            if unmet is None and rule.reportOnly:
                unmet = "report_only"
            elif unmet is None and missing:
                open_.append((rule, missing[0]))
                unmet = f"{missing[0]}, which is not known"
            steps.append(Step(rule.id, unmet))
            if unmet is None:
                why = "" if rule.allow else "a rule denies it"
                verdict = Verdict(rule.allow, rule.id, why)
                break
        for rule, fact in reversed(open_):
            if rule.allow != verdict.allowed:
                raise Missing(fact)
        if open_:
            self.doubt = open_[0][1]
        return verdict, steps

    def _standing(self, rule: Rule) -> tuple[str | None, list[str]]:
        """
        @return: the first condition that does not hold, whatever the missing
            facts are; and which of them matter.
        """
        question, address = self._question, self._address
        known, missing = self._known(rule)
        some = rule.ports is not None or rule.services is not None
        if not question.port and not rule.allow and some:
            # While the port is not known, what holds for some denies nothing.
            return known.unmetByAsker(question) or "ports", []
        ask = known.unmet if question.port else known.unmetByAsker
        unmet = ask(question)
        if unmet is not None:
            return unmet, []
        if rule.isEmpty and not question.port:
            # No port, or no address, where that is not asked for here.
            return "ports" if some else "to", []
        if address is not None:
            return known.unmetBy(question, address), missing
        if question.name is None:
            # An association: each of its flows is judged besides.
            sure = rule.to is None and rule.resolving is None
            return (None if rule.allow or sure else "to"), missing
        if not known.couldMatch(question):
            return "to", []
        if question.port:
            if not known.surelyMatches(question):
                missing.append("resolving_to")
        elif not rule.allow and not known.surelyMatches(question):
            return "to", []
        return None, missing

    def _known(self, rule: Rule) -> tuple[Rule, list[str]]:
        """
        The rule without the conditions on what is not known, and what that is.
        An empty condition does not hold whatever that is.
        """
        facts = self._facts
        missing: list[str] = []
        known, who = rule, rule.who
        if who is not None and not who.groups.isdisjoint(facts.unsure):
            if facts.user != ANONYMOUS and not who.covers(self._question.asker.user):
                missing.append("groups")
                known = evolve(known, who=None)
        if rule.listeners and facts.listener is None:
            missing.append("listener")
            known = evolve(known, listeners=None)
        if rule.sources and not rule.sources.everything and facts.source is None:
            missing.append("from")
            known = evolve(known, sources=None)
        if rule.methods and facts.method is None:
            missing.append("method")
            known = evolve(known, methods=None)
        if rule.secured and facts.secured is None:
            missing.append("secured")
            known = evolve(known, secured=None)
        if rule.timed and rule.during != () and facts.at is None:
            missing.append("at")
            known = evolve(known, during=None, until=None)
        return known, missing


def groupsOf(user: str, groups: Mapping[str, Group]) -> frozenset[str]:
    """The groups that the configuration gives a user."""
    return frozenset(name for name, group in groups.items() if user in group.members)


def unsureOf(
    user: str, groups: Mapping[str, Group], given: Collection[str] | None
) -> frozenset[str]:
    """
    The groups that only a directory knows about.

    @param given: the user's groups, if they have been said; then there are no
        others.
    """
    if given is not None or user == ANONYMOUS:
        return frozenset()
    return frozenset(
        name
        for name, group in groups.items()
        if group.directory and user not in group.members
    )
