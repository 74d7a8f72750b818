"""
C{socksgw explain --record}: why something stands in the journal, what became
of it, and what today's configuration says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO, final

from socksgw.audit import chain
from socksgw.config.schema import Config
from socksgw.console.explain import asJson, printed
from socksgw.console.verify import remedy
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address
from socksgw.wire.codes import methodsText

__all__ = ["Journalled", "explainRecord", "lineOf"]

_FACTS: Final = (
    ("time", "time"),
    ("client", "client"),
    ("listener", "listener"),
    ("protocol", "protocol"),
    ("user", "user"),
    ("claimed", "claimed"),
    ("user_id", "user id"),
    ("groups", "groups"),
    ("method", "method"),
    ("offered", "offered"),
    ("wanted", "wanted"),
    ("command", "command"),
    ("asked", "asked"),
    ("port", "port"),
    ("addresses", "may dial"),
    ("verdict", "verdict"),
    ("rule", "rule"),
    ("ticket", "ticket"),
    ("why", "why"),
    ("hint", "hint"),
    ("reason", "reason"),
    ("reply", "reply"),
)
#: Of every line: what no person asks for.
_FRAME: Final = frozenset({"v", "n", "hash", "event"})
#: Decisions, each with the event that ends what it allowed.
_ENDS: Final = {"decision": "end", "flow": "flow-end"}
#: What belongs to a decision that stands before it.
_PARTS: Final = frozenset({"end", "flow-end", "peer", "flows-refused"})
#: Refused before any rule was asked.
_REFUSALS: Final = frozenset({"refused", "login-failed"})
#: Sums of what was refused or denied.
_SUMS: Final = frozenset({"refusals", "denials"})

Line = Mapping[str, Any]


@final
class Journalled:
    """
    The lines of a journal.
    """

    def __init__(self, directory: Path) -> None:
        """
        @raise OSError: it cannot be read.
        """
        self._files = chain.files(directory)

    def line(self, number: int) -> Line | None:
        """
        The line with that number, or L{None} when it is not there (any more).
        """
        for octets in self._from(number):
            line: Line = json.loads(octets)
            return line if line["n"] == number else None
        return None

    def span(self) -> tuple[int, int] | None:
        """Return the numbers of its first and last line, L{None} without any."""
        for file in reversed(self._files):
            _, octets = chain.tail(file)
            if octets:
                return chain.firstOf(self._files[0]), json.loads(octets)["n"]
        return None

    def _from(self, number: int) -> Iterator[bytes]:
        """The whole lines from a number on."""
        for i, file in enumerate(self._files):
            first = chain.firstOf(file)
            following = self._files[i + 1 : i + 2]
            if following and chain.firstOf(following[0]) <= number:
                continue
            for at, (octets, whole) in enumerate(chain.lines(file), first):
                if whole and at >= number:
                    yield octets

    def outcome(self, line: Line) -> Line | None:
        """
        What became of a grant: its end; L{None} while it lives, or when the
        process did not come to write it.
        """
        end = _ENDS[line["event"]].encode()
        mark = b'"event":"%b","session":%d,' % (end, line["session"])
        for octets in self._from(line["n"] + 1):
            if b'"event":"start"' in octets:
                return None
            if mark in octets:
                found: Line = json.loads(octets)
                if line["event"] == "decision" or _isOf(found, line):
                    return found
        return None

    def decision(self, line: Line) -> Line | None:
        """The decision that a later line of the same session belongs to."""
        mark = b'"event":"decision","session":%d,' % line["session"]
        flow = b'"event":"flow","session":%d,' % line["session"]
        for file in reversed(self._files):
            if chain.firstOf(file) >= line["n"]:
                continue
            found: Line | None = None
            started = False
            lines = enumerate(chain.lines(file), chain.firstOf(file))
            for at, (octets, whole) in lines:
                if not whole or at >= line["n"]:
                    break
                if b'"event":"start"' in octets:
                    # Sessions are numbered anew by each process.
                    found, started = None, True
                elif line["event"] == "flow-end" and flow in octets:
                    each: Line = json.loads(octets)
                    found = each if _isOf(line, each) else found
                elif line["event"] != "flow-end" and mark in octets:
                    found = json.loads(octets)
            if found is not None or started:
                return found
        return None


def _isOf(end: Line, flow: Line) -> bool:
    """Whether the end of a flow can be that one's."""
    host, _, port = end["address"].rpartition(":")
    return host.strip("[]") in flow["addresses"] and int(port) == flow["port"]


