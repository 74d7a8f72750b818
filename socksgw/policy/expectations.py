"""
Check the expectations of a configuration: C{[[expect]]}, the tests of its policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from socksgw.config.problems import Problem, nearest
from socksgw.config.reserved import isLocal, isReserved
from socksgw.config.schema import Config, Expect
from socksgw.config.tags import isTag
from socksgw.config.userwords import userWord
from socksgw.interfaces import ANONYMOUS
from socksgw.policy.facts import Facts, destination, groupsOf, tagOf, unsureOf
from socksgw.policy.outcome import Admitting, Outcome, consider
from socksgw.policy.questions import UNOFFERED, Missing
from socksgw.policy.rules import CONDITIONS
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from socksgw.wire.levels import FACTS

__all__ = ["Declared", "judged", "unmet", "wrongFacts"]


class Declared(Protocol):
    """
    The capabilities of a method (L{socksgw.negotiate.capabilities.Capabilities}).
    """

    @property
    def mayBeAnonymous(self) -> bool:
        """Tell whether clients without a login may come in by the method."""

    @property
    def mayBeSomebody(self) -> bool:
        """Tell whether a user can log in by the method."""


def unmet(
    config: Config, ruleset: Ruleset, offers: Admitting | None = None
) -> Iterator[Problem]:
    """
    Yield the expectations that are not met, or that depend on facts not given.

    A client that cannot log in is denied. An expectation that names a rule asks whether
    the rules would deny it as well.

    @param offers: who can log in; by default everybody.
    """
    return filter(None, judged(config, ruleset, offers))


def judged(
    config: Config, ruleset: Ruleset, offers: Admitting | None = None
) -> Iterator[Problem | None]:
    """Yield each expectation's problem, as L{unmet}; L{None} for one that is met."""
    for i, expect in enumerate(config.expect):
        yield _problem(expect, expect.place or f"expect[{i}]", config, ruleset, offers)


def _problem(
    expect: Expect,
    place: str,
    config: Config,
    ruleset: Ruleset,
    offers: Admitting | None,
) -> Problem | None:
    try:
        facts = _facts(expect, config)
    except _WrongFact as e:
        return Problem(f"{place}.{e.key}", e.why)
    try:
        outcome = consider(ruleset, facts, offers, everyRule=False)
        if outcome.verdict.rule == UNOFFERED and expect.verdict == "deny":
            if expect.rule not in (None, UNOFFERED):
                offers = None
                outcome = consider(ruleset, facts, everyRule=False)
    except Missing as e:
        return Problem(place, f"the verdict depends on `{e.fact}`: give it")
    verdict = outcome.verdict
    if verdict.rule == UNOFFERED and expect.verdict == "allow":
        text = f"expects allow for {expect.command} to {expect.to}, and "
        return Problem(place, text + verdict.why)
    if expect.rule is not None and outcome.doubt is not None:
        text = f"which rule decides depends on `{outcome.doubt}`: give it"
        return Problem(place, text)
    found = "allow" if verdict.allowed else "deny"
    if found == expect.verdict and expect.rule in (None, verdict.rule):
        return None
    wanted = f' by rule "{expect.rule}"' if expect.rule is not None else ""
    other = _other(expect, ruleset, consider(ruleset, facts, offers))
    return Problem(
        place,
        f"expects {expect.verdict}{wanted} for {expect.command} to "
        f'{expect.to}, and it is {found} by rule "{verdict.rule}"{other}',
    )


def _other(expect: Expect, ruleset: Ruleset, outcome: Outcome) -> str:
    """
    Return what is said of the rule that was to decide: the named, or the nearest one.

    The nearest is the rule with the verdict whose first condition that does not hold
    comes last, in the order in which rules ask (L{CONDITIONS}).
    """
    asked = [step for _, steps in outcome.steps for step in steps]
    if expect.rule is not None:
        if expect.rule == outcome.verdict.rule:
            return ""
        for step in asked:
            if step.rule == expect.rule and step.unmet is not None:
                return f'; of "{step.rule}", {step.unmet} does not match'
        known = any(rule.id == expect.rule for rule in ruleset.rules)
        return f'; "{expect.rule}" is not asked before it' if known else ""
    allows = expect.verdict == "allow"
    those = {r.id for r in ruleset.rules if r.allow == allows and not r.reportOnly}
    near = [
        (CONDITIONS.index(step.unmet), step.rule)
        for step in asked
        if step.rule in those and step.unmet in CONDITIONS
    ]
    if not near:
        return ""
    last, rule = max(near, key=lambda each: each[0])
    unmet = CONDITIONS[last]
    return f'; the nearest that would {expect.verdict} it is "{rule}": {unmet} does not match'


