"""
Suggest rules for what was denied: C{socksgw suggest}.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO, final

from attrs import evolve

from socksgw.config.schema import Config
from socksgw.console.learning import CONFIGURED
from socksgw.console.suggestion import asJson, asToml
from socksgw.console.verify import remedy
from socksgw.console.wanted import WrongUse, spanOf
from socksgw.console.warehouses import warehouseOf
from socksgw.gateway.offers import Offers
from socksgw.policy.conditions import HostFacts
from socksgw.policy.facts import Facts, factsOf
from socksgw.policy.outcome import consider
from socksgw.policy.questions import DEFAULT, NEVER, UNOFFERED, Missing
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.suggesting import Seen, Subject, confirmed, suggested
from socksgw.records.criteria import Criteria
from socksgw.records.searching import search
from socksgw.warehouse.errors import WarehouseError
from socksgw.wire.codes import DATAGRAMS

__all__ = ["Sifted", "sift", "suggestMain"]

_EVENTS: Final = ("decision", "flow")


@final
class Sifted:
    """
    What was denied, and what becomes of it.

    @ivar seen: what rules are suggested for.
    @ivar others: what is not, in words, each with its number of requests.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.others: Counter[str] = Counter()


@final
class _Judging:
    """
    Judges recorded requests by the rules of today.

    @ivar reported: a rule that only reports, whose denials are asked for; or empty.
    @ivar overruled: rules whose denials are to be allowed all the same.
    """

    def __init__(
        self,
        config: Config,
        ruleset: Ruleset,
        offers: Offers,
        reported: str,
        overruled: Sequence[str],
    ) -> None:
        self._config = config
        self._ruleset = ruleset
        self._offers = offers
        self._reported = reported
        self._denying = {DEFAULT, *overruled}

    def look(self, line: Mapping[str, Any], found: Sifted) -> None:
        """Put a request among those for which rules are suggested, or the others."""
        command = line.get("command")
        if command == "resolve":
            found.others["look-ups (resolve), which are of no use alone"] += 1
            return
        if command in DATAGRAMS and line["event"] == "decision":
            kind = "UDP" if command == "udp" else command
            what = f"{kind} associations: their destinations are not known before one is allowed"
            found.others[what] += 1
            return
        if command in (None, "noop") or line.get("method") is None:
            return
        facts = factsOf(line, self._config)
        if facts is None:
            found.others["requests that were no good"] += 1
            return
        if self._reported:
            facts = evolve(facts, addresses=facts.addresses[: len(line["addresses"])])
        else:
            why, facts = self._today(facts)
            if why:
                found.others[why] += 1
                return
        if facts.joining is not None and facts.joining.ttl is not None:
            found.others[
                "requests to send to a group: a rule has to say how far (rule.multicast)"
            ] += 1
            return
        found.seen.append(Seen(facts, line["n"], line["time"]))

    def _today(self, facts: Facts) -> tuple[str, Facts]:
        """
        Return why nothing is suggested for a request, and what of it may be allowed.
        """
        try:
            outcome = consider(self._ruleset, facts, self._offers, everyRule=False)
        except Missing as e:
            if e.fact == "resolving_to":
                return (
                    "requests that a rule allows today, if the addresses are right",
                    facts,
                )
            return f"requests of which {e.fact} is not recorded", facts
        verdict = outcome.verdict
        if verdict.allowed:
            return "requests that a rule allows today", facts
        good = tuple(
            each
            for each in facts.addresses
            if self._ruleset.judge(facts.question(), each).rule in self._denying
        )
        if verdict.rule in self._denying if not facts.addresses else good:
            return "", evolve(facts, addresses=good)
        if verdict.rule == NEVER:
            return "requests that [never] denies, which no rule can allow", facts
        if verdict.rule == UNOFFERED:
            return (
                "requests of clients that cannot log in any more (auth.choose)",
                facts,
            )
        if facts.joining is not None and any(
            self._ruleset.judge(facts.question(), each).allowed
            for each in facts.addresses
        ):
            return f'groups of which rule "{verdict.rule}" allows less', facts
        return (
            f'requests that rule "{verdict.rule}" denies on purpose: --overrule '
            f"{verdict.rule} suggests rules before it"
        ), facts


def sift(
    lines: Iterable[Mapping[str, Any]],
    subject: Subject,
    config: Config,
    ruleset: Ruleset,
    offers: Offers,
    reported: str = "",
    overruled: Sequence[str] = (),
) -> Sifted:
    """
    Return what of some lines of the journal rules can be suggested for.

    @param lines: of the events C{decision} and C{flow}.
    @param reported: as of L{_Judging}.
    @param overruled: as of L{_Judging}.
    """
    judging = _Judging(config, ruleset, offers, reported, overruled)
    found = Sifted()
    report = f"{reported}: deny"
    for line in lines:
        if line.get("event") not in _EVENTS or not subject.concerns(line):
            continue
        wanted = (
            report in line.get("reports", ())
            if reported
            else line.get("verdict") == "deny"
        )
        if wanted:
            judging.look(line, found)
    return found


