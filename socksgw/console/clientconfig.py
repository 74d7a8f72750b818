"""
Print what a gateway's clients, or what brings them, need: C{socksgw client-config}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, TextIO

from socksgw.config.schema import Config
from socksgw.console.clients import ipsec, nftables, pac
from socksgw.console.clients.programs import PROGRAMS

__all__ = ["KINDS", "Kind", "clientConfigMain"]


class Kind(Protocol):
    """One kind of configuration of clients."""

    @property
    def HELP(self) -> str:
        """A line for the list of kinds."""

    @property
    def DESCRIPTION(self) -> str:
        """What is printed, and what is done with it."""

    def options(self, parser: argparse.ArgumentParser, /) -> None:
        """Add the options that this kind has besides C{--config}."""

    def lines(self, config: Config, options: argparse.Namespace, /) -> Iterator[str]:
        """
        Yield the lines to print.

        @raise ValueError: there is nothing to print for this configuration, or an
            option is wrong; the text says what to do.
        """


#: By the word on the command line.
KINDS: Final[Mapping[str, Kind]] = {
    **PROGRAMS,
    "ipsec": ipsec,
    "nftables": nftables,
    "pac": pac,
}


def clientConfigMain(config: Config, options: argparse.Namespace, out: TextIO) -> int:
    """
    Print what one kind of clients needs for a configuration.

    @return: the exit status.
    """
    try:
        lines = list(KINDS[options.kind].lines(config, options))
    except ValueError as e:
        print(f"socksgw client-config {options.kind}: {e}", file=sys.stderr)
        return 2
    for line in lines:
        print(line, file=out)
    return 0
