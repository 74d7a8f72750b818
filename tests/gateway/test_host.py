"""
What is this host's: its addresses, and where it listens.
"""

from __future__ import annotations

import errno

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.config.loading import loads
from socksgw.gateway.host import HostAddresses, Place
from socksgw.system import sockets
from socksgw.system.domains import OWN, Domain
from socksgw.system.once import Once
from socksgw.wire.address import Address


def test_thisHostIsSelf() -> None:
    """Its addresses, loopback whole, and the unspecified address."""
    hosts = HostAddresses(list)
    for text in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        assert hosts.isSelf(Address.parse(text))
    for text in ("8.8.8.8", "2620:fe::fe", "192.0.2.77"):
        assert not hosts.isSelf(Address.parse(text))


@pytest.mark.parametrize(
    ("bound", "address", "port", "expected"),
    [
        (("127.0.0.1", 1080), "127.0.0.1", 1080, True),
        (("127.0.0.1", 1080), "127.0.0.1", 1081, False),
        (("127.0.0.1", 1080), "127.0.0.2", 1080, False),
        # To the unspecified address the kernel connects by loopback.
        (("127.0.0.1", 1080), "0.0.0.0", 1080, True),
        (("0.0.0.0", 1080), "127.0.0.1", 1080, True),
        (("0.0.0.0", 1080), "127.7.7.7", 1080, True),
        (("::", 1080), "::1", 1080, True),
        (("0.0.0.0", 1080), "8.8.8.8", 1080, False),
    ],
)
def test_whereWeListen(
    bound: tuple[str, int], address: str, port: int, expected: bool
) -> None:
    """By address and port, as the listeners are at the moment of asking."""
    places: list[Place] = []
    hosts = HostAddresses(lambda: places)
    assert not hosts.isListener(Address.parse(address), port)
    places.append((*bound, OWN))
    assert hosts.isListener(Address.parse(address), port) is expected


class Routes:
    """Routes of a network in which some addresses lead here."""

    def __init__(self, *here: str) -> None:
        self._here = here
        self.changes = 5
        self.closed = False

    def leadsHere(self, address: Address) -> bool:
        return address.text in self._here

    def look(self) -> None: ...

    def close(self) -> None:
        self.closed = True


LISTENERS = """
[[listen]]
name = "own"
address = ["192.0.2.251:1080"]
[[listen]]
name = "red"
address = ["10.0.0.251:1080"]
netns = "red"
[[listen]]
name = "blue"
address = ["10.0.0.252:1080"]
netns = "blue"
"""
RED, BLUE = Domain("netns", "red"), Domain("netns", "blue")
ONE, TWO = Address.parse("10.0.0.251"), Address.parse("10.0.0.252")


def test_whatIsSelfInEachNetwork() -> None:
    """An address is this host's in one, and another host's in the next."""
    config = loads(LISTENERS, "f")
    places: list[Place] = [("10.0.0.251", 1080, RED), ("10.0.0.252", 1080, BLUE)]
    hosts = HostAddresses(lambda: places, lambda: Routes("192.0.2.251"))
    hosts.apply(config)
    # As long as it is not known, everything is.
    assert hosts.isSelf(TWO, "red")
    with hosts.supposing(config):
        assert not hosts.isSelf(TWO, "red")
    before = hosts.changes
    red, blue = Routes("10.0.0.251"), Routes("10.0.0.252")
    hosts.join(RED, lambda: red)
    hosts.join(BLUE, lambda: blue)
    assert hosts.changes > before
    for listener, own in (
        ("red", [ONE]),
        ("blue", [TWO]),
        ("own", []),
        (None, [ONE, TWO]),
    ):
        assert [a for a in (ONE, TWO) if hosts.isSelf(a, listener)] == own, listener
        assert [a for a in (ONE, TWO) if hosts.isListener(a, 1080, listener)] == own
        assert hosts.isSelf(Address.parse("127.0.0.1"), listener)
    assert hosts.isSelf(Address.parse("192.0.2.251"), "own")
    assert not hosts.isSelf(Address.parse("192.0.2.251"), "red")
    before = hosts.changes
    hosts.leave(RED)
    assert red.closed
    assert hosts.changes > before
    assert hosts.isSelf(TWO, "red")
    hosts.close()
    assert blue.closed


def test_aNetworkThatCannotBeAsked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as this host's there, which is said."""
    monkeypatch.setattr(sockets, "_told", Once())
    hosts = HostAddresses(list, Routes)
    hosts.apply(loads(LISTENERS, "f"))

    def denied() -> Routes:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with capturedLogs() as logs:
        hosts.join(RED, denied)
    assert 'of netns "red" every address counts' in (eventAsText(logs[0]) or "")
    assert hosts.isSelf(TWO, "red")
    assert hosts.changes == hosts.changes
