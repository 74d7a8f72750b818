"""
Clients that come through strongSwan's IKEv2 and ESP, and others that do not
(L{tests.interop.guarded}).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.netns import alone
from tests.live.servers import program


@pytest.fixture(scope="module")
def found() -> Any:
    """What the clients have seen."""
    program("nft", "nftables")
    return json.loads(alone("tests.interop.guarded"))


def test_protected(found: Any) -> None:
    """Who comes by ESP is served by the rule that wants IPsec, and recorded so."""
    assert found["esp"] == "0500 hello"
    allowed = [line for line in found["journal"] if line["verdict"] == "allow"]
    assert {line["secured"] for line in allowed} == {"ipsec"}
    assert {line["client"].partition(":")[0] for line in allowed} == {"10.77.0.2"}


def test_clear(found: Any) -> None:
    """Others are not, nor is anybody while the firewall's rules are missing."""
    assert found["clear"] == found["without the rules"] == "0502"
    denied = [line for line in found["journal"] if line["verdict"] == "deny"]
    assert not any("secured" in line for line in denied)


def test_forgedMark(found: Any) -> None:
    """A mark that a client sets counts for nothing, not even on this host."""
    assert found["clear, marked"] == found["local, marked"] == "0502"


def test_datagrams(found: Any) -> None:
    """Datagrams of the association come by ESP, too, or not at all."""
    assert found["clear datagrams arrive"] == "here"
    assert found["datagrams"] == ["", "two", ""]
    assert {line["secured"] for line in found["flows"]} == {"ipsec"}


def test_groups(found: Any) -> None:
    """So do those of groups, and who comes in the clear has none."""
    assert found["groups"] == ["0", "esp", "down"]
    assert found["groups, in the clear"] == "0502"
    (line,) = [each for each in found["flows"] if each["command"] == "multicast"]
    assert (line["rule"], line["client"].partition(":")[0]) == ("groups", "10.77.0.2")


def test_associationGone(found: Any) -> None:
    """
    What goes on in the clear is dropped when the security association is gone, by the
    rules and, without them, by the socket; new connections count as clear.
    """
    assert found["before"] == ["again", "again"]
    assert found["new, in the clear"] == "0502"
    assert found["after"] == found["after, no rules"] == "TimeoutError"
