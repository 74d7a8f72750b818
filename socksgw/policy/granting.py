"""
From a grant that is asked for to a rule: never wider than what may be granted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, final

from attrs import evolve, frozen

from socksgw.config.problems import Problem
from socksgw.config.schema import Config, GrantAsked, Grants, GrantTemplate
from socksgw.config.schema import Rule as RuleTable
from socksgw.policy.conditions import HostFacts, Who
from socksgw.policy.document import GRANT, Compiler
from socksgw.policy.rules import Rule
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.shadows import COMMANDS, shadows
from socksgw.wire.address import Address

__all__ = ["Granted", "Granting", "NotGrantable", "TooWide", "ruleIdOf", "told"]

#: Characters of a ticket, and of a reason.
_TICKET: Final = 64
_WHY: Final = 400
#: Words of one field: the gateway compares each with each of what may be granted, and
#: writes them all into its records.
_WORDS: Final = 64
#: The fields of a rule that a template has, and those that a request may have.
_OF_TEMPLATE: Final = (
    "allow", "who", "from_", "listener", "to", "resolving_to", "ports", "services",
    "secured", "method", "tag",
)  # fmt: skip
_OF_REQUEST: Final = (
    "allow", "who", "from_", "listener", "to", "resolving_to", "ports",
)  # fmt: skip


class NotGrantable(Exception):
    """It may not be granted; the text says why, and what may be."""


class TooWide(NotGrantable):
    """It is a request as it should be, for more than may be granted."""


@frozen
class Granted:
    """
    A rule that a grant would be.

    @ivar rule: the rule, without an end.
    @ivar template: what it is a part of.
    """

    rule: Rule
    template: GrantTemplate


def ruleIdOf(number: int) -> str:
    """Return the id of a grant's rule, which no rule of a file can have."""
    return f"{GRANT}{number}"


def told(asked: GrantAsked) -> str:
    """Return what a grant allows, in one line for people."""
    allow = asked.allow or "connect"
    commands = allow if isinstance(allow, str) else ", ".join(allow)
    text = f"{commands} for {', '.join(asked.who)} to {', '.join(asked.to)}"
    if asked.ports is not None:
        text += f" ports {', '.join(map(str, asked.ports))}"
    for word, values in (
        ("from", asked.from_),
        ("on", asked.listener),
        ("resolving to", asked.resolving_to),
    ):
        if values is not None:
            text += f" {word} {', '.join(values)}"
    return text


