"""
Where a proxy reaches this host; connections are made in
C{tests/interop/test_selftest.py}.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from socksgw.console.selftest.connecting import Entered, unwanted
from socksgw.console.selftest.logins import Way
from socksgw.console.selftest.places import Place
from tests.live.servers import program

NETWORK = """
ip link set lo up
ip link add near type veth peer name far
ip addr add 10.77.0.2/24 dev near
ip addr add 10.77.0.3/24 dev near
ip addr add fd00:77::2/64 dev near nodad
ip link set near up
ip link set far up
exec "$@"
"""
TOLD = """
from socksgw.console.selftest.connecting import oursFor
from socksgw.console.selftest.places import Place

for where in (("10.77.0.1", 1080), ("fd00:77::1", 1080), ("10.77.0.2", 1080),
              ("10.77.0.3", 1080), ("127.0.0.9", 1080), ("::1", 1080),
              "/run/proxy.sock", ("10.78.0.1", 1080)):
    print(oursFor(Place("", "", where, ())))
"""


def test_ours() -> None:
    """
    A proxy of another host is told this host's address on the way to it; one of this
    host is told loopback, and so is one to which there is no way.
    """
    program("ip", "iproute2")
    unshare = program("unshare", "util-linux")
    done = subprocess.run(
        [unshare, "-n", "sh", "-ec", NETWORK, "sh", sys.executable, "-c", TOLD],
        capture_output=True,
        text=True,
        check=True,
    )
    own = "127.0.0.1"
    assert done.stdout.split() == [
        "10.77.0.2",
        "fd00:77::2",
        *(own, own, own, own, own, own),
    ]


@pytest.mark.parametrize(
    ("way", "state"),
    [
        (Way(), "ok"),
        (Way("gateway", "as a gateway's user", preface=lambda _: b""), "warning"),
        (Way("certificate", "by a certificate", certified=True), "warning"),
    ],
)
def test_unwanted(way: Way, state: str) -> None:
    """
    A host that has to log in does not get in without; a login that it is not offered
    was not tried, also where nothing of it is said in the protocol.
    """
    place = Place("", "", ("127.0.0.1", 1080), (), methods=("userpass", way.method))
    entered = Entered(place, "socks4", None, way)
    assert unwanted(entered, "x", "it wants another").state == state
