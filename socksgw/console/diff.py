"""
Compare two configurations by the recorded traffic: C{socksgw diff}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO, final

from socksgw.audit import chain
from socksgw.audit.lines import ENDS
from socksgw.audit.shapes import shaped
from socksgw.config.schema import Config
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import Facts, factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["diffMain"]

#: How many kinds of changes are shown.
_SHOWN: Final = 100
#: How many verdicts are remembered.
_KNOWN: Final = 1 << 16

#: A configuration, its rules, and who can log in.
Judging = tuple[Config, Ruleset, Offers]


def _verdict(ruleset: Ruleset, offers: Offers, facts: Facts) -> str:
    try:
        verdict = consider(ruleset, facts, offers, everyRule=False).verdict
    except Missing as e:
        return f"depends on {e.fact}"
    return f'{"allow" if verdict.allowed else "deny"} by rule "{verdict.rule}"'


@final
class _Judges:
    """
    Two configurations that judge lines of a journal.

    The same users go to the same places: what both have said of a line holds for all
    lines that differ from it in nothing that either asks for.
    """

    def __init__(self, old: Judging, new: Judging) -> None:
        self._both = old, new
        rulesets = old[1], new[1]
        self._sources = any(each.tellsSources for each in rulesets)
        self._timed = [each for each in rulesets if each.timed]
        self._entries: dict[tuple[str, str], Hashable] = {}
        self._known: dict[Hashable, tuple[str, str] | None] = {}

    def verdicts(
        self, line: Mapping[str, Any], carried: Mapping[str, Any] | None
    ) -> tuple[str, str] | None:
        """
        Return what each says of a decision.

        @param carried: a later line that tells what the session carried.
        @return: L{None} where the policy was not asked (L{factsOf}).
        """
        key = self._key(line)
        if carried is None and key in self._known:
            return self._known[key]
        old, new = self._both
        before, after = (factsOf(line, each[0], carried) for each in (old, new))
        found = None
        if before is not None and after is not None:
            found = _verdict(*old[1:], before), _verdict(*new[1:], after)
        if carried is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    def _key(self, line: Mapping[str, Any]) -> Hashable:
        """Return all that verdicts about a line depend on."""
        client, listener = line["client"].rpartition(":")[0], line["listener"]
        periods: tuple[int, ...] = ()
        if self._timed:
            at = datetime.fromisoformat(line["time"]).timestamp()
            periods = tuple(each.period(at) for each in self._timed)
        return (
            client if self._sources else self._entry(listener, client),
            listener,
            line["event"],
            line["user"],
            line["method"],
            line["command"],
            line["asked"],
            line["name"],
            line["port"],
            tuple(line["addresses"]),
            tuple(address for address, _ in line.get("struck", ())),
            line.get("secured"),
            line.get("tag"),
            tuple(line.get("groups", ())),
            periods,
        )

    def _entry(self, listener: str, client: str) -> Hashable:
        """Return what tells one source from others for those who ask it to log in."""
        found = self._entries.get((listener, client))
        if found is None:
            if len(self._entries) >= _KNOWN:
                self._entries.clear()
            try:
                source = Address.parse(client.strip("[]"))
            except ValueError:
                return client
            entries = [each[2].entry(listener, source) for each in self._both]
            found = self._entries[listener, client] = (*entries, source.isLoopback)
        return found


def _carried(files: Iterable[Path]) -> dict[tuple[int, int], Mapping[str, Any]]:
    """
    Return the lines that tell what sessions have carried.

    @return: by the start of the gateway that they follow, and the session's number.
    """
    found: dict[tuple[int, int], Mapping[str, Any]] = {}
    run = 0
    for file in files:
        for octets, whole in chain.lines(file):
            if whole and b'"event":"start"' in octets:
                run += 1
            elif whole and b'"application":' in octets:
                line = shaped(octets)
                if line is None or "session" not in line:
                    continue
                found[run, line["session"]] = line
    return found


def diffMain(
    old: Judging,
    new: Judging,
    journal: Path,
    out: TextIO,
) -> int:
    """
    Print which decisions of the recorded traffic would change.

    Both configurations judge the facts that the journal has of each decision: source,
    method, addresses, time, user and the rest; first whether the client can log in,
    then the rules.

    @param old: the configuration, its rules, and who can log in.
    @param new: the same of the other configuration.
    @param journal: a journal's directory, or one of its files.
    @return: the exit status: 0 when no decision changes, 1 when some do, 2 when the
        journal cannot be read.
    """
    changed: Counter[str] = Counter()
    decisions = 0
    judges = _Judges(old, new)
    try:
        files = list(chain.files(journal)) if journal.is_dir() else [journal]
        carried = _carried(files) if old[1].inspects or new[1].inspects else {}
        run = 0
        for file in files:
            for place, (octets, whole) in enumerate(chain.lines(file), 1):
                if not whole or b'"verdict":' not in octets:
                    run += b'"event":"start"' in octets
                    continue
                line = shaped(octets)
                if line is None:
                    raise ValueError(f"{file.name}:{place}")
                if line["event"] not in ENDS:
                    continue
                found = judges.verdicts(line, carried.get((run, line["session"])))
                if found is None:
                    continue
                decisions += 1
                was, becomes = found
                if was.split()[0] != becomes.split()[0]:
                    target = f"{line['name'] or line['asked']}:{line['port']}"
                    text = f"{line['user']} {line['command']} {target}"
                    changed[f"{text}: {was} → {becomes}"] += 1
    except OSError as e:
        print(f"{journal}: {e.strerror}; name a journal with --replay", file=out)
        return 2
    except (ValueError, KeyError) as e:
        print(f"{journal}: not a journal: {e}", file=out)
        return 2
    for text, count in changed.most_common(_SHOWN):
        print(f"{count:>8} × {text}", file=out)
    if len(changed) > _SHOWN:
        print(f"{'…':>8} and {len(changed) - _SHOWN:,} more kinds", file=out)
    print(f"of {decisions:,} decisions {changed.total():,} would change", file=out)
    return 1 if changed else 0
