"""
Whose socket it is, by the kernel's own answer.
"""

from __future__ import annotations

import os
import socket

import pytest

from socksgw.system.socketowner import userOf
from socksgw.wire.address import Address


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ours(host: str) -> None:
    """Each end of a connection; and none once it is gone."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("there is no IPv6 here")
    address = Address.parse(host)
    with listening, socket.create_connection(listening.getsockname()[:2]) as client:
        ends = [(address, each.getsockname()[1]) for each in (client, listening)]
        assert userOf(ends[0], ends[1]) == os.geteuid()
        # There is a listening socket at that end, and no connection.
        assert userOf(ends[1], (address, 1)) is None
        assert userOf((address, 1), ends[1]) is None
