"""
C{device} and C{netns} of listeners, and listeners that need one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from socksgw.config.listening import UNIX, parseListenAddress
from socksgw.config.schema import Config, Listen
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.links import Link
from socksgw.route.nameserver import parseServer
from socksgw.route.resolver import filesOf
from socksgw.system.domains import Domain
from socksgw.wire.address import Address

__all__ = ["examineNetworks"]

#: What a name may be: also a word in keys and in the journal.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
#: Octets of the name of a device (IFNAMSIZ less its end), and of a file.
_LONGEST: Final = {"device": 15, "netns": 200}
_ALONE: Final = "an address alone does not choose a network"


def examineNetworks(config: Config, links: Sequence[Link], problems: Problems) -> None:
    """
    Examine the routing domains of all listeners.

    @param links: the addresses of this host's own interfaces.
    """
    for i, listen in enumerate(config.listen):
        _domain(f"listen[{i}]", listen, problems)
        _resolver(f"listen[{i}].resolver", listen, problems)
    _twice(config, problems)
    _ambiguous(config, links, problems)


def _isHere(device: str) -> bool:
    try:
        # Sandboxes that deny netlink allow this, unlike the list of all.
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False


def _domain(path: str, listen: Listen, problems: Problems) -> None:
    for key in ("device", "netns"):
        name = getattr(listen, key)
        if name and (not _NAME.fullmatch(name) or len(name) > _LONGEST[key]):
            problems.wrong(f"{path}.{key}", f'"{name}" is no name of a {_word(key)}')
    if listen.device and not _isHere(listen.device):
        problems.odd(
            f"{path}.device",
            f'there is no "{listen.device}" on this machine now; the gateway does not '
            "start without it",
        )
    if listen.device and listen.netns:
        problems.wrong(
            f"{path}.device", "a listener has either device or netns; leave one out"
        )
    domain = listen.domain
    for n, text in enumerate(listen.address):
        if domain.name and text.startswith(UNIX):
            problems.wrong(
                f"{path}.address[{n}]",
                f"a Unix socket is in no network: {domain.kind} goes with IP addresses",
            )
    if domain.name and listen.transparent:
        problems.wrong(
            f"{path}.{domain.kind}",
            "does not go with transparent: the kernel diverts what comes in this "
            "host's own network",
        )
    if domain.name and listen.endpoint:
        problems.wrong(
            f"{path}.{domain.kind}",
            "goes with address; an endpoint opens a socket of its own, in this host's "
            "own network",
        )


def _word(key: str) -> str:
    return "device" if key == "device" else "network namespace"


def _resolver(path: str, listen: Listen, problems: Problems) -> None:
    domain, settings = listen.domain, listen.resolver
    if settings is not None:
        if not domain.name:
            problems.wrong(
                path,
                "goes with device or netns; other listeners' clients have [resolver]",
            )
        for n, server in enumerate(settings.servers):
            try:
                parseServer(server)
            except ValueError as e:
                problems.wrong(f"{path}.servers[{n}]", f'"{server}": {e}')
    elif domain.name and not any(file.exists() for file in filesOf(domain) or ()):
        files = f" and there is no /etc/netns/{domain.name}/resolv.conf"
        problems.odd(
            path,
            f"is missing{files if domain.kind == 'netns' else ''}: requests with names "
            f"are refused, since no name server of {domain} is known (servers = [] says "
            "that this is meant)",
        )


def _places(config: Config) -> Iterator[tuple[int, int, Address, int, Domain]]:
    """Yield the places of the listeners: the numbers of both, address, port, domain."""
    for i, listen in enumerate(config.listen):
        for n, text in enumerate(listen.address):
            # What is wrong with an address is reported elsewhere.
            with suppress(ValueError):
                yield i, n, *parseListenAddress(text), listen.domain


def _twice(config: Config, problems: Problems) -> None:
    """Report places that two listeners have."""
    places = list(_places(config))
    for k, (i, n, address, port, domain) in enumerate(places):
        for j, _, other, number, elsewhere in places[:k]:
            if port == 0 or (address, port) != (other, number):
                continue
            if domain != elsewhere and "netns" in (domain.kind, elsewhere.kind):
                continue
            same = config.listen[i].name == config.listen[j].name
            if not same and (
                domain == elsewhere or not (domain.name and elsewhere.name)
            ):
                problems.wrong(
                    f"listen[{i}].address[{n}]",
                    f'"{config.listen[j].name}" listens there, too; {_ALONE}: if two '
                    "are meant, say device or netns on each",
                )
                break


def _ambiguous(config: Config, links: Sequence[Link], problems: Problems) -> None:
    """
    Report listeners that believe that their address chooses a network.

    That is two listeners at addresses of two interfaces whose networks overlap: without
    C{device}, the clients of both would leave by the same one.
    """
    at = {link.address: link for link in links}
    places = [
        (i, n, at[address], domain)
        for i, n, address, _, domain in _places(config)
        if address in at and domain.kind != "netns"
    ]
    for i, n, link, domain in places:
        if domain.name or link.device == "lo":
            continue
        for j, _, other, _ in places:
            if i == j or link.device == other.device or not _overlap(link, other):
                continue
            problems.wrong(
                f"listen[{i}].address[{n}]",
                f"is an address of {link.device}, and {other.device}, where "
                f'"{config.listen[j].name}" listens, has the same network '
                f"{_text(link)}: {_ALONE}, and what clients ask for would leave by "
                f'either; add device = "{link.device}", and device = "{other.device}" '
                "there (a VRF's name, if they are in VRFs)",
            )
            break


def _overlap(one: Link, other: Link) -> bool:
    if one.address.version != other.address.version:
        return False
    # Every interface has fe80::/64, and a zone with it.
    if one.address.version == 6 and one.address.packed.startswith(b"\xfe\x80"):
        return False
    return one.network.covers(other.address) or other.network.covers(one.address)


def _text(link: Link) -> str:
    network = link.network
    number = network.prefix << network.shift
    return (
        f"{Address(number.to_bytes(len(link.address.packed), 'big'))}/{network.length}"
    )
