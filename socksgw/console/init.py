"""
Write a first configuration: C{socksgw init}.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, TextIO

from socksgw.config.loading import loads, refused
from socksgw.config.problems import ConfigError, Problem
from socksgw.console.firstfile import (
    LOGINS,
    PUBLIC,
    Answers,
    builtIn,
    firstFile,
    isLocal,
)
from socksgw.gateway.host import HostAddresses
from socksgw.importing.draft import Draft
from socksgw.policy.document import Compiler

__all__ = ["initCommand", "initMain"]

_THIS_MACHINE: Final = ("127.0.0.0/8", "::1")
_PORTS: Final = re.compile(r"\d{1,5}(-\d{1,5})?")
_LOCAL: Final = ("127.0.0.1:1080", "[::1]:1080")

#: Where files are by default: beside the configuration, or as the package has them.
_HERE: Final = {"users": "users", "keytab": "socksgw.keytab", "state-dir": "var"}
_INSTALLED: Final = {
    "users": "/etc/socksgw/users",
    "keytab": "/etc/socksgw/socksgw.keytab",
    "state-dir": "/var/lib/socksgw",
}

Ask = Callable[[str, str], str]


def initCommand(commands: Any) -> None:
    """
    Add C{init}.

    @param commands: what C{add_subparsers} returned.
    """
    words = ", ".join(f"{name}: {why}" for name, why in LOGINS.items())
    init = commands.add_parser(
        "init",
        help="write a first configuration",
        description="Write a configuration of who may come, from where, to where, and "
        "by what login: with comments, and with requests that check tries. What no "
        "option says is asked on a terminal.",
        epilog="Example: socksgw init --from 10.0.0.0/16 --listen 10.0.0.2:1080 --to "
        "public --login passwords --cleartext-passwords -o gateway.toml. Exit status: "
        "0 written, 2 not.",
    )
    init.add_argument(
        "-o", "--output", metavar="FILE", help="a new file; default: standard output"
    )
    init.add_argument(
        "--from", dest="sources", action="append", default=[], metavar="NETWORK",
        help="where clients are: a network; more than once for several",
    )  # fmt: skip
    init.add_argument(
        "--listen", action="append", default=[], metavar="ADDRESS:PORT",
        help="where clients connect; default: loopback, for clients of this machine",
    )  # fmt: skip
    init.add_argument(
        "--to", action="append", default=[], metavar="WHERE",
        help='where they may go: a network, .x for x and the names below, =host, or '
        '"public" for all public addresses',
    )  # fmt: skip
    init.add_argument(
        "--port", dest="ports", action="append", default=[], metavar="PORT",
        help="a port of destinations, or 8000-8099; default: every port",
    )  # fmt: skip
    init.add_argument("--login", choices=[*LOGINS], help=words)
    init.add_argument(
        "--who", action="append", default=[], metavar="NAME",
        help="a user, or @group; default: everybody who has logged in",
    )  # fmt: skip
    init.add_argument(
        "--cleartext-passwords", action="store_true",
        help="passwords may cross the network without TLS",
    )  # fmt: skip
    init.add_argument("--http", action="store_true", help="clients may speak HTTP, too")
    init.add_argument(
        "--realm", metavar="REALM", default="",
        help="the Kerberos realm whose users rules name without it: alice, and not "
        "alice@REALM",
    )  # fmt: skip
    for name, metavar, what in (
        ("users", "FILE", "the file of users"),
        ("keytab", "FILE", "the keys of the service"),
        ("state-dir", "DIRECTORY", "what the gateway writes"),
    ):
        init.add_argument(
            f"--{name}",
            metavar=metavar,
            help=f"{what}; default: {_HERE[name]}, with --installed {_INSTALLED[name]}",
        )
    init.add_argument(
        "--installed", action="store_true",
        help="for the gateway of the Debian package, or of its image: files where these "
        "have them, and [admin]",
    )  # fmt: skip
    init.add_argument(
        "--built-in", action="store_true",
        help="write what holds without a configuration, in place of all this",
    )  # fmt: skip
    init.set_defaults(run="init")


def initMain(
    options: argparse.Namespace, ask: Ask | None, out: TextIO, err: TextIO
) -> int:
    """
    Write a first configuration.

    @param ask: asks somebody a question that has a default; L{None} where nobody is
        there.
    @return: the exit status.
    @raise ConfigError: an answer is wrong, or the file cannot be made.
    """
    if options.built_in:
        draft, title = builtIn(), "What holds without a configuration: socksgw init."
    else:
        answers = _answers(options, ask)
        draft, title = firstFile(answers), "A first configuration: socksgw init."
        _examined(draft)
        # The package has made the file of users.
        isOwn = answers.login == "passwords" and not options.installed
        if isOwn and options.output is not None:
            users = Path(options.output).parent / answers.users
            try:
                os.close(os.open(users, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                print(
                    f"{users} is made, without users: socksgw passwd {users} NAME",
                    file=err,
                )
            except FileExistsError:
                # It may have users.
                pass
            except OSError as e:
                raise _wrong(f"{users}: cannot be made: {e.strerror}") from None
    text = "".join(f"{line}\n" for line in draft.lines(title))
    if options.output is None:
        out.write(text)
        return 0
    try:
        fd = os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as e:
        raise _wrong(f"{options.output}: cannot be made: {e.strerror}") from None
    print(
        f"{options.output} is written; next: socksgw check {options.output}", file=err
    )
    return 0


def _wrong(why: str) -> ConfigError:
    return ConfigError("socksgw init", [Problem("", why)])


def _examined(draft: Draft) -> None:
    """
    Look whether the answers make rules.

    @raise ConfigError: they do not.
    """
    config = loads("\n".join(draft.lines("")), "socksgw init")
    compiled = Compiler(config, HostAddresses.of(config)).compile()
    if compiled.errors:
        raise refused(config, compiled.errors)


def _answers(options: argparse.Namespace, ask: Ask | None) -> Answers:
    """
    Return what the options say, and what is asked besides.

    @raise ConfigError: an answer is wrong, or missing and nobody can be asked.
    """

    def several(
        given: Sequence[str], name: str, question: str, default: str
    ) -> list[str]:
        if given or ask is None:
            if not given and not default:
                raise _wrong(f"nothing says {name}; on a terminal it is asked")
            return [*given] or default.split()
        return ask(question, default).split()

    sources = several(
        options.sources,
        "--from",
        "From where do clients come (networks)?",
        " ".join(_THIS_MACHINE),
    )
    for each in sources:
        try:
            ip_network(each, strict=False)
        except ValueError:
            raise _wrong(f"--from {each}: no network, such as 10.0.0.0/16") from None
    local = isLocal(sources)
    where = " ".join(_LOCAL) if local else ""
    listen = several(
        options.listen,
        "--listen, where clients connect",
        "Where do they connect (address:port)?",
        where,
    )
    to = several(
        options.to, "--to", 'Where may they go ("public", networks, .names)?', PUBLIC
    )
    if PUBLIC in to and len(to) > 1:
        raise _wrong(f'--to: "{PUBLIC}" stands alone')
    ports = (
        several(options.ports, "--port", "Which ports (empty: all)?", "")
        if ask
        else options.ports
    )
    for port in ports:
        if not _PORTS.fullmatch(port):
            raise _wrong(f"--port {port}: a port is 443, or 8000-8099")
    login = options.login or "none"
    if options.login is None and ask is not None:
        login = ask(
            f"How do they log in ({', '.join(LOGINS)})?",
            "none" if local else "passwords",
        )
    elif options.login is None and not local:
        raise _wrong("nothing says --login; on a terminal it is asked")
    if login not in LOGINS:
        raise _wrong(f"--login {login}: one of {', '.join(LOGINS)}")
    cleartext = options.cleartext_passwords
    if login in ("passwords", "pam") and not (local or cleartext):
        why = "passwords would cross the network without TLS: --cleartext-passwords, or [listen.tls] (socksgw help tls)"
        if ask is None or ask(
            "Passwords cross the network without TLS until [listen.tls] is there; do "
            "you accept that (yes, no)?", "no",
        ) != "yes":  # fmt: skip
            raise _wrong(why)
        cleartext = True
    who = options.who
    if ask is not None and not who and login != "none":
        who = ask("Which users or @groups (empty: all who log in)?", "").split()
    realm = options.realm
    if ask is not None and not realm and login == "kerberos":
        realm = ask("Users of which Kerberos realm have names without it?", "")
    if realm and login != "kerberos":
        raise _wrong("--realm: only with --login kerberos")
    bare = [each for each in who if "@" not in each]
    if bare and login == "kerberos" and not realm:
        raise _wrong(
            f"--who {bare[0]}: Kerberos calls users {bare[0]}@REALM; write that, or say "
            "--realm REALM"
        )
    places = _INSTALLED if options.installed else _HERE
    if who and login == "none":
        raise _wrong("--who: nobody has a name without a login")
    return Answers(
        listen=listen,
        sources=sources,
        to=to,
        ports=[int(each) if each.isdecimal() else each for each in ports],
        login=login,
        who=who,
        cleartext=cleartext,
        http=options.http,
        users=options.users or places["users"],
        keytab=options.keytab or places["keytab"],
        state=options.state_dir or places["state-dir"],
        realm=realm,
        admin=options.installed,
    )
