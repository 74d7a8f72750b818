"""
The C{socksgw} command: what runs each of its commands.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final

from socksgw.config.loading import load, refused
from socksgw.config.schema import Config, GatewayConfig
from socksgw.console.agent import agentMain
from socksgw.console.auditcommand import AUDIT, configuration, journalOf, ran
from socksgw.console.clientconfig import clientConfigMain
from socksgw.console.completion import completionMain
from socksgw.console.connect import connectMain
from socksgw.console.diff import diffMain
from socksgw.console.explain import explainFacts
from socksgw.console.grant import grantMain
from socksgw.console.help import helpMain
from socksgw.console.importing import importMain
from socksgw.console.init import initMain
from socksgw.console.operating import explainLive, operateMain
from socksgw.console.parser import makeParser
from socksgw.console.passwd import (
    HASHES,
    SECRETS,
    deleteMain,
    listMain,
    passwdMain,
    verifyMain,
)
from socksgw.console.plugins import pluginsMain
from socksgw.console.recorded import explainRecord
from socksgw.console.report import reportMain
from socksgw.console.run import runMain
from socksgw.console.selftest.command import selftestMain
from socksgw.console.suggest import suggestMain
from socksgw.console.usage import commandsOf
from socksgw.console.wanted import joined
from socksgw.console.words import wordsOf
from socksgw.errors import LookupFailed
from socksgw.gateway.asked import factsAsked
from socksgw.gateway.examination import Examination, examine
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.keptroutes import KeptRoutes
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.policy.entries import entriesOf
from socksgw.route.resolver import lookUpNow
from socksgw.system import brokerstart
from socksgw.system.domains import OWN
from socksgw.system.output import readable
from socksgw.wire.address import Address

__all__ = ["main"]


def _help(options: argparse.Namespace) -> int:
    commands = commandsOf(makeParser())
    return helpMain(
        " ".join(options.topic),
        sys.stdout,
        sys.stderr,
        commands,
        lambda name: commands[name].format_help(),
    )


def _check(options: argparse.Namespace) -> int:
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


def _passwd(options: argparse.Namespace) -> int:
    kind = SECRETS if options.secrets else HASHES
    file, user = options.file, options.user
    if options.list:
        if user is not None:
            print("socksgw passwd: --list is for all users", file=sys.stderr)
            return 2
        return listMain(file, sys.stdout, sys.stderr, kind, options.json)
    if user is None or options.json:
        what = "name FILE and USER" if user is None else "--json is for --list"
        print(f"socksgw passwd: {what}", file=sys.stderr)
        return 2
    if options.delete:
        return deleteMain(file, user, sys.stderr, kind)
    if options.verify:
        return verifyMain(file, user, sys.stdin, sys.stderr, kind=kind)
    return passwdMain(file, user, sys.stdin, sys.stderr, kind=kind)


def _import(options: argparse.Namespace) -> int:
    return importMain(
        options.file,
        options.kind,
        options.output,
        options.wider,
        options.json,
        sys.stdout,
        sys.stderr,
    )


def _init(options: argparse.Namespace) -> int:
    def ask(question: str, default: str) -> str:
        shown = f" [{default}]" if default else ""
        print(f"{question}{shown} ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() or default

    return initMain(
        options, ask if sys.stdin.isatty() else None, sys.stdout, sys.stderr
    )


def _grant(options: argparse.Namespace) -> int:
    return grantMain(options, sys.stdout)


def _operate(options: argparse.Namespace) -> int:
    return operateMain(options, sys.stdout)


def _report(options: argparse.Namespace) -> int:
    config = configuration(options.config)
    journal = journalOf(options.config)
    return reportMain(options, config, journal, sys.stdout)


def _explain(options: argparse.Namespace) -> int:
    if options.live:
        return explainLive(options, sys.stdout)
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
            journalOf(options.config),
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


def _diff(options: argparse.Namespace) -> int:
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
    journal = options.replay or journalOf(options.old)
    old, new = judges
    return diffMain(old, new, journal, sys.stdout)


def _suggest(options: argparse.Namespace) -> int:
    config = configuration(options.config)
    found = _examined(config)
    for line in refused(config, found.errors).lines() if found.errors else ():
        print(f"warning: {line}", file=sys.stderr)
    return suggestMain(
        options,
        config,
        found.ruleset,
        found.offers,
        HostAddresses.of(config),
        journalOf(options.config),
        sys.stdout,
    )


def _clientConfig(options: argparse.Namespace) -> int:
    return clientConfigMain(configuration(options.config), options, sys.stdout)


def _broker(options: argparse.Namespace) -> int:
    where = options.socket or Path(GatewayConfig().netns_dir) / f"{options.name}.sock"
    # The broker imports little, and stays small: without what is imported here.
    python = [sys.executable, "-m", brokerstart.__name__]
    # Where this user may not run the interpreter (again), it serves as it is.
    with suppress(PermissionError):
        os.execv(python[0], [*python, options.name, str(where), options.user or ""])  # noqa: S606
    return brokerstart.brokerMain(options.name, where, options.user)


def _completion(options: argparse.Namespace) -> int:
    return completionMain(options.shell, wordsOf(makeParser()), sys.stdout)


def _plugins(_: argparse.Namespace) -> int:
    return pluginsMain(sys.stdout)


#: What runs each command, by its name in the parsed options.
_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    **AUDIT,
    "help": _help,
    "check": _check,
    "passwd": _passwd,
    "report": _report,
    "explain": _explain,
    "sessions": _operate,
    "kill": _operate,
    "status": _operate,
    "reload": _operate,
    "restart": _operate,
    "drain": _operate,
    "diff": _diff,
    "init": _init,
    "import": _import,
    "grant": _grant,
    "suggest": _suggest,
    "client-config": _clientConfig,
    "agent": agentMain,
    "connect": connectMain,
    "run": runMain,
    "selftest": selftestMain,
    "plugins": _plugins,
    "completion": _completion,
    "netns-broker": _broker,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param arguments: those of the command line; by default the process's.
    @return: the exit status.
    """
    readable(sys.stdout)
    readable(sys.stderr)
    options = makeParser().parse_args(joined(arguments))
    return ran(_COMMANDS[options.run], options)


if __name__ == "__main__":
    sys.exit(main())
