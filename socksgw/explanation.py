"""
C{socksgw explain}: what would be decided, and why, from the entrance to the
last rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from attrs import evolve

from socksgw.errors import SocksError
from socksgw.offers import Offers, Way
from socksgw.policy.hypothetical import Facts, Missing, Outcome, consider, groupsOf
from socksgw.policy.ruleset import Ruleset
from socksgw.shape import Config
from socksgw.wire.address import Address, BadHost, parseHost

__all__ = ["asJson", "destination", "explainFacts", "factsOf", "judged", "printed"]

#: What can be done about C{[never]}.
_LIFTING: Final = "([never] except lifts that for a literal; a rule must allow it, too)"
#: Ways in that are shown.
_SHOWN: Final = 6
#: Commands that lead nowhere without a port.
_WITH_PORT: Final = ("connect", "udp")


def destination(text: str, command: str) -> tuple[Address | str, int]:
    """
    The host and port of C{"host:443"}, C{"[::1]:443"}; port 0 without one.

    @param command: some need a port.
    @raise ValueError: it is none of these.
    """
    scheme, slashes, rest = text.partition("://")
    if slashes:
        host = rest.partition("/")[0]
        port = "80" if scheme.lower() in ("http", "ws") else "443"
        example = host if ":" in host.rpartition("]")[2] else f"{host}:{port}"
        raise ValueError(f'"{text}": a URL; say host and port: {example}')
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'"{text}": the port is not a number from 0 to 65535')
    found = parseHost(host.encode("utf-8"))
    if isinstance(found, BadHost):
        raise ValueError(f'"{host}": {found.why}')
    if int(port) == 0 and command in _WITH_PORT:
        raise ValueError(f'"{text}": {command} needs a port, as in "{host}:443"')
    return found, int(port)


def judged(offers: Offers, ruleset: Ruleset, facts: Facts) -> Outcome:
    """
    What is decided of a client from its entrance on.

    @raise Missing: that depends on something that is not known.
    """
    refusal = offers.refusal(facts)
    if refusal is not None:
        return Outcome(refusal, ())
    return consider(ruleset, offers.known(facts))


def explainFacts(
    facts: Facts,
    offers: Offers,
    ruleset: Ruleset,
    lookUp: Callable[[str], tuple[Address, ...]],
    out: TextIO,
    json_: bool = False,
) -> int:
    """
    Say what would be decided: by the entrance, then by the rules.

    @param lookUp: asks DNS, where the facts do not say where a name leads.
    @return: the exit status: 0 allow, 1 deny, 2 when it cannot be told.
    """
    ways = offers.waysFor(facts)
    try:
        try:
            outcome = judged(offers, ruleset, facts)
        except Missing as e:
            if e.fact != "resolving_to" or facts.name is None:
                raise
            facts = evolve(facts, addresses=lookUp(facts.name))
            outcome = judged(offers, ruleset, facts)
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
    """What is decided, for programs."""
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
    print(f'{word} by rule "{verdict.rule}"{doubt or ""}{why}', file=out)


def _option(fact: str) -> str:
    return f"--{'group' if fact == 'groups' else fact.replace('_', '-')}"


def _directorys(line: Mapping[str, Any], config: Config) -> frozenset[str]:
    """
    The groups that the user had of a directory then.
    """
    return frozenset(
        name
        for name in line.get("groups", ())
        if name in config.groups and config.groups[name].directory
    )


def factsOf(line: Mapping[str, Any], config: Config) -> Facts | None:
    """
    What a journalled decision was about; L{None} when no policy could be
    asked that.
    """
    command, name, port = line["command"], line["name"], line["port"]
    addresses = [*line["addresses"], *(a for a, _ in line.get("struck", ()))]
    if command == "udp" and line["event"] == "decision":
        # An association: what it names is a hint.
        name, port, addresses = None, 0, []
    elif not addresses and name is None:
        host = parseHost(line["asked"].encode("ascii"))
        if not isinstance(host, Address):
            return None
        addresses = [host.text]
    if command == "bind":
        # The peer's port is known when it comes.
        port = 0
    elif port == 0 and addresses and command in _WITH_PORT:
        return None
    user = line["user"]
    return Facts(
        user=user,
        groups=groupsOf(user, config.groups) | _directorys(line, config),
        command=command,
        name=name,
        port=port,
        addresses=tuple(Address.parse(address) for address in addresses),
        method=line["method"],
        source=Address.parse(line["client"].rpartition(":")[0].strip("[]")),
        listener=line["listener"],
        secured=line.get("secured", "clear"),
        at=datetime.fromisoformat(line["time"]).timestamp(),
    )
