"""
Explain a line of the journal: C{socksgw explain --record}.

It prints the line, what became of the decision, and what today's configuration says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from socksgw.audit.lines import ENDS, JournalLines, Line
from socksgw.config.schema import Config
from socksgw.console.explain import printed
from socksgw.console.human import ending
from socksgw.console.verify import remedy
from socksgw.gateway.explained import asJson
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from socksgw.wire.codes import methodsText

__all__ = ["explainRecord"]

_FACTS: Final = (
    ("time", "time"),
    ("client", "client"),
    ("uid", "uid"),
    ("pid", "process"),
    ("sender", "sender"),
    ("sender_to", "sent for"),
    ("told", "told"),
    ("listener", "listener"),
    ("protocol", "protocol"),
    ("user", "user"),
    ("tag", "tag"),
    ("claimed", "claimed"),
    ("user_id", "user id"),
    ("groups", "groups"),
    ("method", "method"),
    ("secured", "secured"),
    ("tls_version", "TLS"),
    ("tls_group", "group"),
    ("fingerprint", "SHA-256"),
    ("serial", "serial"),
    ("offered", "offered"),
    ("wanted", "wanted"),
    ("command", "command"),
    ("asked", "asked"),
    ("port", "port"),
    ("addresses", "may dial"),
    ("judged", "judged by"),
    ("direction", "direction"),
    ("interface", "interface"),
    ("ttl", "TTL"),
    ("senders", "senders"),
    ("verdict", "verdict"),
    ("rule", "rule"),
    ("policy", "policy"),
    ("via", "via"),
    ("decider", "decider"),
    ("said", "it said"),
    ("ticket", "ticket"),
    ("grant", "grant"),
    ("why", "why"),
    ("hint", "hint"),
    ("reason", "reason"),
    ("reply", "reply"),
)
#: Members of every line that are not shown to people.
_FRAME: Final = frozenset({"v", "n", "hash", "event"})
#: Events that belong to a decision before them.
_PARTS: Final = frozenset({"end", "flow-end", "peer", "flows-refused", "inspected"})
#: Events of clients that were refused before the rules were asked.
_REFUSALS: Final = frozenset({"refused", "login-failed"})
#: Events that sum refusals and denials.
_SUMS: Final = frozenset({"refusals", "denials"})


def explainRecord(
    directory: Path,
    number: int,
    config: Config,
    offers: Offers,
    ruleset: Ruleset,
    out: TextIO,
    json_: bool = False,
) -> int:
    """
    Print one line of the journal, whatever its event, and what belongs to it.

    @param number: the line's.
    @param config: today's configuration.
    @param json_: whether to print JSON.
    @return: the exit status: that of the recorded verdict (0 allow, 1 deny), 0
        for a line without a verdict, 1 when there is no such line, 2 when the
        journal cannot be read.
    """
    try:
        journal = JournalLines(directory)
        line = journal.line(number)
        if line is None:
            held = journal.span()
            some = f"lines {held[0]} to {held[1]}" if held is not None else "none yet"
            print(
                f"socksgw explain: {directory}: has no line {number}; it holds {some}",
                file=sys.stderr,
            )
            return 1
        before = line
        if line["event"] in _PARTS:
            before = journal.decision(line) or line
        ended = journal.outcome(before) if before.get("verdict") == "allow" else None
    except OSError as e:
        print(f"socksgw explain: {directory}: {remedy(e)}", file=sys.stderr)
        return 2
    if json_:
        today = _today(before, ended, config, offers, ruleset)
        found = {"record": line, "today": today}
        if before is not line:
            found["decision"] = before
        if ended is not None and ended is not line:
            found["outcome"] = ended
        print(json.dumps(found), file=out)
    else:
        _print(line, before, ended, out)
        _printToday(before, ended, config, offers, ruleset, out)
    return _status(before)


def _status(line: Line) -> int:
    if line["event"] in _REFUSALS | _SUMS:
        return 1
    return 1 if line.get("verdict") == "deny" else 0


def _print(line: Line, before: Line, ended: Line | None, out: TextIO) -> None:
    """Print what the journal has about a line."""
    print(f"{line['event']}, line {line['n']}:", file=out)
    if before is line and "client" in line:
        _printFacts(line, out)
    else:
        _printFields(line, out)
    if line["event"] in _SUMS:
        print(
            "the first refusals of that second have lines of their own; these are the "
            "others",
            file=out,
        )
    if before is not line:
        print(f"after the {before['event']}, line {before['n']}:", file=out)
        _printFacts(before, out)
    if before.get("verdict") != "allow" or ended is line:
        return
    if ended is None:
        print("it has not ended, as far as the journal goes", file=out)
    else:
        print(f"and then, line {ended['n']}: {ending(ended)}", file=out)


def _printFacts(line: Line, out: TextIO) -> None:
    for key, title in _FACTS:
        # Nothing was judged by address where an upstream looks the name up.
        if line.get(key, "") != "" and not (key == "addresses" and "judged" in line):
            print(f"  {title:<10}{_text(key, line[key])}", file=out)
    for address, why in line.get("struck", ()):
        print(f"  struck out {address}: {why}", file=out)
    for report in line.get("reports", ()):
        print(f"  reported   {report}", file=out)


def _printFields(line: Line, out: TextIO) -> None:
    for key, value in line.items():
        if key not in _FRAME:
            print(f"  {key.replace('_', ' '):<10} {_text(key, value)}", file=out)


def _text(key: str, value: Any) -> str:
    if key == "offered":
        return methodsText(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, dict):
        return ", ".join(
            f"{each} {part:,}" if isinstance(part, int) else f"{each} {part}"
            for each, part in value.items()
        )
    return "-" if value is None else str(value)


def _offeredNow(line: Line, offers: Offers) -> Sequence[str]:
    """Return the ways to log in that today's configuration offers such a client."""
    source = Address.parse(line["client"].rpartition(":")[0].strip("[]"))
    return offers.offeredTo(line["listener"], source)


def _today(
    line: Line, ended: Line | None, config: Config, offers: Offers, ruleset: Ruleset
) -> Mapping[str, Any] | None:
    """
    Return what today's configuration says, with today's groups.

    @param ended: the line of the end, if there is one.
    @return: L{None} where the line is about no request.
    """
    if line["event"] in _REFUSALS:
        return {"ways_in": list(_offeredNow(line, offers))}
    facts = factsOf(line, config, ended) if line["event"] in ENDS else None
    if facts is None:
        return None
    try:
        return asJson(consider(ruleset, facts, offers), facts, offers)
    except Missing as e:
        return {"verdict": None, "missing": e.fact}


def _printToday(
    line: Line,
    ended: Line | None,
    config: Config,
    offers: Offers,
    ruleset: Ruleset,
    out: TextIO,
) -> None:
    if line["event"] in _REFUSALS:
        now = ", ".join(_offeredNow(line, offers)) or "nothing"
        print(f"by today's configuration such a client is offered {now}", file=out)
    facts = factsOf(line, config, ended) if line["event"] in ENDS else None
    if facts is None:
        return
    print("by today's policy, with today's groups (a directory's of then):", file=out)
    try:
        found = asJson(consider(ruleset, facts, offers), facts, offers)
        printed(found, out)
    except Missing as e:
        what = "the addresses that the name has now"
        if e.fact in ("application", "server_name"):
            what = "what the session carries, which was not looked at"
        print(f"depends on {what}", file=out)
