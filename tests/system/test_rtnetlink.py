"""
Messages of rtnetlink, as a library for all of it writes and reads them.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

import pytest
from pyroute2.netlink import NLMSG_DONE, NLMSG_ERROR, rtnl
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from socksgw.system import rtnetlink
from socksgw.wire.address import Address

ADDRESSES = ("192.0.2.7", "2001:db8::1:2")


def encoded(message: Any, kind: int, flags: int = 0) -> bytes:
    """The octets of a message of the library's."""
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message.encode()
    return bytes(message.data)


def route(text: str, kind: int, of: str) -> bytes:
    address = Address.parse(text)
    message: Any = rtmsg()
    message["family"] = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    message["dst_len"] = 8 * len(address.packed)
    message["type"] = rtnl.rt_type[of] if of else 0
    message["attrs"] = [("RTA_DST", text)]
    return encoded(message, kind, 1)


def interface(local: str, other: str) -> bytes:
    """An address of an interface; the other end's, where there is one."""
    message: Any = ifaddrmsg()
    message["family"] = socket.AF_INET6 if ":" in other else socket.AF_INET
    attributes = [("IFA_ADDRESS", other), ("IFA_LABEL", "eth0")]
    if local:
        attributes.append(("IFA_LOCAL", local))
    message["attrs"] = attributes
    return encoded(message, rtnl.RTM_NEWADDR)


@pytest.mark.parametrize("text", ADDRESSES)
def test_routeQuestion(text: str) -> None:
    """The same octets."""
    address = Address.parse(text)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    asked = rtnetlink.routeQuestion(family, address.packed)
    assert asked == route(text, rtnl.RTM_GETROUTE, "")


def test_addressesQuestion() -> None:
    """The same octets."""
    expected = encoded(ifaddrmsg(), rtnl.RTM_GETADDR, 0x301)
    assert rtnetlink.addressesQuestion() == expected


def test_groups() -> None:
    """Everything that can change which addresses lead here."""
    assert rtnetlink.GROUPS == (
        rtnl.RTMGRP_LINK
        | rtnl.RTMGRP_IPV4_IFADDR
        | rtnl.RTMGRP_IPV4_ROUTE
        | rtnl.RTMGRP_IPV4_RULE
        | rtnl.RTMGRP_IPV6_IFADDR
        | rtnl.RTMGRP_IPV6_ROUTE
        | rtnl.RTMGRP_IPV6_RULE
    )


@pytest.mark.parametrize("kind", [x for x in rtnl.rt_type if isinstance(x, str)])
@pytest.mark.parametrize("text", ADDRESSES)
def test_routes(text: str, kind: str) -> None:
    """What is delivered here leads here; only another route changes nothing."""
    here = kind in ("local", "anycast")
    for told in (rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE):
        octets = route(text, told, kind)
        [(found, body)] = rtnetlink.messages(octets)
        assert (found, rtnetlink.leadsHere(body)) == (told, here)
        beginning = octets[: rtnetlink.BEGINNING]
        assert rtnetlink.isRouteElsewhere(beginning) is not here
        assert not rtnetlink.isRouteElsewhere(beginning[:-1])


def test_addresses() -> None:
    """The interface's own, of each message; then the end."""
    octets = b"".join(
        (
            interface("192.0.2.1", "192.0.2.1"),
            interface("192.0.2.2", "198.51.100.9"),
            interface("", "2001:db8::1"),
            encoded(ifaddrmsg(), NLMSG_DONE),
        )
    )
    assert not rtnetlink.isRouteElsewhere(octets)
    *found, (done, _) = rtnetlink.messages(octets)
    assert done == rtnetlink.DONE
    assert {kind for kind, _ in found} == {rtnetlink.NEW_ADDRESS}
    texts = [Address(rtnetlink.addressOf(body) or b"").text for _, body in found]
    assert texts == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def test_anError() -> None:
    """Its number."""
    octets = struct.pack("=IHHIIi", 20, NLMSG_ERROR, 0, 0, 0, -errno.ENETUNREACH)
    [(kind, body)] = rtnetlink.messages(octets)
    assert kind == rtnetlink.ERROR
    assert rtnetlink.errorOf(body) == errno.ENETUNREACH


@pytest.mark.parametrize("cut", range(1, 48))
def test_cutShort(cut: int) -> None:
    """A message that is not whole is none; what is before it counts."""
    whole = interface("", "192.0.2.1")
    found = list(rtnetlink.messages(whole + whole[: min(cut, len(whole) - 1)]))
    assert len(found) == 1


@pytest.mark.parametrize("length", range(4))
def test_anAttributeWithoutALength(length: int) -> None:
    """It ends the reading, and does not keep it going for ever."""
    body = bytes(8) + struct.pack("=HH", length, 1) + bytes(4)
    assert rtnetlink.addressOf(body) is None
