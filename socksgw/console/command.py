"""
The C{socksgw} command: what runs each of its commands.

A command imports what it needs when it runs: a health check asks C{status} every few
seconds, OpenSSH runs C{connect} for each connection, and neither needs a gateway.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from socksgw.console.parser import COMMANDS, makeParser
from socksgw.console.usage import commandsOf, joined
from socksgw.system.output import readable

__all__ = ["main"]

#: Runs a command, and returns the exit status.
_Run = Callable[[argparse.Namespace], int]


def _help(options: argparse.Namespace) -> int:
    from socksgw.console.help import helpMain

    commands = commandsOf(makeParser())
    return helpMain(
        " ".join(options.topic),
        sys.stdout,
        sys.stderr,
        commands,
        lambda name: commands[name].format_help(),
    )


def _check(options: argparse.Namespace) -> int:
    from socksgw.console.examined import checkMain

    return checkMain(options)


def _passwd(options: argparse.Namespace) -> int:
    from socksgw.console.passwd import passwdCommand

    return passwdCommand(options, sys.stdin, sys.stdout, sys.stderr)


def _audit(options: argparse.Namespace) -> int:
    from socksgw.console.auditcommand import AUDIT

    return AUDIT[options.run](options)


def _suggest(options: argparse.Namespace) -> int:
    from socksgw.console.examined import learnMain

    return learnMain(options)


def _grant(options: argparse.Namespace) -> int:
    from socksgw.console.grant import grantMain

    return grantMain(options, sys.stdout)


def _report(options: argparse.Namespace) -> int:
    from socksgw.console.configured import configuration, journalOf
    from socksgw.console.report import reportMain

    config = configuration(options.config)
    journal = journalOf(options.config)
    return reportMain(options, config, journal, sys.stdout)


def _explain(options: argparse.Namespace) -> int:
    if options.live:
        from socksgw.console.explainlive import explainLive

        return explainLive(options, sys.stdout)
    from socksgw.console.examined import explainMain

    return explainMain(options)


def _operate(options: argparse.Namespace) -> int:
    from socksgw.console.operating import operateMain

    return operateMain(options, sys.stdout)


def _init(options: argparse.Namespace) -> int:
    from socksgw.console.init import initMain

    def ask(question: str, default: str) -> str:
        shown = f" [{default}]" if default else ""
        print(f"{question}{shown} ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() or default

    return initMain(
        options, ask if sys.stdin.isatty() else None, sys.stdout, sys.stderr
    )


def _import(options: argparse.Namespace) -> int:
    from socksgw.console.importing import importMain

    return importMain(
        options.file,
        options.kind,
        options.output,
        options.wider,
        options.json,
        sys.stdout,
        sys.stderr,
    )


def _diff(options: argparse.Namespace) -> int:
    from socksgw.console.examined import compareMain

    return compareMain(options)


def _clientConfig(options: argparse.Namespace) -> int:
    from socksgw.console.clientconfig import clientConfigMain
    from socksgw.console.configured import configuration

    return clientConfigMain(configuration(options.config), options, sys.stdout)


def _agent(options: argparse.Namespace) -> int:
    from socksgw.console.agent import agentMain

    return agentMain(options)


def _connect(options: argparse.Namespace) -> int:
    from socksgw.console.connect import connectMain

    return connectMain(options)


def _run(options: argparse.Namespace) -> int:
    from socksgw.console.run import runMain

    return runMain(options)


def _selftest(options: argparse.Namespace) -> int:
    from socksgw.console.selftest.command import selftestMain

    return selftestMain(options)


def _plugins(_: argparse.Namespace) -> int:
    from socksgw.console.plugins import pluginsMain

    return pluginsMain(sys.stdout)


def _completion(options: argparse.Namespace) -> int:
    from socksgw.console.completion import completionMain
    from socksgw.console.words import wordsOf

    return completionMain(options.shell, wordsOf(makeParser()), sys.stdout)


def _broker(options: argparse.Namespace) -> int:
    from socksgw.config.schema import GatewayConfig
    from socksgw.system import brokerstart

    where = options.socket or Path(GatewayConfig().netns_dir) / f"{options.name}.sock"
    # The broker imports little, and stays small: without what is imported here.
    python = [sys.executable, "-m", brokerstart.__name__]
    # Where this user may not run the interpreter (again), it serves as it is.
    with suppress(PermissionError):
        os.execv(python[0], [*python, options.name, str(where), options.user or ""])  # noqa: S606
    return brokerstart.brokerMain(options.name, where, options.user)


#: What runs each command, by its name in the parsed options.
_RUN: Final[Mapping[str, _Run]] = {
    "help": _help,
    "check": _check,
    "passwd": _passwd,
    "verify": _audit,
    "key": _audit,
    "follow": _audit,
    "search": _audit,
    "export": _audit,
    "suggest": _suggest,
    "grant": _grant,
    "report": _report,
    "explain": _explain,
    "sessions": _operate,
    "kill": _operate,
    "status": _operate,
    "reload": _operate,
    "restart": _operate,
    "drain": _operate,
    "init": _init,
    "import": _import,
    "diff": _diff,
    "client-config": _clientConfig,
    "agent": _agent,
    "connect": _connect,
    "run": _run,
    "selftest": _selftest,
    "plugins": _plugins,
    "completion": _completion,
    "netns-broker": _broker,
}
#: Those that read no configuration of a gateway, and start without its parts.
_WITHOUT: Final = frozenset({"connect", "run"})


def _configured(run: _Run, options: argparse.Namespace) -> int:
    """Run a command, and print what is wrong with its configuration."""
    from socksgw.config.problems import ConfigError

    try:
        return run(options)
    except ConfigError as e:
        for line in e.lines():
            print(line, file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param arguments: those of the command line; by default the process's.
    @return: the exit status.
    """
    readable(sys.stdout)
    readable(sys.stderr)
    words = list(sys.argv[1:] if arguments is None else arguments)
    first = words[0] if words else ""
    parser = makeParser(first if first in COMMANDS else None)
    if first in _WITHOUT:
        options = parser.parse_args(words)
        return _RUN[options.run](options)
    options = parser.parse_args(joined(words))
    return _configured(_RUN[options.run], options)


if __name__ == "__main__":
    sys.exit(main())
