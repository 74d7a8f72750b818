"""
The program for browsers, as a file: C{socksgw client-config pac}.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config, Listen
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.pac import listenerOf, proxyAt
from socksgw.policy.document import Compiler
from socksgw.policy.pac import pacOf

__all__ = ["DESCRIPTION", "HELP", "lines", "options"]

HELP: Final = "a proxy auto-configuration file (PAC) made of the rules"
DESCRIPTION: Final = (
    "Print a program for browsers that sends them to the gateway for what some rule "
    "allows to somebody, and nowhere else. Put it where browsers fetch it, or have the "
    "gateway serve it ([pac])."
)
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this kind."""
    parser.add_argument(
        "--listener", metavar="L", default="", help="default: the only one with HTTP"
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        default="",
        help="what browsers call the gateway; default: the listener's address",
    )


def lines(config: Config, options: argparse.Namespace) -> Iterator[str]:
    """
    Yield the program.

    @raise ValueError: no listener speaks HTTP, or an option is wrong; or the rules
        have errors.
    """
    listen = listenerOf(config, options.listener)
    host = options.host or _addressOf(listen)
    if not _HOST.fullmatch(host):
        raise ValueError("--host is neither a name nor an address")
    host = f"[{host}]" if ":" in host else host
    compiled = Compiler(config, HostAddresses.of(config)).compile()
    if compiled.errors:
        raise ValueError(f"the rules have errors: socksgw check {config.file}")
    yield from pacOf(compiled.ruleset, listen.name, proxyAt(listen, host)).splitlines()


def _addressOf(listen: Listen) -> str:
    """
    Return the first address of a listener that browsers can connect to.

    @raise ValueError: it listens on all of this host's.
    """
    for text in listen.address:
        try:
            address, port = parseListenAddress(text)
        except ValueError:
            continue
        if port and not address.isUnspecified:
            return address.text
    raise ValueError(f'"{listen.name}" is known by no address: say --host NAME')
