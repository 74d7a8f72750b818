"""
Partners who all have 10.0.0.0/8, behind namespaces and behind devices: what
L{tests.interop.overlapping} tells.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.overlapping import DEVICES, GATEWAY, NAMED, PARTNERS, SERVER
from tests.live.netns import alone
from tests.live.running import OPEN, Running
from tests.tools.waiting import until


@pytest.fixture(scope="module")
def found() -> Any:
    """Return what has come of everything."""
    return json.loads(alone("tests.interop.overlapping"))


def test_noPrivilege(found: Any) -> None:
    """Neither the gateway nor a broker is root, or has a capability."""
    assert (
        found["rights of the gateway"] == found["rights of the broker"] == [True, 0, 0]
    )
    assert set(found["brokers' sockets"]) == {"0o140600"}


def test_rightsThatAreDropped(found: Any) -> None:
    """A gateway that was root at its start finds the next broker as its user."""
    assert found["dropped"]
    assert found["after the drop"] == ["red hello", "v1 hello"]


@pytest.mark.parametrize("name", PARTNERS)
def test_eachReachesItsOwn(found: Any, name: str) -> None:
    """The same address and the same name are another server in each network."""
    assert found[f"connect {name}"] == f"{name} hello"
    assert found[f"connect6 {name}"] == f"{name} hello"
    assert found[f"name {name}"] == f"{name} hello"
    # The answer comes by TCP.
    assert found[f"long name {name}"] == f"{name} hello"
    assert found[f"http {name}"] == [f"{name} "] * 2
    kind = "device" if name in DEVICES else "netns"
    assert [f"{kind}:{name}", f"10.0.0.{NAMED[name]}"] in found["resolved"]
    assert f"{kind}:{name}" in found["networks"]


@pytest.mark.parametrize("name", PARTNERS)
def test_bind(found: Any, name: str) -> None:
    """The peer comes by the same network, whether it is named or not."""
    wanted = [0, GATEWAY, [0, SERVER], "bound"]
    assert found[f"bind {name}"] == found[f"bind anybody {name}"] == wanted


@pytest.mark.parametrize("name", PARTNERS)
def test_datagrams(found: Any, name: str) -> None:
    """They come and go by the same network, also to a name."""
    wanted = [0, GATEWAY, f"{name} datagram"]
    assert found[f"udp {name}"] == found[f"udp name {name}"] == wanted


@pytest.mark.parametrize("name", PARTNERS)
def test_theGatewayItself(found: Any, name: str) -> None:
    """Its addresses there are banned, of both families, and loopback and its port."""
    assert found[f"never {name}"] == ["reply 2"] * 4
    assert set(found["whys"]) == {"loopback", "self"}


def test_anAddressThatIsOursElsewhere(found: Any) -> None:
    """A host that has it by another device cannot be reached: that is said at once."""
    assert found["ours and theirs"] == ["reply 2", "reply 2"]


def test_manyAtOnce(found: Any) -> None:
    """More than are in stock: those wait for the broker, and none fails."""
    assert found["burst"] == 200


def test_startWithoutABroker(found: Any) -> None:
    """The gateway does not start, and says what to start."""
    status, log = found["start without brokers"]
    assert status == 1
    assert 'gw.toml: listen[1].netns: netns "red": no broker serves at ' in log
    assert "start socksgw netns-broker red" in log


def test_startWithoutTheDevice(tmp_path: Path) -> None:
    """The same for a device."""
    text = OPEN.replace('name = "main"', 'name = "main"\ndevice = "none"')
    gateway = Running(tmp_path, text)
    until(lambda: gateway.process.poll() is not None, 20)
    assert gateway.process.returncode == 1
    assert 'gw.toml: listen[1].device: device "none": there is no such' in gateway.log


def test_theBrokerDies(found: Any) -> None:
    """New requests fail with a reason, what is open goes on, others are not concerned."""
    assert found["without a broker"] == ["reply 3", "blue hello"]
    assert found["why"] == ["network-lost", 3]
    assert found["what was open"] == "still"
    assert found["with one again"] == "red hello"


def test_anotherNamespaceOfThatName(found: Any) -> None:
    """The broker ends, to be started there; the listeners are opened there."""
    assert found["broker's status"] == 1
    assert found["in the new one"] == "red hello"


def test_anotherDeviceOfThatName(found: Any) -> None:
    """The listeners are opened on it."""
    assert found["by the new device"] == "v1 hello"
    assert found["the other device"] == "v2 hello"


def test_reload(found: Any) -> None:
    """A namespace that goes takes its sessions with it, and both are recorded."""
    assert found["ended"] == ["the listener is not in the client's network any more"]
    assert found["asked after it was removed"] == 2
    assert found["left"] == found["joined"] == ["netns:blue"]
    assert found["back"] == "blue hello"


def test_aReloadThatNamesNone(found: Any) -> None:
    """It changes nothing, and says where and why."""
    (problem,) = found["none"]
    assert problem.startswith(
        'gw.toml: listen[4].netns: netns "none": no broker serves'
    )
    assert found["after a failed reload"] == "red hello"
