"""
C{socksgw explain --record N}: why a journalled decision was made, and what
today's policy says of the same question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from socksgw.audit import chain
from socksgw.config import Config
from socksgw.login.portal import ANYBODY, SocksUser
from socksgw.policy.rules import Asker, Question, Ruleset, Verdict
from socksgw.wire.address import Address

__all__ = ["explainMain", "lineOf"]

_FACTS = (
    ("time", "time"),
    ("client", "client"),
    ("listener", "listener"),
    ("user", "user"),
    ("method", "method"),
    ("command", "command"),
    ("asked", "asked"),
    ("port", "port"),
    ("addresses", "may dial"),
    ("verdict", "verdict"),
    ("rule", "rule"),
    ("why", "why"),
    ("reason", "reason"),
    ("reply", "reply"),
)


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


def explainMain(
    directory: Path, number: int, config: Config, ruleset: Ruleset, out: TextIO
) -> int:
    """
    Explain one line.

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
    for key, title in _FACTS:
        if line.get(key, "") != "":
            value = line[key]
            text = ", ".join(value) or "nothing" if isinstance(value, list) else value
            print(f"  {title:<10}{text if text is not None else '-'}", file=out)
    for address, why in line.get("struck", ()):
        print(f"  struck out {address}: {why}", file=out)
    for text in _today(line, config, ruleset):
        print(text, file=out)
    return 0 if line["verdict"] == "allow" else 1


def _user(line: Mapping[str, Any], config: Config) -> SocksUser:
    if line["method"] == "none":
        return ANYBODY
    name = line["user"]
    groups = frozenset(g for g, members in config.groups.items() if name in members)
    return SocksUser(name, groups, line["method"])


def _today(line: Mapping[str, Any], config: Config, ruleset: Ruleset) -> Iterator[str]:
    client = line["client"].rpartition(":")[0].strip("[]")
    asker = Asker(
        _user(line, config),
        Address.parse(client),
        line["listener"],
        line.get("secured", "clear"),
    )
    question = Question(asker, line["command"], line["name"], line["port"])
    addresses = [*line["addresses"], *(a for a, _ in line.get("struck", ()))]
    if not addresses and line["name"] is None:
        addresses = [line["asked"]]
    for text in addresses:
        address = Address.parse(text)
        yield f"by today's policy, {address}:"
        banned = ruleset.never.hit(address, question.port)
        if banned is not None:
            yield f"  [never] covers it: {banned}"
        else:
            for rule, unmet in ruleset.explain(question, address):
                yield f'  rule "{rule}": ' + (
                    f"{unmet} does not match" if unmet else "matches"
                )
        yield f"  {_verdict(ruleset.judge(question, address))}"
    if not addresses:
        yield f"by today's policy, {line['name']}:"
        hopeless = ruleset.hopeless(question)
        yield "  " + (
            _verdict(hopeless) if hopeless else "depends on the addresses that it has"
        )


def _verdict(verdict: Verdict) -> str:
    word = "allow" if verdict.allowed else "deny"
    why = f": {verdict.why}" if verdict.why else ""
    return f'{word} by rule "{verdict.rule}"{why}'
