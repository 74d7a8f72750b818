"""
Sockets whose client wants to hear of ICMP, by what the kernel tells.
"""

from __future__ import annotations

import pytest

from socksgw.relay.unreached import Reporting
from socksgw.wire.address import Address
from socksgw.wire.association import Unreached
from tests.tools.sockets import udp
from tests.tools.waiting import until

HOME = Address.parse("127.0.0.1")


@pytest.mark.parametrize("known", [True, False])
def test_whatIsTold(known: bool) -> None:
    """Of destinations that flows lead to, and of no others."""
    told: list[Unreached] = []
    ready: list[int] = []
    with udp(HOME.text) as made, udp(HOME.text) as gone:
        port = gone.getsockname()[1]
        peers = {("127.0.0.1", port)} if known else set()
        reporting = Reporting(made, peers, told.append, ready.append)
        gone.close()
        reporting.sendto(b"x", ("127.0.0.1", port))

        def heard() -> bool:
            reporting.ready(1)
            # Each error that the socket fails with has been taken.
            with pytest.raises(BlockingIOError):
                made.recv(1)
            return bool(told) or not known

        until(heard)
    assert told == ([Unreached(HOME, port, HOME, 2)] if known else [])
    assert ready[0] == 1


def test_anErrorThatWaits() -> None:
    """The next datagram goes out all the same."""
    with udp(HOME.text) as made, udp(HOME.text) as gone, udp(HOME.text) as server:
        reporting = Reporting(made, (), lambda _: None, lambda _: None)
        port = gone.getsockname()[1]
        gone.close()
        for _ in range(3):
            reporting.sendto(b"x", ("127.0.0.1", port))
            reporting.sendto(b"y", server.getsockname())
            assert until(lambda: _received(server)) == b"y"


def _received(server: object) -> bytes | None:
    try:
        octets: bytes = server.recv(10)  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    return octets
