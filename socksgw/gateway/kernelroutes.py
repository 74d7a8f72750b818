"""
Which addresses lead to this host, as the kernel says (rtnetlink(7)).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR
from pyroute2.netlink.rtnl import (
    RTM_DELROUTE,
    RTM_GETADDR,
    RTM_GETROUTE,
    RTM_NEWADDR,
    RTM_NEWROUTE,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV4_RULE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_IPV6_RULE,
    RTMGRP_LINK,
    rt_type,
)
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["KernelRoutes", "isInVRF"]

#: Whatever can change which addresses lead here.
_GROUPS: Final = (
    RTMGRP_LINK
    | RTMGRP_IPV4_IFADDR
    | RTMGRP_IPV4_ROUTE
    | RTMGRP_IPV4_RULE
    | RTMGRP_IPV6_IFADDR
    | RTMGRP_IPV6_ROUTE
    | RTMGRP_IPV6_RULE
)
#: A struct nlmsghdr up to its type, and what follows it in an error.
_TYPE: Final = struct.Struct("=4xH")
_ERRNO: Final = struct.Struct("=16xi")
#: A struct nlmsghdr without a sequence, a struct rtmsg of family and prefix, and the
#: heads of its attributes (rtnetlink(7)).
_HEADER: Final = struct.Struct("=IHH8x")
_RTMSG: Final = struct.Struct("=BB10x")
_ATTRIBUTE: Final = struct.Struct("=HH")
_DEVICE: Final = struct.Struct("=HHI")
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
#: Where rtm_type is, behind the header, and the octets up to there.
_RTM_TYPE: Final = 16 + 7
_HEAD: Final = _RTM_TYPE + 1
#: Routes whose packets are delivered on this host.
_HERE: Final = frozenset({rt_type["local"], rt_type["anycast"]})
#: The kernel's answers that no route leads there, or only one that forbids it.
_NO_ROUTE: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EACCES,
        # A blackhole.
        errno.EINVAL,
        # No such family here.
        errno.EAFNOSUPPORT,
        errno.EOPNOTSUPP,
    }
)
#: Octets of the largest answer; the kernel fills at most 32 KiB.
_ANSWER: Final = 1 << 16
#: Verdicts that are remembered.
_KNOWN: Final = 1 << 14


def _netlink() -> socket.socket:
    """
    Return a non-blocking socket for rtnetlink.

    @raise OSError: netlink is denied here.
    """
    return socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )


def _joined(opened: socket.socket, groups: int) -> socket.socket:
    """
    Return a socket after it has joined multicast groups.

    @param groups: as bits.
    @raise OSError: netlink is denied here.
    """
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def isInVRF(device: str, sys: Path = Path("/sys/class/net")) -> bool:
    """
    Return whether a device is a VRF, or belongs to one.

    @return: C{False} also where sysfs does not say it.
    """
    for uevent in (sys / device / "uevent", sys / device / "master" / "uevent"):
        with suppress(OSError):
            if "DEVTYPE=vrf" in uevent.read_text("ascii", "replace").split():
                return True
    return False


@final
class KernelRoutes:
    """
    Routes as the kernel says, remembered until something changes.

    Answers are dropped when an address, a route, a rule or an interface changes.
    Changes that are pending are processed before each question, so that no answer
    is older than its question.

    @ivar changes: the number of changes so far in what leads here.
    @ivar dropped: how often answers were dropped so far.
    """

    def __init__(
        self, opened: Callable[[], socket.socket] = _netlink, device: str = ""
    ) -> None:
        """
        Open the sockets.

        @param opened: opens a netlink socket of the network namespace that is meant.
        @param device: what sockets are bound to that are meant: a packet which leaves
            by that may lead elsewhere than without.
        @raise OSError: netlink is denied here, or does not answer.
        """
        self._device = device
        self._marshal = MarshalRtnl()
        #: The interfaces of each address.
        self._own: dict[Address, set[int]] | None = None
        self._known: dict[Address, bool] = {}
        self.changes = self.dropped = 0
        self._asking = _joined(opened(), 0)
        try:
            self._watching = _joined(opened(), _GROUPS)
        except OSError:
            self._asking.close()
            raise
        if not self._routed(Address.parse("127.0.0.1")):
            self.close()
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def leadsHere(self, address: Address) -> bool:
        """
        Tell whether packets to the address stay on this host.

        Addresses of its interfaces count, also of those that are down or in a
        VRF.

        @raise OSError: netlink does not answer any more.
        """
        self.look()
        known = self._known.get(address)
        if known is None:
            if self._own is None:
                self._own = self._addresses()
            known = self._isOwn(address, self._own)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[address] = known
        return known

    def _isOwn(self, address: Address, own: Mapping[Address, Collection[int]]) -> bool:
        """
        Tell the same, where it is not known yet.

        By a device that is in no VRF our other addresses are self, too: the kernel
        takes no packet from outside that comes from one (C{accept_local}). A VRF has
        local addresses of its own, so another host may have ours there; with IPv6,
        where addresses are not used twice, that is not believed.
        """
        if not self._device:
            return address in own or self._routed(address)
        try:
            index = socket.if_nametoindex(self._device)
        except OSError:
            # Nothing can leave by a device that is not there.
            return True
        if address in own and (address.version == 6 or index in own[address]):
            return True
        if not isInVRF(self._device) and self._routed(address):
            return True
        return self._routed(address, index)

    def fileno(self) -> int:
        """Return the descriptor that is readable when something changes."""
        return self._watching.fileno()

    def look(self) -> None:
        """
        Process the changes that the kernel has announced.

        @raise OSError: netlink announces nothing any more.
        """
        while True:
            try:
                told = self._watching.recv(_HEAD)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                # The socket's buffer has overflowed: some changes are lost.
                told = b""
            # A new route may hide one that leads here, and a removed one show it.
            self._known.clear()
            self.dropped += 1
            if len(told) == _HEAD:
                (kind,) = _TYPE.unpack_from(told)
                route = kind in (RTM_NEWROUTE, RTM_DELROUTE)
                if route and told[_RTM_TYPE] not in _HERE:
                    continue
            self._own = None
            self.changes += 1

    def _routed(self, address: Address, device: int = 0) -> bool:
        """
        Tell whether the kernel's route to an address ends here.

        @param device: the number of the device to leave by; 0 for any.
        """
        packed = address.packed
        question = (
            _RTMSG.pack(FAMILIES[address.version], len(packed) * 8)
            + _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST)
            + packed
        )
        if device:
            question += _DEVICE.pack(_DEVICE.size, _RTA_OIF, device)
        head = _HEADER.pack(_HEADER.size + len(question), RTM_GETROUTE, NLM_F_REQUEST)
        # Each new destination asks this: what pyroute2 makes of it takes 100 us.
        self._asking.send(head + question)
        answer = self._asking.recv(_ANSWER)
        (kind,) = _TYPE.unpack_from(answer)
        if kind == NLMSG_ERROR:
            code = -_ERRNO.unpack_from(answer)[0]
            if code in _NO_ROUTE:
                return False
            if code == errno.ENODEV:
                return True
            raise OSError(code, os.strerror(code))
        return answer[_RTM_TYPE] in _HERE

    def device(self, source: Address, destination: Address) -> str:
        """
        Return the device that packets from one of our addresses leave by.

        @return: empty where no route leads there.
        @raise OSError: netlink does not answer, or the device has gone.
        """
        message = rtmsg()
        message["family"] = FAMILIES[destination.version]
        message["dst_len"] = message["src_len"] = len(destination.packed) * 8
        message["attrs"] = [("RTA_DST", destination.text), ("RTA_SRC", source.text)]
        answer = self._ask(message, RTM_GETROUTE, NLM_F_REQUEST)
        for each in self._marshal.parse(answer):
            if each["header"]["type"] != NLMSG_ERROR and each.get_attr("RTA_OIF"):
                return socket.if_indextoname(each.get_attr("RTA_OIF"))
        return ""

    def _addresses(self) -> dict[Address, set[int]]:
        """Return the addresses of all interfaces, with these."""
        found: dict[Address, set[int]] = {}
        for address, _, index in self.addresses():
            found.setdefault(address, set()).add(index)
        return found

    def addresses(self) -> Iterator[tuple[Address, int, int]]:
        """Yield the addresses, their prefixes' lengths and their interfaces."""
        answer = self._ask(ifaddrmsg(), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP)
        while True:
            for message in self._marshal.parse(answer):
                kind = message["header"]["type"]
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
                # Of a point-to-point link, IFA_ADDRESS is the other end's.
                text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
                if kind == RTM_NEWADDR and text:
                    yield Address.parse(text), message["prefixlen"], message["index"]
            answer = self._asking.recv(_ANSWER)

    def _ask(self, message: rtmsg | ifaddrmsg, kind: int, flags: int) -> bytes:
        """
        Send one question and return the answer.

        The kernel answers within send(2), so this does not wait.
        """
        message["header"]["type"] = kind
        message["header"]["flags"] = flags
        message.encode()
        self._asking.send(message.data)
        return self._asking.recv(_ANSWER)

    def close(self) -> None:
        """Close the sockets."""
        self._asking.close()
        self._watching.close()

    def __del__(self) -> None:
        if hasattr(self, "_watching"):
            self.close()
