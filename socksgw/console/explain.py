"""
Explain what would be decided of a request: C{socksgw explain}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO

from attrs import evolve

from socksgw.errors import SocksError
from socksgw.gateway.explained import asJson
from socksgw.gateway.offers import Offers, Way
from socksgw.policy.facts import Facts
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["explainFacts", "optionOf", "printed"]

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
    entriesOf: Callable[[str, Facts], Iterable[str]] = lambda *_: (),
) -> int:
    """
    Print whether the client can log in, and then what the rules decide.

    @param lookUp: returns the addresses of a name, where the facts have none; raises
        C{SocksError}.
    @param json_: whether to print JSON.
    @param entriesOf: returns by which entries of C{[networks]} a rule matches.
    @return: the exit status: 0 allow, 1 deny, 2 when a fact is missing.
    """
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
            print(f"cannot be told: it depends on {optionOf(e.fact)}", file=out)
        return 2
    except SocksError as e:
        if json_:
            print(json.dumps({"verdict": None, "missing": "resolving_to"}), file=out)
        else:
            print(f"cannot be told: {facts.name}: {e}; give --resolving-to", file=out)
        return 2
    found = dict(asJson(outcome, facts, offers))
    found["entries"] = list(entriesOf(outcome.verdict.rule, facts))
    if json_:
        print(json.dumps(found), file=out)
    else:
        printed(found, out)
    return 0 if outcome.verdict.allowed else 1


def printed(found: Mapping[str, Any], out: TextIO) -> None:
    """
    Print what is decided, for people.

    @param found: as L{asJson} returns it.
    """
    if found["ways_in"]:
        ways = [
            Way(w["listener"], w["entry"], w["method"], None, w["client_certificate"])
            for w in found["ways_in"]
        ]
        shown = ", or ".join(map(str, ways[:_SHOWN]))
        more = f", or {len(ways) - _SHOWN} other ways" if len(ways) > _SHOWN else ""
        print(f"  comes in by {shown}{more}", file=out)
    struck = dict(found["struck"])
    for each in found["rules"]:
        address = each["address"]
        if address is not None:
            print(f"{address}:", file=out)
        for step in each["tried"]:
            unmet = step["unmet"]
            what = f"{unmet} does not match" if unmet else "matches"
            print(f'  rule "{step["rule"]}": {what}', file=out)
        if address in struck:
            print(f"  struck out by {struck[address]}", file=out)
            if struck[address].startswith("never:"):
                print(f"  {_LIFTING}", file=out)
    why = f": {found['why']}" if found["why"] else ""
    fact = found["depends_on"]
    doubt = f" (or another; that depends on {optionOf(fact)})" if fact else ""
    if found["judged"] == "name":
        print("  no address is judged: the upstream looks the name up", file=out)
    print(f'{found["verdict"]} by rule "{found["rule"]}"{doubt}{why}', file=out)
    for entry in found.get("entries", ()):
        print(f"  by {entry}", file=out)
    if found["via"]:
        print(f"  leaves via {found['via']}", file=out)
    if found["leaves_by"]:
        print(f"  leaves by {found['leaves_by']}", file=out)
    if found["proxy_header"]:
        print(
            f"  tells the destination the client by PROXY {found['proxy_header']}",
            file=out,
        )
    for each in found["deciders"]:
        print(f'  decider "{each}" is asked then, and may deny it', file=out)


def optionOf(fact: str) -> str:
    """Return the option that gives a fact."""
    return f"--{'group' if fact == 'groups' else fact.replace('_', '-')}"
