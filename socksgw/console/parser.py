"""
The command line of C{socksgw}: its commands, and what each of them takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from socksgw.console.usage import Parser, Version

__all__ = ["COMMANDS", "makeParser"]


def _seconds(text: str) -> float:
    """
    @raise ArgumentTypeError: it is no time that a probe may take.
    """
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 600:
        raise argparse.ArgumentTypeError("must be seconds, more than 0 and at most 600")
    return found


def _help(commands: Any) -> None:
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
    manual.set_defaults(run="help")


def _check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check a configuration, and tell what it exposes",
        description="Check a configuration. All errors are printed at once, each with "
        "file, line, key and remedy; then what is reached without a login. With --probe, "
        "each store, upstream, certificate, sink and service that it names is asked, too, "
        "with the configured names and secrets: what it answers is told in words, and "
        "nothing is changed. Exit status 0 if the gateway would start with it, 1 if what "
        "it names cannot be used, else 2.",
    )
    check.add_argument("file", nargs="?", metavar="FILE", help="the configuration")
    check.add_argument("--config", metavar="FILE", help="the same as FILE")
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    check.add_argument(
        "--probe",
        action="store_true",
        help="also ask every server, file and service that the configuration names",
    )
    check.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="that each of them may take with --probe (default: 10)",
    )
    check.add_argument(
        "--json", action="store_true", help="what --probe has found as JSON"
    )
    check.set_defaults(run="check")


def _passwd(commands: Any) -> None:
    passwd = commands.add_parser(
        "passwd",
        help="set, list, check or delete users in a file for the passwd: or secrets: "
        "checker",
        description="Set a user's password. The file is made (mode 0600) if it does "
        "not exist. The password is asked for twice on a terminal, else read as one "
        "line from standard input; it is never an argument. With --list, --verify or "
        "--delete something else is done instead. Exit status 0 if it is done, or the "
        "password is right; 1 if nothing was changed, the password is wrong, there is "
        "no such user, or --list has found lines that are wrong; 2 if the file cannot "
        "be read, or for wrong use.",
    )
    passwd.add_argument(
        "--secrets",
        action="store_true",
        help="a file for the secrets: checker (method chap), which holds the "
        "passwords themselves; whoever reads it has all of them",
    )
    acts = passwd.add_mutually_exclusive_group()
    acts.add_argument(
        "--list",
        action="store_true",
        help="print the users, each with the kind of its hash; lines that count for "
        "nothing are told",
    )
    acts.add_argument(
        "--delete", action="store_true", help="remove the user; the rest stays as it is"
    )
    acts.add_argument(
        "--verify",
        action="store_true",
        help="say whether a password, which is asked for, is the user's",
    )
    passwd.add_argument("--json", action="store_true", help="print JSON (--list)")
    passwd.add_argument("file", metavar="FILE", help="as in [auth] checkers")
    passwd.add_argument(
        "user", metavar="USER", nargs="?", help="the user; all of them with --list"
    )
    passwd.set_defaults(run="passwd")


def _audit(commands: Any) -> None:
    from socksgw.console.auditing import auditCommands

    auditCommands(commands)


def _suggest(commands: Any) -> None:
    from socksgw.console.learning import learningCommands

    learningCommands(commands)


def _grant(commands: Any) -> None:
    from socksgw.console.grant import grantCommands

    grantCommands(commands)


def _report(commands: Any) -> None:
    from socksgw.console.report import reportOptions

    reporting = commands.add_parser(
        "report",
        help="tell who reached what, when, by which rule, how much",
        description="Sum up the requests of a time: who reached what, when, by which "
        "rule, how much; what was denied; users, destinations, applications, rules, "
        "failed logins.",
    )
    reportOptions(reporting)
    reporting.set_defaults(run="report")


def _explain(commands: Any) -> None:
    from socksgw.console.auditing import configured
    from socksgw.wire.levels import FACTS

    explain = commands.add_parser(
        "explain",
        help="tell what would be decided, or why something was",
        description="Tell whether such a client gets in, and by which method; then what "
        "the policy would decide, by which rule, and for each rule before it the first "
        "condition that does not hold. Without --from or --listener any client that "
        "gets in is meant. With --record, tell why a line of the journal is there, what "
        "became of it, and what today's configuration says of it. Exit status 0 for "
        "allow, 1 for deny or if there is no such line, 2 if it cannot be told (the "
        "missing fact is named; nothing is guessed) or if check refuses the "
        "configuration.",
    )
    configured(explain)
    explain.add_argument("--record", metavar="N", type=int, help="a journal line")
    explain.add_argument(
        "--user",
        metavar="U",
        default="anonymous",
        help="the name, without a tag; default: anonymous",
    )
    explain.add_argument(
        "--group",
        metavar="G",
        action="append",
        default=[],
        help="a group of a directory that the user is in, or gid:NAME of this machine; "
        "may be repeated. The user is in no other group of a directory",
    )
    explain.add_argument(
        "--from", metavar="IP", dest="source", help="the client's address"
    )
    explain.add_argument(
        "--listener", metavar="L", help="where the client has connected"
    )
    explain.add_argument("--method", metavar="M", help="how the user has logged in")
    explain.add_argument("--tag", metavar="TAG", help='behind the name; "" for none')
    explain.add_argument(
        "--application",
        metavar="A",
        help='what the session carries: "tls", "http", "ssh", "other" and so on',
    )
    explain.add_argument(
        "--server-name",
        metavar="NAME",
        help='of the server, in TLS or HTTP; "" for none',
    )
    explain.add_argument(
        "--at",
        metavar="TIME",
        help="such as 2026-03-02T10:00:00+01:00; default: now",
    )
    explain.add_argument(
        "--secured", choices=FACTS, help="how the client's connection is protected"
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
        choices=["connect", "bind", "udp", "multicast", "resolve"],
        help="what the client asks for",
    )
    explain.add_argument(
        "destination", nargs="?", metavar="HOST:PORT", help="the destination"
    )
    explain.set_defaults(run="explain")

    explain.add_argument(
        "--live",
        action="store_true",
        help="ask the running gateway: by its rules in force, with the groups of its "
        "sessions, its limits and its DNS; exit status 3 if it cannot be reached",
    )
    explain.add_argument(
        "--endpoint", metavar="PLACE", help="with --live: where to ask"
    )
    explain.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="with --live: the token to ask with",
    )
    explain.add_argument("--ca", metavar="FILE", help="with --live: as of sessions")


def _operating(commands: Any) -> None:
    from socksgw.console.operating import operatingCommands

    operatingCommands(commands)


def _init(commands: Any) -> None:
    from socksgw.console.init import initCommand

    initCommand(commands)


def _import(commands: Any) -> None:
    from socksgw.console.importing import importingCommand

    importingCommand(commands)


def _diff(commands: Any) -> None:
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
    diff.set_defaults(run="diff")


def _clientConfig(commands: Any) -> None:
    from socksgw.console.auditing import configured
    from socksgw.console.clientconfig import KINDS

    kinds = commands.add_parser(
        "client-config",
        help="print what brings clients to the gateway",
        description="Print what a kind of clients needs to come to the gateway, for a "
        "configuration.",
    ).add_subparsers(metavar="KIND", required=True)
    for word, kind in KINDS.items():
        printing = kinds.add_parser(word, help=kind.HELP, description=kind.DESCRIPTION)
        configured(printing)
        kind.options(printing)
        printing.set_defaults(run="client-config", kind=word)


def _agent(commands: Any) -> None:
    from socksgw.console import agent

    onWorkstation = commands.add_parser(
        "agent",
        help=agent.HELP,
        description=agent.DESCRIPTION,
        epilog=agent.EPILOG,
    )
    agent.options(onWorkstation)
    onWorkstation.set_defaults(run="agent")


def _connect(commands: Any) -> None:
    from socksgw.console import connect

    connecting = commands.add_parser(
        "connect",
        help=connect.HELP,
        description=connect.DESCRIPTION,
        epilog=connect.EPILOG,
    )
    connect.options(connecting)
    connecting.set_defaults(run="connect")


def _run(commands: Any) -> None:
    from socksgw.console import run

    running = commands.add_parser(
        "run",
        help=run.HELP,
        description=run.DESCRIPTION,
        epilog=run.EPILOG,
    )
    run.options(running)
    running.set_defaults(run="run")


def _selftest(commands: Any) -> None:
    from socksgw.console.selftest import command as selftest

    trying = commands.add_parser(
        "selftest",
        help=selftest.HELP,
        description=selftest.DESCRIPTION,
        epilog=selftest.EPILOG,
    )
    selftest.options(trying)
    trying.set_defaults(run="selftest")


def _plugins(commands: Any) -> None:
    plugins = commands.add_parser(
        "plugins",
        help="list the methods, checkers and sinks found, and the broken ones",
        description="List every authentication method, checker and sink that is installed, "
        "and every plug-in that cannot be imported, with the reason. Exit status 1 if "
        "there is one that cannot.",
    )
    plugins.set_defaults(run="plugins")


def _completion(commands: Any) -> None:
    from socksgw.console.completion import completionCommand

    completionCommand(commands)


def _broker(commands: Any) -> None:
    broker = commands.add_parser(
        "netns-broker",
        help="hand out sockets of a network namespace to the gateway",
        description="Serve a gateway that has listeners with netns = NAME: hand out "
        "sockets of that network namespace over a Unix socket, so that the gateway "
        "needs no privilege. The broker enters the namespace, which needs "
        "CAP_SYS_ADMIN unless it is started inside, and then becomes USER. Exit "
        "status 1 when the namespace is gone or was replaced, so that a supervisor "
        "starts it again; 2 when it cannot be served. See socksgw help networks.",
    )
    broker.add_argument("name", metavar="NAME", help="as ip netns list shows it")
    broker.add_argument(
        "--user",
        metavar="USER",
        help="the gateway's user, whom the broker becomes, and alone serves; needed "
        "when it is started as root",
    )
    broker.add_argument(
        "--socket",
        metavar="PATH",
        type=Path,
        help="the Unix socket to serve at; default: NAME.sock in the default of "
        "gateway.netns_dir",
    )
    broker.set_defaults(run="netns-broker")


#: What adds each command to the parser, in the order of the help.
COMMANDS: Final[Mapping[str, Callable[[Any], None]]] = {
    "help": _help,
    "check": _check,
    "passwd": _passwd,
    "audit": _audit,
    "suggest": _suggest,
    "grant": _grant,
    "report": _report,
    "explain": _explain,
    "sessions": _operating,
    "kill": _operating,
    "status": _operating,
    "reload": _operating,
    "restart": _operating,
    "drain": _operating,
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


def makeParser(only: str | None = None) -> argparse.ArgumentParser:
    """
    Return the parser of the command line.

    @param only: a key of L{COMMANDS}: the parser knows this command, and nothing is
        imported for others; L{None} for all commands.
    @return: what it parses has the command's name as C{run}.
    """
    parser = Parser(
        prog="socksgw",
        description="Administer a SOCKS gateway, which is started by: "
        "twistd -n socksgw",
        epilog="Each command explains itself: socksgw COMMAND --help. The manual: "
        "socksgw help",
    )
    parser.add_argument(
        "--version",
        action=Version,
        help="tell version and commit, and the versions of what it runs on",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # Some commands are added together.
    for add in dict.fromkeys(COMMANDS.values() if only is None else [COMMANDS[only]]):
        add(commands)
    return parser
