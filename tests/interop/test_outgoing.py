"""
What servers see of a gateway that leaves by chosen addresses, devices and marks: what
L{tests.interop.outgoing} tells.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.interop.outgoing import FEW
from tests.live.netns import alone


@pytest.fixture(scope="module")
def found() -> Any:
    """Return what has come of everything."""
    return json.loads(alone("tests.interop.outgoing"))


def test_noPrivilege(found: Any) -> None:
    """All but marks is for everybody."""
    assert found["rights"] == [0]


@pytest.mark.parametrize(
    ("way", "seen"),
    [
        ("usual", "o1 10.0.0.251"),
        # The address is seen, and is no choice of network.
        ("bound", "o1 10.0.0.252"),
        ("device", "o2 10.0.0.252"),
        ("both", "o2 10.0.0.253"),
        ("same", "o1 192.0.2.1"),
        # Sockets of another network namespace.
        ("inner", "in 10.0.0.250"),
    ],
)
def test_whatTheServerSees(found: Any, way: str, seen: str) -> None:
    """Which network it is in, and the gateway's address: by TCP and UDP alike."""
    assert found[f"connect {way}"] == found[f"udp {way}"] == seen


def test_anAddressWithARule(found: Any) -> None:
    """A rule of the kernel has the address choose."""
    assert found["connect bound by a rule"] == "o2 10.0.0.252"


def test_theAddressThatTheClientCameTo(found: Any) -> None:
    """Another one for those who came to another one."""
    assert found["same at the second"] == "o1 192.0.2.2"


def test_IPv6(found: Any) -> None:
    """It has its own address; without one, nothing leaves by it."""
    assert found["connect6 both"] == found["udp6 both"] == "o2 fd00::253"
    assert found["connect6 device"].startswith("o2 fd00::2")
    assert found["connect6 four"] == "reply 3"


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("usual", "10.0.0.251"),
        ("device", "10.0.0.252"),
        ("both", "10.0.0.253"),
        ("same", "192.0.2.1"),
        ("inner", "10.0.0.250"),
    ],
)
def test_bind(found: Any, way: str, told: str) -> None:
    """A peer comes to where the client's connections come from, in that network."""
    assert found[f"bind {way}"] == f"{told} 0 10.0.0.1"


def test_mark(found: Any) -> None:
    """Without a capability it fails, and says so; with one, the kernel's rules count."""
    assert (found["connect mark"], found["udp mark"]) == ("reply 1", "nothing")
    assert "the gateway may not set marks; it needs CAP_NET_ADMIN" in found["why mark"]
    assert found["connect marked"] == found["udp marked"] == "o2 10.0.0.252"
    assert found["connect6 marked"].startswith("o2 fd00::2")
    assert found["bind marked"] == "10.0.0.252 0 10.0.0.1"


def test_aDeviceThatIsNotThere(found: Any) -> None:
    """There is no network to reach."""
    assert found["connect gone"] == "reply 3"


def test_ourselves(found: Any) -> None:
    """Addresses that sessions leave by are this host's own."""
    assert found["ourselves"] == ["reply 2"] * 2


def test_anAddressThatComesAndGoes(found: Any) -> None:
    """What leaves by it fails while it is not there, which is said each time it goes."""
    assert found["before"] == ["reply 1", "nothing", "reply 1"]
    assert (found["there"], found["gone"]) == ("o1 10.0.0.254", "reply 1")
    assert found["states"] == ["lost", "found", "lost"]


def test_portsDoNotRunOut(found: Any) -> None:
    """Each destination has all of them."""
    assert found["with few ports"] == [FEW, FEW]
    assert found["one more"] == "reply 1"


def test_check(found: Any) -> None:
    """What cannot work as it is meant is told before."""
    told = "\n".join(found["warned"])
    for text in (
        '("bound"): 10.0.0.252 is an address of o2, but what leaves by it to 10.0.0.254 '
        'goes out by o1: an address alone does not choose a network; add device = "o2"',
        '("bound"): fd00::252 is an address of o2, but what leaves by it to fd00::250 ',
        '("mark"): this user may not set marks',
        '("late"): 10.0.0.254 is no address of this host now',
        '("gone"): there is no "o3" on this machine now',
    ):
        assert text in told
    assert len(found["warned"]) == 5


def test_theManuals(found: Any) -> None:
    """What the chapter shows does what it says."""
    assert found["manual 192.0.2.9"] == ["o1 10.0.0.251"] * 2
    assert found["manual 192.0.2.17"] == ["o2 10.0.0.253"] * 2
