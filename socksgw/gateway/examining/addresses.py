"""
Whether an address can be left by, on this host as it is now.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from socksgw.errors import SocksError
from socksgw.gateway.links import Link
from socksgw.route.leaving import means
from socksgw.system.domains import HERE
from socksgw.system.outgoing import Marked, Near, Outgoing
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["LeavesBy", "oddities", "unusable"]

#: Returns the device by which packets from an address to another one leave; empty
#: where there is no way, or the kernel does not say.
LeavesBy = Callable[[Address, Address], str]

#: Addresses that the default route leads to: of the root servers A.
_ANYWHERE: Final = {
    4: Address.parse("198.41.0.4"),
    6: Address.parse("2001:503:ba3e::2:30"),
}


def unusable(address: Address) -> str:
    """Return why nothing can leave by an address; empty if it can."""
    known = ip_address(address.packed)
    if known.is_unspecified:
        return "is any address, which is so without leave_by"
    if known.is_multicast or address.packed == b"\xff" * 4:
        return "is no address of one host"
    if not means(address) and not address.isLoopback:
        return "means something on one link alone; use device"
    return ""


def oddities(
    address: Address,
    device: str,
    marked: bool,
    links: Sequence[Link],
    leavesBy: LeavesBy,
) -> Iterator[str]:
    """
    Yield what is odd about an address to leave by.

    @param device: the device to leave by, too; empty for none.
    @param marked: whether there is a mark, by which the kernel may choose the route.
    @param links: the addresses of this host's own interfaces.
    @param leavesBy: asks the kernel.
    """
    if address.isLoopback:
        yield (
            f"{address.text} is of no use to reach other hosts: nothing of it leaves "
            "this one"
        )
        return
    near = Near(address, None) if address.version == 4 else Near(None, address)
    sockets = Outgoing(Marked(HERE, device), near)
    try:
        sockets.open(FAMILIES[address.version], socket.SOCK_DGRAM).close()
    except (OSError, SocksError):
        others = [each.device for each in links if each.address == address]
        if others and device:
            yield (
                f"{address.text} is an address of {others[0]}, and not in the network "
                f'of device = "{device}": what would leave by it fails'
            )
        elif others:
            yield (
                f"{address.text} is an address of {others[0]}, which is in a VRF: what "
                "would leave by it fails; add device with the VRF's name"
            )
        else:
            yield (
                f"{address.text} is no address of this host now: what would leave by "
                "it fails (leave-by) until it is (ip addr shows those there are)"
            )
        return
    if not device and not marked:
        yield from _elsewhere(address, links, leavesBy)


def _elsewhere(
    address: Address, links: Sequence[Link], leavesBy: LeavesBy
) -> Iterator[str]:
    """Yield that the kernel sends what leaves by an address through another device."""
    for link in links:
        if link.address != address or link.device == "lo" or not link.network.shift:
            # An address alone, with no network: routing protocols use such.
            continue
        for towards in (_neighbour(link, links), _ANYWHERE[address.version]):
            device = leavesBy(address, towards)
            if device not in ("", "lo", link.device):
                yield (
                    f"{address.text} is an address of {link.device}, but what leaves by "
                    f"it to {towards.text} goes out by {device}: an address alone does "
                    f'not choose a network; add device = "{link.device}", or a rule of '
                    f"the kernel (ip rule add from {address.text} lookup TABLE)"
                )
                break


def _neighbour(link: Link, links: Sequence[Link]) -> Address:
    """Return an address that would be another host's in the network of a link."""
    size = len(link.address.packed)
    number = int.from_bytes(link.address.packed, "big")
    own = {each.address for each in links}
    near = [
        Address((number ^ bit).to_bytes(size, "big"))
        for bit in (1, 2, 4, 8)
        if bit < 1 << link.network.shift
    ]
    return next((each for each in near if each not in own), near[0])