def lineOf(directory: Path, number: int) -> Line | None:
    """
    The line of the journal with that number, or L{None} when it is not
    there (any more).

    @raise OSError: the journal cannot be read.
    """
    return Journalled(directory).line(number)


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
    Explain one line of the journal, of whatever kind.

    @return: the exit status: that of the recorded verdict (0 allow, 1 deny), 0
        for a line that holds none, 1 when there is no such line, 2 when the
        journal cannot be read.
    """
    try:
        journal = Journalled(directory)
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
        found = {"record": line, "today": _today(before, config, offers, ruleset)}
        if before is not line:
            found["decision"] = before
        if ended is not None and ended is not line:
            found["outcome"] = ended
        print(json.dumps(found), file=out)
    else:
        _print(line, before, ended, out)
        _printToday(before, config, offers, ruleset, out)
    return _status(before)


def _status(line: Line) -> int:
    if line["event"] in _REFUSALS | _SUMS:
        return 1
    return 1 if line.get("verdict") == "deny" else 0


def _print(line: Line, before: Line, ended: Line | None, out: TextIO) -> None:
    """What stands in the journal of it."""
    print(f"{line['event']}, line {line['n']}:", file=out)
    if before is line and "client" in line:
        _printFacts(line, out)
    else:
        _printFields(line, out)
    if line["event"] in _SUMS:
        print(
            "the first ones of that second have lines of their own; these were too "
            "many for that",
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
        print(f"and then, line {ended['n']}: {_ending(ended)}", file=out)


def _ending(line: Line) -> str:
    """How a grant ended, in one line."""
    why = f": {line['why']}" if line.get("why") else ""
    if line["event"] == "end" and line["address"] is None:
        return f"nothing was connected: {line['reason']}{why}, reply {line['reply']}"
    octets = f"{line['sent']:,} octets out, {line['received']:,} back"
    return f"{line['reason']}{why} after {line['seconds']} s with {line['address']}; {octets}"


def _printFacts(line: Line, out: TextIO) -> None:
    for key, title in _FACTS:
        if line.get(key, "") != "":
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
        return ", ".join(f"{each} {count:,}" for each, count in value.items())
    return "-" if value is None else str(value)


def _offeredNow(line: Line, offers: Offers) -> Sequence[str]:
    """The ways in that today's configuration offers such a client."""
    source = Address.parse(line["client"].rpartition(":")[0].strip("[]"))
    return offers.offeredTo(line["listener"], source)


def _today(
    line: Line, config: Config, offers: Offers, ruleset: Ruleset
) -> Mapping[str, Any] | None:
    """
    What today's configuration says, with today's groups; L{None} when nothing
    of it can be asked.
    """
    if line["event"] in _REFUSALS:
        return {"ways_in": list(_offeredNow(line, offers))}
    facts = factsOf(line, config) if line["event"] in _ENDS else None
    if facts is None:
        return None
    try:
        return asJson(consider(ruleset, facts, offers), offers.waysFor(facts))
    except Missing as e:
        return {"verdict": None, "missing": e.fact}


def _printToday(
    line: Line, config: Config, offers: Offers, ruleset: Ruleset, out: TextIO
) -> None:
    if line["event"] in _REFUSALS:
        now = ", ".join(_offeredNow(line, offers)) or "nothing"
        print(f"by today's configuration such a client is offered {now}", file=out)
    facts = factsOf(line, config) if line["event"] in _ENDS else None
    if facts is None:
        return
    print("by today's policy, with today's groups (a directory's of then):", file=out)
    try:
        printed(consider(ruleset, facts, offers), out, offers.waysFor(facts))
    except Missing:
        print("depends on the addresses that the name has now", file=out)