def suggestMain(
    options: Any,
    config: Config,
    ruleset: Ruleset,
    offers: Offers,
    hosts: HostFacts,
    journal: Path,
    out: TextIO,
) -> int:
    """
    Print the rules that allow what was denied to somebody.

    @param options: of the command line.
    @param journal: the journal's directory.
    @return: the exit status: 0 with a suggestion, 1 without one, 2 for wrong use, or
        when nothing can be read.
    """
    subject = Subject(options.user, options.group, options.tag, options.listener)
    if subject == Subject():
        return _wrong("say whose: --user, --group, --tag or --listener")
    if subject.group and subject.group not in config.groups:
        return _wrong(f'--group: "{subject.group}" is not declared in [groups]')
    ids = {rule.id: rule for rule in config.rule}
    for word in (*options.overrule, *filter(None, [options.reported])):
        if word not in ids or ids[word].allow is not None:
            return _wrong(f'there is no rule "{word}" that denies')
    if options.reported and not ids[options.reported].report_only:
        return _wrong(f'rule "{options.reported}" does not only report')
    try:
        span = spanOf(options.since, options.until)
    except WrongUse as e:
        return _wrong(str(e))
    try:
        lines = list(_lines(options, journal, span, subject, config))
    except OSError as e:
        return _wrong(f"{journal}: {remedy(e)}")
    except WarehouseError as e:
        return _wrong(str(e))
    sifted = sift(
        lines,
        subject,
        config,
        ruleset,
        offers,
        options.reported or "",
        options.overrule,
    )
    found = suggested(sifted.seen, subject, config, ruleset.timed)
    before = _place(config, [*options.overrule, *filter(None, [options.reported])])
    found, failed = confirmed(found, config, hosts, offers, before)
    for why, count in failed.items():
        sifted.others[f"requests for which no rule would do: {why}"] += count
    write = asJson if options.json else asToml
    write(found, sifted.others, before, out)
    if not found and not sifted.others:
        print(
            "socksgw suggest: no denial of these is recorded; "
            "socksgw audit search --denied shows those that are",
            file=sys.stderr,
        )
    return 0 if found else 1


def _wrong(why: str) -> int:
    print(f"socksgw suggest: {why}", file=sys.stderr)
    return 2


def _lines(
    options: Any,
    journal: Path,
    span: tuple[str, str],
    subject: Subject,
    config: Config,
) -> Iterator[Mapping[str, Any]]:
    if options.warehouse:
        yield from _fromWarehouse(config, options.warehouse, span, options.reported)
        return
    criteria = Criteria(
        event=_EVENTS,
        user=_exactly(subject.user),
        group=_exactly(subject.group),
        tag=_exactly(subject.tag),
        listener=_exactly(subject.listener),
        verdict="" if options.reported else "deny",
        since=span[0],
        until=span[1],
    )
    for octets in search(journal, criteria):
        yield json.loads(octets)


def _exactly(word: str) -> tuple[str, ...]:
    """Return a word for a search, where it is no pattern; it is looked at again."""
    return (word,) if word and "*" not in word else ()


def _fromWarehouse(
    config: Config, url: str, span: tuple[str, str], reported: str | None
) -> Iterator[Mapping[str, Any]]:
    """
    Yield the lines that a database has of the gateway.

    @raise WarehouseError: it cannot be read, or the configuration has none.
    """
    warehouse = warehouseOf(config, "" if url == CONFIGURED else url)
    if warehouse is None:
        raise WarehouseError(
            "--warehouse: the configuration has no sink sql; name the URL"
        )
    reader = warehouse.open()

    # It takes long to import.
    from sqlalchemy import and_, select

    from socksgw.warehouse.schema import events, sessions

    key = and_(events.c.gateway == sessions.c.gateway, events.c.n == sessions.c.n)
    query = select(events.c.line).join(sessions, key)
    # Others of the same name may have asked other gateways.
    query = query.where(events.c.gateway == warehouse.gateway)
    query = query.where(sessions.c.event.in_(_EVENTS), sessions.c.part == 0)
    if not reported:
        query = query.where(sessions.c.verdict == "deny")
    if span[0]:
        query = query.where(events.c.time >= span[0])
    if span[1]:
        query = query.where(events.c.time < span[1])
    with reader.connect() as connection:
        for (text,) in connection.execute(query.order_by(events.c.n)):
            yield json.loads(text)


def _place(config: Config, before: Sequence[str]) -> int | None:
    """Return before which rule the suggestions have to stand; L{None} for behind all."""
    places = [i for i, rule in enumerate(config.rule) if rule.id in before]
    return min(places, default=None)
