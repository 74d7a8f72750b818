"""
Compare two configurations by the recorded traffic: C{socksgw diff}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from socksgw.audit import chain
from socksgw.audit.lines import ENDS
from socksgw.audit.shapes import shaped
from socksgw.config.schema import Config
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import Facts, factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.policy.ruleset import Ruleset

__all__ = ["diffMain"]

#: How many kinds of changes are shown.
_SHOWN: Final = 100


def _verdict(ruleset: Ruleset, offers: Offers, facts: Facts) -> str:
    try:
        verdict = consider(ruleset, facts, offers, everyRule=False).verdict
    except Missing as e:
        return f"depends on {e.fact}"
    return f'{"allow" if verdict.allowed else "deny"} by rule "{verdict.rule}"'


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
    old: tuple[Config, Ruleset, Offers],
    new: tuple[Config, Ruleset, Offers],
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
                found = carried.get((run, line["session"]))
                before, after = (factsOf(line, each[0], found) for each in (old, new))
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
        print(f"{journal}: not a journal: {e}", file=out)
        return 2
    for text, count in changed.most_common(_SHOWN):
        print(f"{count:>8} × {text}", file=out)
    if len(changed) > _SHOWN:
        print(f"{'…':>8} and {len(changed) - _SHOWN:,} more kinds", file=out)
    print(f"of {decisions:,} decisions {changed.total():,} would change", file=out)
    return 1 if changed else 0
