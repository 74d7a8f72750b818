"""
Commands that examine a configuration: C{check}, C{explain}, C{diff} and C{suggest}.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache, partial

from socksgw.config.loading import load, refused
from socksgw.config.schema import Config
from socksgw.console.configured import configuration, journalIn, journalOf
from socksgw.console.explain import explainFacts
from socksgw.console.recorded import explainRecord
from socksgw.errors import LookupFailed
from socksgw.gateway.asked import factsAsked
from socksgw.gateway.examination import Examination, examine
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.keptroutes import KeptRoutes
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.policy.entries import entriesOf
from socksgw.route.resolver import lookUpNow
from socksgw.system.domains import OWN
from socksgw.wire.address import Address

__all__ = ["checkMain", "compareMain", "explainMain", "learnMain"]


def checkMain(options: argparse.Namespace) -> int:
    """
    Run C{socksgw check}.

    @return: the exit status.
    @raise ConfigError: the file cannot be read.
    """
    from twisted.internet import reactor

    file = options.config or options.file
    if file is None:
        print("socksgw check: name the file: socksgw check FILE", file=sys.stderr)
        return 2
    config = load(file)
    examination = examine(config, HostAddresses.of(config), reactor)
    failed = bool(examination.errors or (options.strict and examination.warnings))
    if options.json and not options.probe:
        print("socksgw check: --json is for --probe", file=sys.stderr)
        return 2
    # With --json standard output has nothing else.
    out = sys.stderr if options.json else sys.stdout
    if failed or not options.json:
        for line in examination.lines(
            config, "cannot be used" if failed else "is good"
        ):
            print(line, file=out)
    if failed:
        return 2
    if not options.probe:
        return 0
    # It takes the HTTP client and the upstreams' with it.
    from socksgw.console.probe import probeMain

    return probeMain(
        config,
        examination,
        reactor,
        options.timeout,
        options.json,
        sys.stdout,
        sys.stderr,
    )


def explainMain(options: argparse.Namespace) -> int:
    """
    Run C{socksgw explain}, without a gateway.

    @return: the exit status.
    @raise ConfigError: the configuration's policy has errors.
    """
    config = configuration(options.config)
    found = _examined(config)
    status = _explained(options, config, found)
    if found.errors:
        for line in refused(config, found.errors).lines():
            print(line, file=sys.stderr)
        print(
            f"{config.file}: has errors, so no gateway starts with it and decides like "
            "that (socksgw check)",
            file=sys.stderr,
        )
        return 2
    return status


def _explained(options: argparse.Namespace, config: Config, found: Examination) -> int:
    ruleset, offers = found.ruleset, found.offers
    if options.record is not None:
        return explainRecord(
            journalIn(config),
            options.record,
            config,
            offers,
            ruleset,
            sys.stdout,
            options.json,
        )
    if options.destination is None:
        print("socksgw explain: name COMMAND HOST:PORT, or --record N", file=sys.stderr)
        return 2
    try:
        facts = factsAsked(options, config)
    except ValueError as e:
        print(f"socksgw explain: {e}", file=sys.stderr)
        return 2

    domains = {listen.name: listen.domain for listen in config.listen}
    listener = offers.known(facts).listener or ""

    def lookUp(name: str) -> tuple[Address, ...]:
        if domains.get(listener, OWN).name:
            raise LookupFailed(f"the name servers of {domains[listener]} are not asked")
        if config.resolver.servers:
            raise LookupFailed("the configuration's own name servers are not asked")
        return lookUpNow(name, config.resolver.family)

    return explainFacts(
        facts,
        offers,
        ruleset,
        lookUp,
        sys.stdout,
        options.json,
        partial(entriesOf, config),
    )


def _examined(config: Config, host: HostAddresses | None = None) -> Examination:
    """
    Examine a configuration, whose policy must be without errors.

    @param host: what leads to this host; by default that is asked when it matters.
    @raise ConfigError: the policy has errors; others are in the result.
    """
    from twisted.internet import reactor

    found = examine(config, host or HostAddresses.of(config), reactor)
    if found.unclear:
        raise refused(config, found.errors)
    return found


def compareMain(options: argparse.Namespace) -> int:
    """
    Run C{socksgw diff}.

    @return: the exit status.
    @raise ConfigError: the policy of one has errors.
    """
    judges = []
    # Both are judged at one moment, as it were.
    ask = cache(lambda: KeptRoutes(KernelRoutes))
    probe = cache(lambda: KeptRoutes(ProbedRoutes))
    for config in (load(options.old), load(options.new)):
        found = _examined(config, HostAddresses.of(config, ask, probe))
        if found.errors:
            for line in refused(config, found.errors).lines():
                print(f"warning: {line}", file=sys.stderr)
        judges.append((config, found.ruleset, found.offers))
    # Other commands start without what this one and the next take.
    from socksgw.console.diff import diffMain

    journal = options.replay or journalOf(options.old)
    old, new = judges
    return diffMain(old, new, journal, sys.stdout)


def learnMain(options: argparse.Namespace) -> int:
    """
    Run C{socksgw suggest}.

    @return: the exit status.
    @raise ConfigError: the configuration's policy has errors.
    """
    config = configuration(options.config)
    found = _examined(config)
    for line in refused(config, found.errors).lines() if found.errors else ():
        print(f"warning: {line}", file=sys.stderr)
    from socksgw.console.suggest import suggestMain

    return suggestMain(
        options,
        config,
        found.ruleset,
        found.offers,
        HostAddresses.of(config),
        journalIn(config),
        sys.stdout,
    )
