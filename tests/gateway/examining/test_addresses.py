"""
Addresses that can, and cannot, be left by on a host of some interfaces.
"""

from __future__ import annotations

import pytest

from socksgw.gateway.examining.addresses import oddities, unusable
from socksgw.gateway.links import Link
from socksgw.policy.networks import Network
from socksgw.wire.address import Address

#: Addresses of every host, so that they can be bound, and of none (RFC 5737).
ONE, OTHER, FOREIGN = map(Address.parse, ("127.0.0.1", "127.0.0.2", "192.0.2.7"))
NETWORK = Network.parse("127.0.0.0/8")


def odd(
    address: Address,
    *links: Link,
    device: str = "",
    marked: bool = False,
    by: str = "",
) -> list[str]:
    """What is odd where packets leave by a device of this name."""
    return list(oddities(address, device, marked, links, lambda *_: by))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.0.0.0", "so without"),
        ("::", "so without"),
        ("239.1.2.3", "of one host"),
        ("ff02::1", "of one host"),
        ("fe80::7", "one link"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("10.0.0.1", ""),
        ("2001:db8::1", ""),
    ],
)
def test_unusable(text: str, why: str) -> None:
    """What is no address of a host, on every link."""
    found = unusable(Address.parse(text))
    assert why in found
    assert bool(found) is bool(why)


def test_notHere() -> None:
    """It may come later, or be in a VRF, or elsewhere than the device is."""
    (text,) = odd(FOREIGN)
    assert "192.0.2.7 is no address of this host now" in text
    link = Link(FOREIGN, Network.parse("192.0.2.0/24"), "eth1")
    (text,) = odd(FOREIGN, link)
    assert "an address of eth1, which is in a VRF" in text
    (text,) = odd(FOREIGN, link, device="lo")
    assert 'is an address of eth1, and not in the network of device = "lo"' in text


def test_loopback() -> None:
    """Nothing of it leaves the host."""
    (text,) = odd(ONE)
    assert "nothing of it leaves" in text


def test_noChoiceOfNetwork(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address alone is told not to choose one, where the kernel says so."""
    monkeypatch.setattr(Address, "isLoopback", False)
    link = Link(OTHER, NETWORK, "eth2")
    (text,) = odd(OTHER, link, by="eth1")
    assert "to 127.0.0.3 goes out by eth1" in text
    assert 'add device = "eth2", or a rule of the kernel' in text
    # The neighbour is not one of our own addresses.
    (text,) = odd(
        OTHER, link, Link(Address.parse("127.0.0.3"), NETWORK, "eth2"), by="eth1"
    )
    assert "to 127.0.0.0 goes out by eth1" in text
    assert not odd(OTHER, link, by="eth2")
    assert not odd(OTHER, link)
    assert not odd(OTHER, link, by="lo")
    # By a device, and by a mark, the kernel chooses otherwise.
    assert not odd(OTHER, link, by="eth1", device="lo")
    assert not odd(OTHER, link, by="eth1", marked=True)
    # An address without a network moves with a routing protocol.
    assert not odd(OTHER, Link(OTHER, Network.parse("127.0.0.2"), "dummy0"), by="eth1")
    assert not odd(OTHER, Link(ONE, NETWORK, "eth2"), by="eth1")
