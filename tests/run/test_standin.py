"""
What stands for a connection, between two sockets of this process.
"""

from __future__ import annotations

import select
import socket

from socksgw.run.memory import Place
from socksgw.run.standin import LoopbackJoints, StandIn
from socksgw.wire.address import Address

PLACE = Place(socket.AF_INET, Address.parse("192.0.2.1"), 443)


def events(own: socket.socket) -> int:
    """What poll(2) says of a socket that would be written."""
    polled = select.poll()
    polled.register(own, select.POLLOUT)
    return dict(polled.poll(0)).get(own.fileno(), 0)


class Near(socket.socket):
    """The supervisor's end, which looks at the program's when it is closed."""

    own: socket.socket
    seen = -1

    def close(self) -> None:
        """Close it."""
        if self.fileno() >= 0:
            self.seen = events(self.own)
        super().close()


def test_reset() -> None:
    """
    There is no moment in which a connection that failed looks like one: programs that
    wait by poll(2) and do not ask for the error, such as Rust's, would take it for one.
    """
    with socket.socket() as own:
        size = own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        joined = LoopbackJoints().join(own, PLACE)
        near = Near(fileno=joined.detach())
        near.own = own
        standIn = StandIn(own, near)
        assert events(own) == 0
        standIn.reset()
        assert near.seen == 0
        assert events(own) & select.POLLHUP
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= size
