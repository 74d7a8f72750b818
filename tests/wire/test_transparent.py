"""
Clients that say nothing to the gateway: what they want is what the kernel says.
"""

from __future__ import annotations

import pytest

from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.server import DIALECTS, spoken
from socksgw.wire.transparent import Transparent, connection, datagrams


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_requests(host: str) -> None:
    """The address is what was asked for, spelled as usual."""
    address = Address.parse(host)
    for make, word in ((connection, "connect"), (datagrams, "diverted")):
        request = make(address, 443)
        assert (request.host, request.port, request.asked) == (
            address,
            443,
            host.encode(),
        )
        assert Transparent.commands[request.command] == word


def test_isToldByNoOctet() -> None:
    """A listener that speaks it takes no message for one."""
    assert spoken(["transparent"]) == {}
    assert DIALECTS["transparent"].silent
    assert Transparent.encodeReply(Reply.NOT_ALLOWED, None, 0) == b""
    assert Transparent().encodeRefusal(Reply.NOT_ALLOWED, "policy", "no") == b""
