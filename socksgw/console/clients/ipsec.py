"""
Rules of the firewall that tell which clients come by IPsec: nftables.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from socksgw.config.schema import Config
from socksgw.gateway.examining.ipsec import firewall

__all__ = ["DESCRIPTION", "HELP", "lines", "options"]

HELP: Final = "nftables rules that tell which clients come by IPsec"
DESCRIPTION: Final = (
    "Print nftables rules that give packets of IPsec the mark of listen.ipsec_mark, and "
    "drop what goes on without IPsec. The text says how to load it, and how to unload "
    "it. nft -c -f FILE checks it. Nothing is changed here."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this kind."""
    parser.add_argument(
        "--interface",
        metavar="IF",
        action="append",
        default=[],
        help="where packets come in that a program has let through, such as ipsec0 of "
        "strongSwan's libipsec; may be repeated; default: the kernel's IPsec tells",
    )


def lines(config: Config, options: argparse.Namespace) -> Iterator[str]:
    """
    Yield the rules for all listeners.

    @raise ValueError: there is no such listener, or an option is wrong.
    """
    if not any(listen.ipsec_mark for listen in config.listen):
        raise ValueError(
            f"{config.file or 'the configuration'} has no listener with ipsec_mark"
        )
    for interface in options.interface:
        # As the kernel has it (dev_valid_name), without what is special in nft.
        if not re.fullmatch(r"[^\s/:\"*$]{1,15}", interface):
            raise ValueError(f'--interface "{interface}": not the name of an interface')
    given = "".join(f" --interface {each}" for each in options.interface)
    yield "#!/usr/sbin/nft -f"
    yield "# Marks what comes by IPsec, and drops what goes on without it."
    yield f"# Made by: socksgw client-config ipsec --config {config.file}{given}"
    yield "#"
    yield "# Load, as root, before the gateway starts (FILE is this text), at every boot:"
    yield "#   sysctl net.ipv4.tcp_fwmark_accept=1"
    yield "#   nft -f FILE"
    yield "# Unload, when no listener has ipsec_mark any more:"
    yield "#   nft delete table inet socksgw_ipsec"
    yield "#"
    yield "# The gateway's answers have the mark, too: an ip rule with fwmark that means"
    yield "# something else needs another bit, or iif."
    yield ""
    yield from firewall(config, options.interface)
