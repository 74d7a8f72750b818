"""
C{socksgw explain}: what would be decided, and why; and of a journalled
decision, why it was made and what today's policy says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO

from attrs import evolve

from socksgw.audit import chain
from socksgw.errors import SocksError
from socksgw.policy.hypothetical import Facts, Missing, Outcome, consider, groupsOf
from socksgw.policy.ruleset import Ruleset
from socksgw.shape import Config
from socksgw.wire.address import Address, BadHost, parseHost

__all__ = ["destination", "explainFacts", "explainRecord", "factsOf", "lineOf"]

_FACTS = (
    ("time", "time"),
    ("client", "client"),
    ("listener", "listener"),
    ("user", "user"),
    ("groups", "groups"),
    ("method", "method"),
    ("command", "command"),
    ("asked", "asked"),
    ("port", "port"),
    ("addresses", "may dial"),
    ("verdict", "verdict"),
    ("rule", "rule"),
    ("ticket", "ticket"),
    ("why", "why"),
    ("reason", "reason"),
    ("reply", "reply"),
)

#: What can be done about C{[never]}.
_LIFTING: Final = "([never] except lifts that for a literal; a rule must allow it, too)"
#: Commands that lead nowhere without a port.
_WITH_PORT: Final = ("connect", "udp")


def lineOf(directory: Path, number: int) -> Mapping[str, Any] | None:
    """
    The line of the journal with that number, or L{None} when it is not
    there (any more).

    @raise OSError: the journal cannot be read.
    """
    containing = None
    for file in chain.files(directory):
        if chain.firstOf(file) <= number:
            containing = file
    if containing is not None:
        place = number - chain.firstOf(containing)
        for i, (octets, whole) in enumerate(chain.lines(containing)):
            if i == place and whole:
                line: Mapping[str, Any] = json.loads(octets)
                return line
    return None


def destination(text: str, command: str) -> tuple[Address | str, int]:
    """
    The host and port of C{"host:443"}, C{"[::1]:443"}; port 0 without one.

    @param command: some need a port.
    @raise ValueError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'"{text}": the port is not within 0 to 65535')
    found = parseHost(host.encode("utf-8"))
    if isinstance(found, BadHost):
        raise ValueError(f'"{host}": {found.why}')
    if int(port) == 0 and command in _WITH_PORT:
        raise ValueError(f'"{text}": {command} needs a port, as in "{host}:443"')
    return found, int(port)


def explainFacts(
    facts: Facts,
    ruleset: Ruleset,
    lookUp: Callable[[str], tuple[Address, ...]],
    out: TextIO,
    json_: bool = False,
) -> int:
    """
    Say what the policy would decide.

    @param lookUp: asks DNS, where the facts do not say where a name leads.
    @return: the exit status: 0 allow, 1 deny, 2 when it cannot be told.
    """
    try:
        try:
            outcome = consider(ruleset, facts)
        except Missing as e:
            if e.fact != "resolving_to" or facts.name is None:
                raise
            facts = evolve(facts, addresses=lookUp(facts.name))
            outcome = consider(ruleset, facts)
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
        print(json.dumps(_asJson(outcome)), file=out)
    else:
        _print(outcome, out)
    return 0 if outcome.verdict.allowed else 1


def _asJson(outcome: Outcome) -> Mapping[str, Any]:
    verdict = outcome.verdict
    return {
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


def _print(outcome: Outcome, out: TextIO) -> None:
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


def explainRecord(
    directory: Path,
    number: int,
    config: Config,
    ruleset: Ruleset,
    out: TextIO,
    json_: bool = False,
) -> int:
    """
    Explain one line of the journal.

    @return: the exit status: that of the recorded verdict (0 allow, 1 deny),
        or 2 when there is nothing to explain.
    """
    try:
        line = lineOf(directory, number)
    except OSError as e:
        print(f"{directory}: {e.strerror}; is --config right?", file=out)
        return 2
    if line is None:
        print(f"{directory}: has no line {number}", file=out)
        return 2
    if line["event"] not in ("decision", "flow"):
        print(json.dumps(line), file=out)
        print(f"line {number} is no decision of the policy", file=out)
        return 2
    facts = factsOf(line, config)
    if json_:
        found = {"record": line, "today": _today(facts, ruleset)}
        print(json.dumps(found), file=out)
        return 0 if line["verdict"] == "allow" else 1
    for key, title in _FACTS:
        if line.get(key, "") != "":
            value = line[key]
            text = ", ".join(value) or "nothing" if isinstance(value, list) else value
            print(f"  {title:<10}{text if text is not None else '-'}", file=out)
    for address, why in line.get("struck", ()):
        print(f"  struck out {address}: {why}", file=out)
    if facts is not None:
        print(
            "by today's policy, with today's groups (a directory's of then):", file=out
        )
        try:
            _print(consider(ruleset, facts), out)
        except Missing:
            print("depends on the addresses that the name has now", file=out)
    return 0 if line["verdict"] == "allow" else 1


def _today(facts: Facts | None, ruleset: Ruleset) -> Mapping[str, Any] | None:
    """
    What today's policy says, with today's groups; L{None} when no policy can
    be asked.
    """
    if facts is None:
        return None
    try:
        return _asJson(consider(ruleset, facts))
    except Missing as e:
        return {"verdict": None, "missing": e.fact}


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
