"""
The C{socksgw} command: its options, and what runs each command.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import ConfigError, load, refused
from socksgw.config.problems import nearest
from socksgw.config.schema import Config
from socksgw.console.diff import diffMain
from socksgw.console.explain import explainFacts
from socksgw.console.follow import followMain
from socksgw.console.help import helpMain
from socksgw.console.passwd import passwdMain
from socksgw.console.recorded import explainRecord
from socksgw.console.usage import commandsOf
from socksgw.console.verify import verifyMain
from socksgw.errors import LookupFailed
from socksgw.gateway.examination import Examination, examine
from socksgw.gateway.host import HostAddresses
from socksgw.login.discovery import brokenPlugins, findCheckers
from socksgw.login.passwords import setPassword
from socksgw.login.secrets import setSecret
from socksgw.negotiate.capabilities import Capabilities, capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.policy.expectations import wrongFacts
from socksgw.policy.facts import Facts, destination, groupsOf, unsureOf
from socksgw.route.resolver import lookUpNow
from socksgw.system.output import coloured, readable
from socksgw.wire.address import Address
from socksgw.wire.levels import LEVELS

__all__ = ["main", "makeParser"]


def _configured(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the gateway's configuration; default: that of a gateway without one, "
        "started in this directory",
    )


def makeParser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="socksgw",
        description="Administer a SOCKS gateway, which is started by: "
        "twistd -n socksgw",
        epilog="Each command explains itself: socksgw COMMAND --help. The manual: "
        "socksgw help",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    manual = commands.add_parser(
        "help",
        help="print the manual: its chapters, keys of the configuration",
        description="Print a chapter of the manual; or what it says about a key or a "
        "table of the configuration, an event of the journal, a command, or words "
        "of a heading. On a terminal the text is shown by $PAGER, or less. Exit "
        "status 2 when the manual has nothing about the topic.",
    )
    manual.add_argument(
        "topic", nargs="*", metavar="TOPIC", help="default: the list of chapters"
    )
    manual.set_defaults(run=_help)

    check = commands.add_parser(
        "check",
        help="check a configuration, and tell what it exposes",
        description="Check a configuration. All errors are printed at once, each with "
        "file, line, key and remedy; then what is reached without a login. Exit status "
        "0 if the gateway would start with it, else 2.",
    )
    check.add_argument("file", nargs="?", metavar="FILE", help="the configuration")
    check.add_argument("--config", metavar="FILE", help="the same as FILE")
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.set_defaults(run=_check)

    passwd = commands.add_parser(
        "passwd",
        help="set a user's password in a file for the passwd: or secrets: checker",
        description="Set a user's password. The file is made (mode 0600) if it does "
        "not exist. The password is asked for twice on a terminal, else read as one "
        "line from standard input; it is never an argument.",
    )
    passwd.add_argument(
        "--secrets",
        action="store_true",
        help="a file for the secrets: checker (method chap), which holds the "
        "passwords themselves; whoever reads it has all of them",
    )
    passwd.add_argument("file", metavar="FILE", help="as in [auth] checkers")
    passwd.add_argument("user", metavar="USER", help="the user who is added or changed")
    passwd.set_defaults(run=_passwd)

    audit = commands.add_parser(
        "audit",
        help="verify or follow the audit journal",
        description="Verify or follow the audit journal.",
    ).add_subparsers(metavar="COMMAND", required=True)
    verifying = audit.add_parser(
        "verify",
        help="check that no line of the journal was changed, lost or moved",
        description="Check the journal's chain of hashes from its first line to "
        "its last. Exit status 0 if it is whole, 1 if it is not.",
    )
    _configured(verifying)
    verifying.add_argument(
        "--head",
        metavar="N:HASH",
        type=_head,
        action="append",
        default=[],
        help="line N has to be there with this hash, which verify or the log printed "
        "and which was kept elsewhere; may be repeated",
    )
    verifying.set_defaults(run=_verify)
    following = audit.add_parser(
        "follow",
        help="print decisions as they are made",
        description="Print the journal while it is written, one line for people for "
        "each decision; ^C ends it.",
    )
    _configured(following)
    following.add_argument(
        "--all", action="store_true", help="begin with the journal's first line"
    )
    following.add_argument(
        "--json", action="store_true", help="print the lines as they are in the journal"
    )
    following.set_defaults(run=_follow)

    explain = commands.add_parser(
        "explain",
        help="tell what would be decided, or why something was",
        description="Tell whether such a client gets in, and by which method; then what "
        "the policy would decide, by which rule, and for each rule before it the first "
        "condition that does not hold. Without --from or --listener any client that "
        "gets in is meant. With --record, tell why a line of the journal is there, what "
        "became of it, and what today's configuration says of it. Exit status 0 for "
        "allow, 1 for deny or if there is no such line, 2 if it cannot be told (the missing fact is named; nothing "
        "is guessed) or if check refuses the configuration.",
    )
    _configured(explain)
    explain.add_argument("--record", metavar="N", type=int, help="a journal line")
    explain.add_argument(
        "--user", metavar="U", default="anonymous", help="default: anonymous"
    )
    explain.add_argument(
        "--group",
        metavar="G",
        action="append",
        default=[],
        help="a group of a directory that the user is in; may be repeated. The user "
        "is in no other group of a directory",
    )
    explain.add_argument(
        "--from", metavar="IP", dest="source", help="the client's address"
    )
    explain.add_argument(
        "--listener", metavar="L", help="where the client has connected"
    )
    explain.add_argument("--method", metavar="M", help="how the user has logged in")
    explain.add_argument(
        "--at",
        metavar="TIME",
        help="such as 2026-03-02T10:00:00+01:00; default: now",
    )
    explain.add_argument(
        "--secured", choices=LEVELS, help="how the client's connection is protected"
    )
    explain.add_argument(
        "--resolving-to",
        metavar="IP",
        action="append",
        default=[],
        help="an address of the name; may be repeated; default: what DNS says",
    )
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.add_argument(
        "command",
        nargs="?",
        choices=["connect", "bind", "udp", "resolve"],
        help="what the client asks for",
    )
    explain.add_argument(
        "destination", nargs="?", metavar="HOST:PORT", help="the destination"
    )
    explain.set_defaults(run=_explain)

    diff = commands.add_parser(
        "diff",
        help="show which recorded decisions another policy would change",
        description="Judge the recorded traffic by two configurations, and show "
        "what would change. Exit status 0 if nothing would, 1 if something would.",
    )
    diff.add_argument("old", metavar="OLD", help="a configuration")
    diff.add_argument(
        "new", metavar="NEW", help="the configuration that is to replace it"
    )
    diff.add_argument(
        "--replay",
        metavar="JOURNAL",
        type=Path,
        help="a journal's directory, or one of its files; default: the journal of OLD",
    )
    diff.set_defaults(run=_diff)

    plugins = commands.add_parser(
        "plugins",
        help="list the methods and checkers found, and the broken ones",
        description="List every authentication method and checker that is installed, "
        "and every plug-in that cannot be imported, with the reason. Exit status 1 if "
        "there is one that cannot.",
    )
    plugins.set_defaults(run=_plugins)
    return parser


def _head(text: str) -> tuple[int, str]:
    """
    Read the number and the hash of a line from C{N:HASH}.

    @raise argparse.ArgumentTypeError: it is something else.
    """
    match = re.fullmatch(r"([0-9]+):([0-9a-f]{64})", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a line's number and hash, such as 17:2fd4e1c6…"
        )
    return int(match[1]), match[2]


def _configuration(file: str | None) -> Config:
    return load(file) if file else defaultConfig()


def _journal(file: str | None) -> Path:
    config = _configuration(file)
    return config.directory / config.gateway.state_dir / config.audit.journal


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
    for line in examination.lines(config, "cannot be used" if failed else "is good"):
        print(line)
    return 2 if failed else 0


def _passwd(options: argparse.Namespace) -> int:
    setIn = setSecret if options.secrets else setPassword
    return passwdMain(options.file, options.user, sys.stdin, sys.stderr, setIn=setIn)


def _verify(options: argparse.Namespace) -> int:
    return verifyMain(_journal(options.config), sys.stdout, options.head)


def _follow(options: argparse.Namespace) -> int:
    return followMain(
        _journal(options.config),
        sys.stdout,
        colour=coloured(sys.stdout),
        fromStart=options.all,
        raw=options.json,
        config=options.config or "",
    )


def _explain(options: argparse.Namespace) -> int:
    config = _configuration(options.config)
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
            _journal(options.config),
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
        facts = _facts(options, config)
    except ValueError as e:
        print(f"socksgw explain: {e}", file=sys.stderr)
        return 2

    def lookUp(name: str) -> tuple[Address, ...]:
        if config.resolver.servers:
            raise LookupFailed("the configuration's own name servers are not asked")
        return lookUpNow(name, config.resolver.family)

    return explainFacts(facts, offers, ruleset, lookUp, sys.stdout, options.json)


def _address(option: str, text: str) -> Address:
    """
    Read the address that an option gives.

    @raise ValueError: it is not an address.
    """
    try:
        return Address.parse(text)
    except ValueError:
        raise ValueError(
            f'--{option} "{text}": not an IPv4 or IPv6 address, such as 10.0.1.7 or '
            "2001:db8::7"
        ) from None


def _facts(options: argparse.Namespace, config: Config) -> Facts:
    """
    Return the facts that the options give.

    @raise ValueError: an option's value cannot be; the text names the option.
    """
    host, port = destination(options.destination, options.command)
    addresses = tuple(_address("resolving-to", each) for each in options.resolving_to)
    source = None if options.source is None else _address("from", options.source)
    at = time.time()
    if options.at is not None:
        try:
            moment = datetime.fromisoformat(options.at)
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            raise ValueError(
                f'--at "{options.at}": needs date, time and offset, such as '
                "2026-03-02T10:00:00+01:00"
            )
        at = moment.timestamp()
    methods = findMethods()[0]
    if options.method not in (None, *methods):
        known = ", ".join(sorted(methods))
        raise ValueError(
            f'--method: there is no method "{options.method}"; installed are: {known}'
            + nearest(options.method, methods)
        )
    for key, why in wrongFacts(
        config,
        options.user,
        options.group,
        options.listener,
        options.method,
        options.secured,
        {name: capabilitiesOf(method) for name, method in methods.items()},
    ):
        option = {"who": "user", "groups": "group"}.get(key, key)
        raise ValueError(f"--{option}: {why}")
    return Facts(
        user=options.user,
        groups=groupsOf(options.user, config.groups) | set(options.group),
        command=options.command,
        name=host if isinstance(host, str) else None,
        port=port,
        addresses=(host,) if isinstance(host, Address) else addresses,
        method=options.method,
        source=source,
        listener=options.listener,
        secured=options.secured,
        at=at,
        unsure=unsureOf(options.user, config.groups, options.group or None),
    )


def _examined(config: Config) -> Examination:
    """
    Examine a configuration, whose policy must be without errors.

    @raise ConfigError: the policy has errors; others are in the result.
    """
    from twisted.internet import reactor

    found = examine(config, HostAddresses.of(config), reactor)
    if found.unclear:
        raise refused(config, found.errors)
    return found


def _diff(options: argparse.Namespace) -> int:
    judges = []
    for config in (load(options.old), load(options.new)):
        found = _examined(config)
        if found.errors:
            for line in refused(config, found.errors).lines():
                print(f"warning: {line}", file=sys.stderr)
        judges.append((config, found.ruleset, found.offers))
    journal = options.replay or _journal(options.old)
    old, new = judges
    return diffMain(old, new, journal, sys.stdout)


def _plugins(_: argparse.Namespace) -> int:
    methods, broken = findMethods()
    for name, method in sorted(methods.items()):
        print(f"method  {name:<12} {method.help}{_worst(capabilitiesOf(method))}")
    checkers, ambiguous = findCheckers()
    for kind, factory in sorted(checkers.items()):
        # A Twisted plug-in's help is a text of several lines.
        text = factory.authHelp.strip().replace("\n", " ")
        print(f"checker {kind:<12} {text.partition('. ')[0]}")
    broken += ambiguous + brokenPlugins()
    for module, why in broken:
        print(f"BROKEN  {module}: {why}")
    return 1 if broken else 0


def _worst(can: Capabilities) -> str:
    """Return the capabilities that are assumed of a method, for it declares none."""
    assumed = []
    if can.anonymous is None:
        assumed.append("lets in without a login")
    if can.cleartext is None:
        assumed.append("shows passwords to the wire")
    if can.credentials is None and can.needsChecker:
        assumed.append("needs some checker")
    return f" (not declared, so assumed: {', '.join(assumed)})" if assumed else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param arguments: those of the command line; by default the process's.
    @return: the exit status.
    """
    readable(sys.stdout)
    readable(sys.stderr)
    options = makeParser().parse_args(arguments)
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