def wrongFacts(
    config: Config,
    who: str,
    groups: Iterable[str],
    listener: str | None,
    method: str | None,
    secured: str | None,
    tag: str | None,
    methods: Mapping[str, Declared],
) -> Iterator[tuple[str, str]]:
    """
    Yield the facts of a question that cannot be: the key, and why.

    @param methods: the capabilities of the installed methods, by name.
    """
    for group in groups:
        if group not in config.groups and not isLocal(group):
            near = nearest(group, config.groups) or (
                f'; a group of this machine is "gid:{group}"'
            )
            yield "groups", f'"{group}" is not declared in [groups]{near}'
    known = {listen.name for listen in config.listen} | set(config.unused)
    if listener is not None and listener not in known:
        near = nearest(listener, known)
        yield "listener", f'there is no [[listen]] named "{listener}"{near}'
    can = methods.get(method or "")
    if can is not None and who == ANONYMOUS and not can.mayBeAnonymous:
        yield "method", f'a client that logs in by "{method}" is not anonymous'
    elif can is not None and who != ANONYMOUS and not can.mayBeSomebody:
        yield "method", f'"{method}" does not log a user in: the user is anonymous then'
    if who != ANONYMOUS and isReserved(who) and not who.startswith("uid:"):
        yield "who", f'"{who}" is not the name of a user'
    else:
        try:
            if userWord(who).pattern:
                yield "who", f'"{who}": a question is about one user'
        except ValueError as e:
            yield "who", f'"{who}": a question is about one user; {e}'
    if tag and not config.auth.tag_separator:
        yield "tag", "there are no tags: auth.tag_separator is empty"
    elif tag and who == ANONYMOUS:
        yield "tag", "a client that is anonymous has no tag"
    elif tag and not isTag(tag):
        yield "tag", f'"{tag}" is no tag'
    if secured not in (None, *FACTS):
        choice = ", ".join(f'"{each}"' for each in FACTS)
        yield "secured", f'"{secured}" is none of {choice}'


class _WrongFact(Exception):
    """The value of a key of an expectation cannot be used."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


def _address(key: str, text: str) -> Address:
    """
    Read an address.

    @raise _WrongFact: the text is not an address.
    """
    try:
        return Address.parse(text)
    except ValueError as e:
        raise _WrongFact(key, f'"{text}": {e}') from None


def _facts(expect: Expect, config: Config) -> Facts:
    """
    Return the facts of an expectation.

    @raise _WrongFact: a value cannot be used.
    """
    try:
        host, port = destination(expect.to, expect.command)
    except ValueError as e:
        raise _WrongFact("to", str(e)) from None
    addresses = tuple(
        _address(f"resolving_to[{i}]", text)
        for i, text in enumerate(expect.resolving_to)
    )
    given = frozenset(expect.groups or ())
    try:
        user, pattern = userWord(expect.who)
    except ValueError as e:
        raise _WrongFact("who", f'"{expect.who}": {e}') from None
    if pattern:
        raise _WrongFact("who", f'"{expect.who}": a question is about one user')
    return Facts(
        user=user,
        groups=groupsOf(user, config.groups, given),
        command=expect.command,
        name=host if isinstance(host, str) else None,
        port=port,
        addresses=(host,) if isinstance(host, Address) else addresses,
        method=expect.method,
        source=None if expect.from_ is None else _address("from", expect.from_),
        listener=expect.listener,
        secured=expect.secured,
        at=expect.at,
        unsure=unsureOf(user, config, expect.groups),
        tag=tagOf(user, config, expect.tag),
        application=expect.application,
        serverName=expect.server_name,
    )
