"""
Rules that divert clients to a transparent listener: nftables, and C{ip rule}.
"""

from __future__ import annotations

import argparse
import pwd
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Config, Listen
from socksgw.wire.address import Address

__all__ = ["DESCRIPTION", "HELP", "lines", "options"]

HELP: Final = "nftables rules that divert clients to a transparent listener"
DESCRIPTION: Final = (
    "Print nftables rules, and for tproxy the ip rules, that divert clients to a "
    "transparent listener. The text says how to load it, and how to unload it. "
    "nft -c -f FILE checks it. Nothing is changed here."
)
#: Of packets that are diverted by tproxy, and of the table that keeps them here.
_MARK: Final = "0x1080"
_TABLE: Final = "1080"
#: Where no interface is given, to be replaced by people.
_INTERFACE: Final = "eth1"
_USER: Final = "socksgw"
_WORD: Final = re.compile(r"[^A-Za-z0-9_]")


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this kind."""
    parser.add_argument(
        "--listener", metavar="L", help="default: the only transparent one"
    )
    parser.add_argument(
        "--interface",
        metavar="IF",
        action="append",
        default=[],
        help="where clients come in; may be repeated; default: eth1, to be replaced",
    )
    parser.add_argument(
        "--user",
        metavar="U",
        default=_USER,
        help="the gateway's user or its number, whose own connections are not diverted "
        f"where programs of this host are; default: {_USER}",
    )


def lines(config: Config, options: argparse.Namespace) -> Iterator[str]:
    """
    Yield the rules for one listener.

    @raise ValueError: there is no such listener, or an option is wrong.
    """
    listen = _chosen(config, options.listener)
    for interface in options.interface:
        # As the kernel has it (dev_valid_name), without what is special in nft.
        if not re.fullmatch(r"[^\s/:\"*$]{1,15}", interface):
            raise ValueError(f'--interface "{interface}": not the name of an interface')
    interfaces = options.interface or [_INTERFACE]
    places = [parseListenAddress(text) for text in listen.address]
    if not all(port for _, port in places):
        raise ValueError(f'"{listen.name}" listens on any port, which no rule can name')
    table = "socksgw_" + _WORD.sub("_", listen.name)
    tproxy = listen.transparent == "tproxy"
    routes = list(_routes(places, interfaces)) if tproxy else []
    yield from _head(config, options, listen, table, routes)
    local = not tproxy and all(address.isLoopback for address, _ in places)
    if not local:
        names = ", ".join(f'"{each}"' for each in interfaces)
        yield f"define clients = {{ {names} }}"
        yield ""
    yield "# So that it can be loaded again."
    yield f"table inet {table}"
    yield f"delete table inet {table}"
    yield ""
    yield f"table inet {table} {{"
    if local:
        yield from _programs(places, _uid(options.user))
    else:
        yield from _capture(places, tproxy)
    yield "}"


def _chosen(config: Config, name: str | None) -> Listen:
    """
    Return the listener that is meant.

    @raise ValueError: there is none, or there are several.
    """
    found = [each for each in config.listen if each.transparent is not None]
    if not found:
        raise ValueError(
            f"{config.file or 'the configuration'} has no listener with transparent = "
            '"redirect" or "tproxy"'
        )
    known = ", ".join(f'"{each.name}"' for each in found)
    if name is None and len(found) > 1:
        raise ValueError(f"there are several: say --listener with one of {known}")
    for each in found:
        if name in (None, each.name):
            return each
    raise ValueError(f'--listener "{name}" is not transparent; these are: {known}')


def _head(
    config: Config,
    options: argparse.Namespace,
    listen: Listen,
    table: str,
    routes: Sequence[str],
) -> Iterator[str]:
    given = [f"--interface {each}" for each in options.interface]
    if options.listener is not None:
        given.append(f"--listener {options.listener}")
    if options.user != _USER:
        given.append(f"--user {options.user}")
    command = f"socksgw client-config nftables --config {config.file}"
    yield "#!/usr/sbin/nft -f"
    yield f'# Diverts clients to the listener "{listen.name}" ({listen.transparent}).'
    yield f"# Made by: {' '.join([command, *given])}"
    yield "#"
    yield "# Load, as root, when the gateway runs (FILE is this text):"
    for each in routes:
        yield f"#   ip {each}"
    yield "#   nft -f FILE"
    yield "# Unload, before the gateway is stopped for good:"
    yield f"#   nft delete table inet {table}"
    for each in reversed(routes):
        yield f"#   ip {each.replace(' add ', ' del ')}"
    yield "#"
    if routes:
        yield "# The ip rules need iif: without it our own packets with that mark (as with"
        yield "# net.ipv4.tcp_fwmark_accept=1) would stay on this host, too."
    else:
        yield "# UDP is not diverted: redirect cannot. Unless you forward it, it ends here."
    yield ""


def _routes(
    places: Sequence[tuple[Address, int]], interfaces: Sequence[str]
) -> Iterator[str]:
    """Yield the arguments of C{ip} that keep marked packets on this host."""
    for version in sorted({address.version for address, _ in places}):
        family = "-6 " if version == 6 else ""
        for interface in interfaces:
            yield (f"{family}rule add iif {interface} fwmark {_MARK} lookup {_TABLE}")
        yield f"{family}route add local default dev lo table {_TABLE}"


def _capture(places: Sequence[tuple[Address, int]], tproxy: bool) -> Iterator[str]:
    """Yield the chain for clients that come in by an interface."""
    hook = "filter hook prerouting priority mangle"
    if not tproxy:
        hook = "nat hook prerouting priority dstnat"
    yield "    # The gateway's own connections never come here; what comes back to them is"
    yield "    # for an address of this host."
    yield "    chain clients {"
    yield f"        type {hook}; policy accept;"
    yield "        iifname != $clients return"
    yield "        fib daddr type { local, broadcast, multicast } return"
    for address, port in places:
        ip = "ip" if address.version == 4 else "ip6"
        where = f":{port}"
        if not address.isUnspecified:
            where = f"{_host(address)}:{port}"
        family = f"meta nfproto ipv{address.version}"
        if tproxy:
            yield (
                f"        {family} meta l4proto {{ tcp, udp }} "
                f"tproxy {ip} to {where} meta mark set {_MARK} accept"
            )
        elif address.isUnspecified:
            yield f"        {family} meta l4proto tcp redirect to {where}"
        else:
            yield f"        {family} meta l4proto tcp dnat {ip} to {where}"
    if tproxy:
        yield "        # While nothing listens there, nobody gets past the gateway."
        yield "        meta l4proto { tcp, udp } drop"
    yield "    }"


def _programs(places: Sequence[tuple[Address, int]], user: str) -> Iterator[str]:
    """Yield the chain for programs of this host."""
    yield "    # Programs of this host: its listener is on loopback. The gateway's own"
    yield "    # connections go on as they are, else they would come back to it for ever."
    yield "    chain programs {"
    yield "        type nat hook output priority -100; policy accept;"
    yield f"        meta skuid {user} return"
    yield "        fib daddr type { local, broadcast, multicast } return"
    for address, port in places:
        family = f"meta nfproto ipv{address.version}"
        yield f"        {family} meta l4proto tcp redirect to :{port}"
    yield "    }"


def _host(address: Address) -> str:
    return f"[{address.text}]" if address.version == 6 else address.text


def _uid(user: str) -> str:
    """
    Return a user's number.

    @return: the name in quotes where it is not known here: C{nft} finds it when the
        rules are loaded (the user of a unit with C{DynamicUser} exists while it runs).
    @raise ValueError: it cannot be a user's name.
    """
    if user.isascii() and user.isdigit():
        return user
    with suppress(KeyError):
        return str(pwd.getpwnam(user).pw_uid)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", user):
        raise ValueError(f'--user "{user}": neither the name nor the number of a user')
    return f'"{user}"'
