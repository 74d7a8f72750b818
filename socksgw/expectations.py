"""
Tests of the policy that stand beside it: C{[[expect]]}; and what a change of
policy would have changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TextIO

from socksgw.audit import chain
from socksgw.explanation import destination, factsOf
from socksgw.interfaces import ANONYMOUS
from socksgw.negotiate.capabilities import Capabilities
from socksgw.offers import Offers
from socksgw.policy.document import isPattern
from socksgw.policy.hypothetical import Facts, Missing, groupsOf, outcomeOf, unsureOf
from socksgw.policy.ruleset import Ruleset
from socksgw.shape import Config, Expect
from socksgw.structuring import Problem, nearest
from socksgw.wire.address import Address

__all__ = ["LEVELS", "diffMain", "unmet", "wrongFacts"]

#: How the client's side can be protected.
LEVELS: Final = ("clear", "integrity", "confidentiality")

#: Changes that are shown one by one.
_SHOWN = 100


def unmet(
    config: Config, ruleset: Ruleset, offers: Offers | None = None
) -> Iterator[Problem]:
    """
    The expectations that entrance and rules do not meet, or that cannot be
    told. Whoever does not get in is denied; whether some rule would deny them,
    too, can be expected besides.

    @param offers: who gets in; by default everybody.
    """
    for i, expect in enumerate(config.expect):
        place = expect.place or f"expect[{i}]"
        try:
            facts = _facts(expect, config)
        except ValueError as e:
            yield Problem(place, str(e))
            continue
        refusal = None if offers is None else offers.refusal(facts)
        if refusal is not None:
            if expect.verdict == "deny" and expect.rule in (None, refusal.rule):
                continue
            if expect.verdict == "allow":
                yield Problem(
                    place,
                    f"expects allow for {expect.command} to {expect.to}, and "
                    f"{refusal.why}",
                )
                continue
        elif offers is not None:
            facts = offers.known(facts)
        try:
            outcome = outcomeOf(ruleset, facts)
        except Missing as e:
            yield Problem(place, f"the verdict depends on `{e.fact}`: give it")
            continue
        verdict = outcome.verdict
        if expect.rule is not None and outcome.doubt is not None:
            text = f"which rule decides depends on `{outcome.doubt}`: give it"
            yield Problem(place, text)
            continue
        found = "allow" if verdict.allowed else "deny"
        if found != expect.verdict or expect.rule not in (None, verdict.rule):
            wanted = f' by rule "{expect.rule}"' if expect.rule is not None else ""
            yield Problem(
                place,
                f"expects {expect.verdict}{wanted} for {expect.command} to "
                f'{expect.to}, and it is {found} by rule "{verdict.rule}"',
            )


def wrongFacts(
    config: Config,
    who: str,
    groups: Iterable[str],
    listener: str | None,
    method: str | None,
    secured: str | None,
    methods: Mapping[str, Capabilities],
) -> Iterator[tuple[str, str]]:
    """
    What of the facts of a question cannot be: keys, each with why.

    @param methods: what those that are installed declare, by name.
    """
    for group in groups:
        if group not in config.groups:
            near = nearest(group, config.groups)
            yield "groups", f'"{group}" is not declared in [groups]{near}'
    known = {listen.name for listen in config.listen} | set(config.unused)
    if listener is not None and listener not in known:
        near = nearest(listener, known)
        yield "listener", f'there is no [[listen]] named "{listener}"{near}'
    can = methods.get(method or "")
    if can is not None and who == ANONYMOUS and not can.mayBeAnonymous:
        yield "method", f'whoever logs in by "{method}" is not anonymous'
    elif can is not None and who != ANONYMOUS and not can.mayBeSomebody:
        yield "method", f'"{method}" logs nobody in: then the user is anonymous'
    if not who or who == "users" or who.startswith("@"):
        yield "who", f'"{who}" is not the name of a user'
    elif isPattern(who):
        yield "who", f'"{who}": a question is about one user'
    if secured not in (None, *LEVELS):
        choice = ", ".join(f'"{each}"' for each in LEVELS)
        yield "secured", f'"{secured}" is none of {choice}'


def _facts(expect: Expect, config: Config) -> Facts:
    """
    @raise ValueError: a fact is none.
    """
    host, port = destination(expect.to, expect.command)
    addresses = tuple(map(Address.parse, expect.resolving_to))
    groups = groupsOf(expect.who, config.groups) | set(expect.groups or ())
    return Facts(
        user=expect.who,
        groups=groups,
        command=expect.command,
        name=host if isinstance(host, str) else None,
        port=port,
        addresses=(host,) if isinstance(host, Address) else addresses,
        method=expect.method,
        source=None if expect.from_ is None else Address.parse(expect.from_),
        listener=expect.listener,
        secured=expect.secured,
        at=expect.at,
        unsure=unsureOf(expect.who, config.groups, expect.groups),
    )


def _verdict(ruleset: Ruleset, offers: Offers, facts: Facts) -> str:
    try:
        verdict = offers.refusal(facts) or outcomeOf(ruleset, facts).verdict
    except Missing as e:
        return f"depends on {e.fact}"
    return f'{"allow" if verdict.allowed else "deny"} by rule "{verdict.rule}"'


def diffMain(
    old: tuple[Config, Ruleset, Offers],
    new: tuple[Config, Ruleset, Offers],
    journal: Path,
    out: TextIO,
) -> int:
    """
    C{socksgw diff}: which decisions of the recorded traffic would change. Both
    configurations judge what the journal says of each, from the entrance on:
    source, method, addresses, time, user and the rest.

    @param journal: a journal's directory, or one of its files.
    @return: the exit status: 0 when none changes, 1 when some do, 2 when the
        journal cannot be read.
    """
    changed: Counter[str] = Counter()
    decisions = 0
    try:
        for file in chain.files(journal) if journal.is_dir() else [journal]:
            for octets, whole in chain.lines(file):
                if not whole or b'"verdict":' not in octets:
                    continue
                line = json.loads(octets)
                before, after = (factsOf(line, each[0]) for each in (old, new))
                if before is None or after is None:
                    continue
                decisions += 1
                was, becomes = _verdict(*old[1:], before), _verdict(*new[1:], after)
                if was.split()[0] != becomes.split()[0]:
                    target = f"{line['name'] or line['asked']}:{line['port']}"
                    text = f"{line['user']} {line['command']} {target}"
                    changed[f"{text}: {was} → {becomes}"] += 1
    except OSError as e:
        print(f"{journal}: {e.strerror}; name a journal with --replay", file=out)
        return 2
    except (ValueError, KeyError) as e:
        print(f"{journal}: not a journal: {type(e).__name__}", file=out)
        return 2
    for text, count in changed.most_common(_SHOWN):
        print(f"{count:>8} × {text}", file=out)
    if len(changed) > _SHOWN:
        print(f"{'…':>8} and {len(changed) - _SHOWN:,} more kinds", file=out)
    print(f"of {decisions:,} decisions {changed.total():,} would change", file=out)
    return 1 if changed else 0
