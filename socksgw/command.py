"""
The C{socksgw} console command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from socksgw.audit import follower, verify
from socksgw.config import Config, ConfigError, load
from socksgw.defaults import defaultConfig
from socksgw.examination import examine
from socksgw.explanation import explainMain
from socksgw.hosts import HostAddresses
from socksgw.login.passwords import passwdMain
from socksgw.negotiate.discovery import findMethods
from socksgw.policy.document import Compiler

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="socksgw",
        description="Look after a SOCKS gateway that runs with: twistd -n socksgw",
        epilog="Each command explains itself: socksgw COMMAND --help",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    check = commands.add_parser(
        "check",
        help="check a configuration, and say what it exposes",
        description="Check a configuration: every error at once, each with its "
        "place and remedy; ends with what is exposed. Exit status 0 when the "
        "gateway would start with it, else 2.",
    )
    check.add_argument("file", nargs="?", metavar="FILE")
    check.add_argument("--config", metavar="FILE", help="the same as FILE")
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.set_defaults(run=_check)

    passwd = commands.add_parser(
        "passwd",
        help="set a user's password in a file for the passwd: checker",
        description="Set a user's password. The file is made (mode 0600) when it "
        "is not there. The password is asked for twice on a terminal, else read "
        "as one line from standard input; it never stands on the command line.",
    )
    passwd.add_argument("file", metavar="FILE")
    passwd.add_argument("user", metavar="USER")
    passwd.set_defaults(run=_passwd)

    audit = commands.add_parser(
        "audit", help="verify or follow the audit journal"
    ).add_subparsers(metavar="COMMAND", required=True)
    verifying = audit.add_parser(
        "verify",
        help="check that no line of the journal was changed, lost or moved",
        description="Check the journal's chain of hashes from its first line to "
        "its last. Exit status 0 when it is whole, 1 when it is not.",
    )
    verifying.add_argument("--config", metavar="FILE")
    verifying.set_defaults(run=_verify)
    following = audit.add_parser(
        "follow",
        help="print decisions as they are made",
        description="Print the journal as it grows, one human line per decision.",
    )
    following.add_argument("--config", metavar="FILE")
    following.add_argument(
        "--all", action="store_true", help="from the journal's first line"
    )
    following.add_argument(
        "--json", action="store_true", help="the lines as they stand in the journal"
    )
    following.set_defaults(run=_follow)

    explain = commands.add_parser(
        "explain",
        help="say why a recorded decision was made",
        description="Show a decision of the journal, and which rules today's "
        "policy would try for it, each with the first condition that does not "
        "hold. Exit status 0 for a recorded allow, 1 for a deny, 2 when there is "
        "nothing to explain.",
    )
    explain.add_argument("--config", metavar="FILE")
    explain.add_argument(
        "--record", metavar="N", type=int, required=True, help="the line's number"
    )
    explain.set_defaults(run=_explain)

    plugins = commands.add_parser(
        "plugins", help="list the authentication methods found, and the broken ones"
    )
    plugins.set_defaults(run=_plugins)
    return parser


def _configuration(file: str | None) -> Config:
    return load(file) if file else defaultConfig()


def _journal(file: str | None) -> Path:
    config = _configuration(file)
    return config.directory / config.gateway.state_dir / config.audit.journal


def _check(options: argparse.Namespace) -> int:
    from twisted.internet import reactor

    file = options.config or options.file
    if file is None:
        print("socksgw check: name the file: socksgw check FILE", file=sys.stderr)
        return 2
    examination = examine(load(file), HostAddresses(lambda: ()), reactor)
    for line in examination.lines(file):
        print(line)
    failed = bool(examination.errors or (options.strict and examination.warnings))
    print(f"{file}: {'cannot be used' if failed else 'is good'}")
    return 2 if failed else 0


def _passwd(options: argparse.Namespace) -> int:
    return passwdMain(options.file, options.user, sys.stdin, sys.stderr)


def _verify(options: argparse.Namespace) -> int:
    return verify.verifyMain(_journal(options.config), sys.stdout)


def _follow(options: argparse.Namespace) -> int:
    return follower.followMain(
        _journal(options.config),
        sys.stdout,
        colour=sys.stdout.isatty(),
        fromStart=options.all,
        raw=options.json,
        config=options.config or "",
    )


def _explain(options: argparse.Namespace) -> int:
    config = _configuration(options.config)
    compiled = Compiler(config, HostAddresses(lambda: ())).compile()
    if compiled.errors:
        raise ConfigError(config.file, compiled.errors)
    return explainMain(
        _journal(options.config), options.record, config, compiled.ruleset, sys.stdout
    )


def _plugins(_: argparse.Namespace) -> int:
    found, broken = findMethods()
    for name, method in sorted(found.items()):
        print(f"method  {name:<12} {method.help}")
    for module, why in broken:
        print(f"BROKEN  {module}: {why}")
    return 1 if broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @return: the exit status.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigError as e:
        for line in e.lines():
            print(line, file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
