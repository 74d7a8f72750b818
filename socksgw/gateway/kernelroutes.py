"""
Which addresses lead to this host, as the kernel says (rtnetlink(7)).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final, final

from socksgw.system import rtnetlink
from socksgw.system.sockets import FAMILIES
from socksgw.wire.address import Address

__all__ = ["KernelRoutes"]

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
_KNOWN: Final = 4096


def _netlink(groups: int) -> socket.socket:
    """
    A non-blocking socket for rtnetlink.

    @param groups: what it is told of.
    @raise OSError: it is denied here.
    """
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


@final
class KernelRoutes:
    """
    Asks the kernel for the route to an address, and remembers the answer until
    an address, a route, a rule or an interface changes. Every question takes in
    first what has changed, so that no answer is older than the question.

    @ivar changes: how often something has changed that leads here.
    """

    def __init__(self) -> None:
        """
        @raise OSError: netlink is denied here, or does not answer.
        """
        self._own: frozenset[Address] | None = None
        self._known: dict[Address, bool] = {}
        self.changes = 0
        self._asking = _netlink(0)
        try:
            self._watching = _netlink(rtnetlink.GROUPS)
        except OSError:
            self._asking.close()
            raise
        if not self._routed(Address.parse("127.0.0.1")):
            self.close()
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def leadsHere(self, address: Address) -> bool:
        """
        Whether packets to the address stay on this host, or it is an address of
        one of its interfaces (of one that is down or in a VRF, too).

        @raise OSError: netlink does not answer any more.
        """
        self.look()
        known = self._known.get(address)
        if known is None:
            if self._own is None:
                self._own = self._addresses()
            known = address in self._own or self._routed(address)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[address] = known
        return known

    def look(self) -> None:
        """
        Take in what has changed.

        @raise OSError: netlink does not tell any more.
        """
        while True:
            try:
                told = self._watching.recv(rtnetlink.BEGINNING)
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                # More has changed than the socket holds.
                told = b""
            # Another route may go in front of one that leads here, or away
            # from there.
            self._known.clear()
            if rtnetlink.isRouteElsewhere(told):
                continue
            self._own = None
            self.changes += 1

    def _routed(self, address: Address) -> bool:
        """
        Return whether the kernel's route to an address ends here.

        @raise OSError: netlink does not answer any more.
        """
        family = FAMILIES[address.version]
        answer = self._ask(rtnetlink.routeQuestion(family, address.packed))
        kind, body = next(rtnetlink.messages(answer))
        if kind == rtnetlink.ERROR:
            code = rtnetlink.errorOf(body)
            if code in _NO_ROUTE:
                return False
            raise OSError(code, os.strerror(code))
        return rtnetlink.leadsHere(body)

    def _addresses(self) -> frozenset[Address]:
        """
        Return the addresses of all interfaces.

        @raise OSError: netlink does not answer any more.
        """
        found: set[Address] = set()
        answer = self._ask(rtnetlink.addressesQuestion())
        while True:
            for kind, body in rtnetlink.messages(answer):
                if kind == rtnetlink.DONE:
                    return frozenset(found)
                if kind == rtnetlink.ERROR:
                    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
                packed = None
                if kind == rtnetlink.NEW_ADDRESS:
                    packed = rtnetlink.addressOf(body)
                if packed is not None:
                    found.add(Address(packed))
            answer = self._asking.recv(_ANSWER)

    def _ask(self, question: bytes) -> bytes:
        """
        Send one question. The kernel answers while it is sent, so that there is
        nothing to wait for.
        """
        self._asking.send(question)
        return self._asking.recv(_ANSWER)

    def close(self) -> None:
        """Ask nothing any more."""
        self._asking.close()
        self._watching.close()

    def __del__(self) -> None:
        if hasattr(self, "_watching"):
            self.close()
