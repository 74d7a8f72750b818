"""
Explain what would be decided of a request: C{socksgw explain}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TextIO

from attrs import evolve

from socksgw.errors import SocksError
from socksgw.gateway.offers import Offers, Way
from socksgw.policy.facts import Facts
from socksgw.policy.outcome import Outcome, consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["asJson", "explainFacts", "printed"]

#: The remedy for a denial by C{[never]}.
_LIFTING: Final = "([never] except lifts that for a literal; a rule must allow it, too)"
#: How many ways to log in are shown.
_SHOWN: Final = 6


def explainFacts(
    facts: Facts,
    offers: Offers,
    ruleset: Ruleset,
    lookUp: Callable[[str], tuple[Address, ...]],
    out: TextIO,
    json_: bool = False,
) -> int:
    """
    Print whether the client can log in, and then what the rules decide.

    @param lookUp: returns the addresses of a name, where the facts have none; raises
        C{SocksError}.
    @param json_: whether to print JSON.
    @return: the exit status: 0 allow, 1 deny, 2 when a fact is missing.
    """
    ways = offers.waysFor(facts)
    try:
        try:
            outcome = consider(ruleset, facts, offers)
        except Missing as e:
            if e.fact != "resolving_to" or facts.name is None:
                raise
            facts = evolve(facts, addresses=lookUp(facts.name))
            outcome = consider(ruleset, facts, offers)
    except Missing as e:
        if json_:
            print(json.dumps({"verdict": None, "missing": e.fact}), file=out)
        else:
            print(f"cannot be told: it depends on {_option(e.fact)}", file=out)
        return 2
    except SocksError as e:
        if json_:
            print(json.dumps({"verdict": None, "missing": "resolving_to"}), file=out)
        else:
            print(f"cannot be told: {facts.name}: {e}; give --resolving-to", file=out)
        return 2
    if json_:
        print(json.dumps(asJson(outcome, ways)), file=out)
    else:
        printed(outcome, out, ways)
    return 0 if outcome.verdict.allowed else 1


def asJson(outcome: Outcome, ways: Sequence[Way] = ()) -> Mapping[str, Any]:
    """Return what is decided, for programs."""
    verdict = outcome.verdict
    return {
        "ways_in": [
            {
                "listener": way.listener,
                "method": way.method,
                "entry": way.entry,
                "client_certificate": way.certificate,
            }
            for way in ways
        ],
        "verdict": "allow" if verdict.allowed else "deny",
        "rule": verdict.rule,
        "why": verdict.why,
        "depends_on": outcome.doubt,
        "via": outcome.via or None,
        "leaves_by": outcome.leavesBy or None,
        "proxy_header": outcome.header or None,
        "deciders": list(outcome.deciders),
        "judged": "name" if outcome.byName else "address",
        "addresses": [str(address) for address in outcome.addresses],
        "struck": [[str(address), why] for address, why in outcome.struck],
        "rules": [
            {
                "address": None if address is None else str(address),
                "tried": [{"rule": s.rule, "unmet": s.unmet} for s in steps],
            }
            for address, steps in outcome.steps
        ],
    }


def printed(outcome: Outcome, out: TextIO, ways: Sequence[Way] = ()) -> None:
    """Print what is decided, for people."""
    if ways:
        shown = ", or ".join(map(str, ways[:_SHOWN]))
        more = f", or {len(ways) - _SHOWN} other ways" if len(ways) > _SHOWN else ""
        print(f"  comes in by {shown}{more}", file=out)
    struck = dict(outcome.struck)
    for address, steps in outcome.steps:
        if address is not None:
            print(f"{address}:", file=out)
        for step in steps:
            what = f"{step.unmet} does not match" if step.unmet else "matches"
            print(f'  rule "{step.rule}": {what}', file=out)
        if address in struck:
            print(f"  struck out by {struck[address]}", file=out)
            if struck[address].startswith("never:"):
                print(f"  {_LIFTING}", file=out)
    verdict = outcome.verdict
    word = "allow" if verdict.allowed else "deny"
    why = f": {verdict.why}" if verdict.why else ""
    doubt = outcome.doubt and f" (or another; that depends on {_option(outcome.doubt)})"
    if outcome.byName:
        print("  no address is judged: the upstream looks the name up", file=out)
    print(f'{word} by rule "{verdict.rule}"{doubt or ""}{why}', file=out)
    if outcome.via:
        print(f"  leaves via {outcome.via}", file=out)
    if outcome.leavesBy:
        print(f"  leaves by {outcome.leavesBy}", file=out)
    if outcome.header:
        print(f"  tells the destination the client by PROXY {outcome.header}", file=out)
    for each in outcome.deciders:
        print(f'  decider "{each}" is asked then, and may deny it', file=out)


def _option(fact: str) -> str:
    return f"--{'group' if fact == 'groups' else fact.replace('_', '-')}"
