"""
The header that tells a destination whose connection it is.

What real destinations read, the tests of whole gateways show
(tests/interop/test_leaving.py).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from socksgw.policy.leaving import Leaving
from socksgw.policy.questions import Obligations
from socksgw.session.introducing import introduce
from socksgw.wire.address import Address
from socksgw.wire.proxyheader import ProxyHeader, readProxyHeader

CLIENT, SERVER = Address.parse("192.0.2.7"), Address.parse("2001:db8::1")


def written(
    leaving: Leaving | None, port: int = 4000, address: Address | str = SERVER
) -> list[bytes]:
    """What is written to the destination of a session."""
    octets: list[bytes] = []
    case: Any = SimpleNamespace(
        obligations=Obligations(leaving=leaving),
        client=SimpleNamespace(source=CLIENT, port=port),
        record=SimpleNamespace(port=443),
    )
    outlet: Any = SimpleNamespace(address=address, write=octets.append)
    introduce(case, outlet)
    return octets


@pytest.mark.parametrize("leaving", [None, Leaving(leaveBy=("192.0.2.1",))])
def test_notAsked(leaving: Leaving | None) -> None:
    """Nothing is written."""
    assert written(leaving) == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header(version: str) -> None:
    """The client, and the address that was dialled."""
    (octets,) = written(Leaving(header=version))
    found = readProxyHeader(octets)
    assert found == (ProxyHeader((CLIENT, 4000), (SERVER, 443)), len(octets))


def test_aNameThatWasNotLookedUp() -> None:
    """It is told, as far as the version can."""
    (octets,) = written(Leaving(header="v2"), address="db.example")
    found = readProxyHeader(octets)
    assert found is not None
    assert found[0].source == (CLIENT, 4000)
    assert found[0].told == {"authority": b"db.example"}


def test_aClientOnAUnixSocket() -> None:
    """It has no address."""
    assert written(Leaving(header="v1"), 0) == [b"PROXY UNKNOWN\r\n"]
