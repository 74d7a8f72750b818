"""
Any program through a gateway: C{socksgw run}.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from socksgw.client.errors import ProxyError
from socksgw.console.proxyoptions import Misused, chosen, failed, proxyOptions

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "options", "runMain"]

HELP: Final = "run a program whose connections go through a gateway"
DESCRIPTION: Final = (
    "Run a program, and what it starts, so that its connections, its datagrams and its "
    "look-ups of names go through a SOCKS or HTTP proxy. The program needs to know "
    "nothing of it, and nobody needs a privilege. Destinations on this host itself are "
    "reached as without it."
)
EPILOG: Final = (
    "Options stand before PROGRAM. Exit status: that of the program; 128 and its "
    "number if a signal ended it; 127 if there is no such program, 126 if it cannot be "
    "run. If the program was not begun: 1 if the proxy refuses the login, or this "
    "system cannot do it, 2 for wrong use, 3 if the proxy cannot be reached, or is not "
    "the one that is meant. See socksgw help run."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    proxyOptions(parser)
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="in which a connection has to be open; default: 30",
    )
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="say on standard error why a connection of the program fails",
    )
    add(
        "--isolate",
        action="store_true",
        help="give the program a network of its own, from which it reaches nothing "
        "but the gateway, even if it means to; this host's 127.0.0.1 is out of reach",
    )
    # What argparse has for commands below a command leaves each "--" behind it alone.
    add(
        "words",
        metavar="PROGRAM",
        nargs=argparse.PARSER,
        help="the program, and its arguments",
    )


def _said(text: str, status: int) -> int:
    print(f"socksgw run: {text}", file=sys.stderr)
    return status


def runMain(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    from socksgw.run.calls import callsHere
    from socksgw.run.keeper import Keeper
    from socksgw.run.notrun import NotRun
    from socksgw.run.program import Program

    try:
        to = chosen(options, _theReactor)
        calls = callsHere()
    except Misused as e:
        return _said(str(e), 2)
    except OSError as e:
        return _said(str(e), 1)
    if options.password_env:
        # The program has the same environment, and is to have no login.
        os.environ.pop(options.password_env, None)
    keeper = Keeper() if options.isolate else None
    # Older versions of argparse hand over the one that ends the options.
    words = options.words[options.words[0] == "--" :]
    program = Program(words, calls, keeper)

    from socksgw.run.running import Gateway, run
    from socksgw.wire.codes import SOCKS5, SOCKS6

    gateway = Gateway(
        to.host,
        to.port,
        to.proxy,
        to.login,
        to.tls,
        to.certified,
        to.tls is None and options.login != "gssapi",
        {"socks5": SOCKS5, "socks6": SOCKS6}.get(to.protocol, 0),
        options.timeout,
    )
    try:
        return run(program, calls, gateway, options.verbose)
    except ProxyError as e:
        return _said(*failed(e, options, "the gateway"))
    except NotRun as e:
        return _said(str(e), 1)


def _theReactor() -> Any:
    from twisted.internet import reactor

    return reactor