@final
class Granting:
    """
    What a configuration lets people grant.

    @ivar settings: its C{[grants]}; L{None} where nothing may be granted.
    @ivar errors: what is wrong with it.
    """

    def __init__(self, config: Config, facts: HostFacts) -> None:
        """
        Compile the templates.

        @param facts: about this host.
        """
        self.settings: Grants | None = config.grants
        self._groupWords: frozenset[str] | None = None
        # What rules name is needed; the rules themselves are not.
        self._config = evolve(config, rule=(), expect=(), decider=())
        self._facts = facts
        self.errors: list[Problem] = []
        self._templates: list[tuple[GrantTemplate, Rule]] = []
        self._pattern: re.Pattern[str] | None = None
        if config.grants is not None:
            self._compile(config.grants)

    def _compile(self, settings: Grants) -> None:
        try:
            self._pattern = re.compile(settings.ticket_pattern)
        except re.error as e:
            why = f"is no regular expression: {e}"
            self.errors.append(Problem("grants.ticket_pattern", why))
        compiler = self._compiler()
        for i, template in enumerate(settings.may):
            path = f"grants.may[{i}]"
            table = RuleTable(
                template.id, **{key: getattr(template, key) for key in _OF_TEMPLATE}
            )
            rule = compiler.rule(table, path)
            if template.who is not None:
                # Whoever the configuration itself puts into a group is surely in it.
                groups = self._config.groups
                members = [
                    member
                    for word in template.who
                    if word.startswith("@") and word[1:] in groups
                    for member in groups[word[1:]].members
                ]
                rule = evolve(rule, who=Who([*template.who, *members]))
            self._templates.append((template, rule))
        self.errors += [
            each for each in compiler.errors if each.path.startswith("grants.")
        ]

    def _compiler(self) -> Compiler:
        compiler = Compiler(self._config, self._facts)
        compiler.prepare()
        return compiler

    def granted(self, asked: GrantAsked, ruleset: Ruleset) -> Granted:
        """
        Return the rule that a grant would be.

        @param ruleset: the rules of the configuration.
        @raise NotGrantable: nothing of the kind may be granted.
        """
        settings = self.settings
        if settings is None or not settings.may:
            raise TooWide("nothing may be granted here: there is no [[grants.may]]")
        for why in self._wrong(asked, ruleset):
            raise NotGrantable(why)
        wider: list[str] = []
        for template, bound in self._templates:
            rule = self._within(asked, template, bound)
            if rule is None:
                wider.append(template.id)
            elif asked.for_ > (template.longest or settings.longest):
                longest = template.longest or settings.longest
                raise NotGrantable(f"for: at most {_inWords(longest)}")
            else:
                return Granted(_like(rule, template, ruleset), template)
        known = ", ".join(f'"{each}"' for each in wider)
        raise TooWide(f"it is wider than each of what may be granted: {known}")

    def _wrong(self, asked: GrantAsked, ruleset: Ruleset) -> Iterator[str]:
        """Yield what is wrong with a request, whatever may be granted."""
        if not asked.who or not asked.to:
            yield "who and to have to name somebody and something"
        if not 0 < len(asked.ticket) <= _TICKET or not asked.ticket.isprintable():
            yield f"ticket: must be a text of 1 to {_TICKET} characters"
        assert self.settings is not None
        if self.settings.ticket_pattern and self._pattern is not None:
            if self._pattern.fullmatch(asked.ticket) is None:
                pattern = self.settings.ticket_pattern
                yield f'ticket: "{asked.ticket}" does not match {pattern}'
        if len(asked.why) > _WHY or not asked.why.isprintable():
            yield f"why: must be one line of at most {_WHY} characters"
        if asked.for_ <= 0:
            yield "for: must be more than 0s"
        for key in _OF_REQUEST:
            words = getattr(asked, key)
            if words is not None and len(words) > _WORDS:
                yield f"{key.rstrip('_')}: has more than {_WORDS} words"
        compiler = self._compiler()
        rule = compiler.rule(_table(asked, None), "")
        for problem in compiler.errors:
            yield f"{problem.path.lstrip('.')}: {problem.text}"
        if rule.who is not None and rule.who.anonymous:
            yield 'who: "anonymous" is nobody; a grant is for users'
        if rule.who is not None:
            known = ruleset.localWords | rule.who.names
            for word in sorted(rule.who.words - known):
                yield f'who: no rule names "{word}", so nobody is known to be in it'
        yield from _banned(asked.to, ruleset)

    def _within(
        self, asked: GrantAsked, template: GrantTemplate, bound: Rule
    ) -> Rule | None:
        """Return the rule where it is no wider than a template."""
        rule = self._compiler().rule(_table(asked, template), "")
        return rule if shadows(bound, rule, COMMANDS) else None


def _table(asked: GrantAsked, template: GrantTemplate | None) -> RuleTable:
    """
    Return a grant as the table of a rule.

    @param template: has what the request leaves out.
    """
    values = {key: getattr(asked, key) for key in _OF_REQUEST}
    if template is not None:
        for key in _OF_TEMPLATE:
            if values.get(key) is None:
                values[key] = getattr(template, key)
    values["allow"] = values["allow"] or ("connect",)
    return RuleTable("grant", ticket=asked.ticket, **values)


def _like(rule: Rule, template: GrantTemplate, ruleset: Ruleset) -> Rule:
    """Return a rule whose sessions leave as those of the rule that a template names."""
    for each in ruleset.rules if template.like else ():
        if each.id == template.like:
            rule = evolve(rule, obligations=each.obligations, replies=each.replies)
    return rule


def _banned(to: Sequence[str], ruleset: Ruleset) -> Iterator[str]:
    """Yield the destinations that C{[never]} denies, whatever is granted."""
    for word in to:
        try:
            address = Address.parse(word)
        except ValueError:
            continue
        why = ruleset.never.hit(address, None)
        if why is not None:
            yield f'to: "{word}" is denied by [never]: {why}'


def _inWords(seconds: float) -> str:
    """Return a duration as the configuration writes it."""
    whole = round(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
