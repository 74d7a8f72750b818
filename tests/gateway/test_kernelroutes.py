"""
Which addresses lead to this host: the kernel is the judge, in a network namespace
where it has something to say.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from socksgw.gateway.kernelroutes import KernelRoutes, isInVRF
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.wire.address import Address
from tests.live.running import environment
from tests.live.servers import missing, program

OURS = (
    "127.9.9.9",
    # Interfaces' addresses; the third one's interface is down.
    "10.7.0.1",
    "fd00:7::1",
    "10.8.0.1",
    # Local routes, as cloud guests have them for load balancers.
    "45.45.45.7",
    "46.46.46.7",
    "2a00:45::7",
    # In another table, which is asked whatever the packet.
    "48.0.0.1",
    # The anycast address of routers (RFC 4291 section 2.6.1).
    "fd00:7::",
)
OTHERS = (
    "10.7.0.2",
    "10.7.0.255",
    "fd00:7::2",
    "8.8.8.8",
    "2620:fe::fe",
    "45.45.46.1",
    # Local for marked packets only.
    "47.1.1.1",
    # Unreachable.
    "198.18.0.1",
)
#: Tells of each address whether it leads here, then adds some, and tells again.
PROGRAM = f"""
import json, subprocess, sys
from socksgw.gateway.host import HostAddresses
from socksgw.gateway.probedroutes import ProbedRoutes
from socksgw.gateway.kernelroutes import KernelRoutes
from socksgw.system.watch import Watch
from socksgw.wire.address import Address

def ip(*lines):
    for line in lines:
        subprocess.run([sys.argv[1], *line.split()], check=True)

ip("link set lo up", "link add v0 type veth peer name w0", "link set w0 up",
   "link add v1 type veth peer name w1",
   "addr add 10.7.0.1/24 dev v0", "addr add 10.8.0.1/24 dev v1",
   "link set v0 up", "-6 addr add fd00:7::1/64 dev v0 nodad",
   "route add default via 10.7.0.2", "-6 route add default via fd00:7::2")
# A host of one interface has no anycast addresses until it forwards.
open("/proc/sys/net/ipv6/conf/all/forwarding", "w").write("1")
ip("route add local 45.45.45.0/24 dev lo",
   "route add local 46.46.46.0/24 dev lo src 10.7.0.1",
   "-6 route add local 2a00:45::/48 dev lo",
   "route add local 47.0.0.0/8 dev lo table 100", "rule add fwmark 1 lookup 100",
   "route add local 48.0.0.0/8 dev lo table 101", "rule add lookup 101",
   "route add unreachable 198.18.0.0/16")
now = 0
kernel = HostAddresses(list)
probed = HostAddresses(list, lambda: ProbedRoutes(clock=lambda: now))
found = []
for hosts in (kernel, probed):
    found.append({{a: hosts.isSelf(Address.parse(a)) for a in {OURS + OTHERS}}})
before = [hosts.changes for hosts in (kernel, probed)]
ip("route add 45.45.47.0/24 via 10.7.0.2")
found.append([hosts.changes for hosts in (kernel, probed)] == before)
ip("addr add 10.7.0.3/24 dev v0", "route add local 49.0.0.0/8 dev lo",
   "route del local 45.45.45.0/24 dev lo")
now = 1
for hosts in (kernel, probed):
    found.append([hosts.isSelf(Address.parse(a))
                  for a in ("10.7.0.3", "49.0.0.1", "45.45.45.7")])
found.append([hosts.changes for hosts in (kernel, probed)] > before)
# What verdicts are remembered by, before and after it is followed, and what of it
# an epoll loop tells: of any route, and nothing when nothing happens.
seen = [probed.seen("lan"), kernel.seen("lan")]
watch = Watch(None)
for hosts in (kernel, probed):
    hosts.follow(watch)
seen += [probed.seen("lan")]
was = kernel.seen("lan")
watch.doRead()
seen += [kernel.seen("lan") - was]
ip("route add 45.45.48.0/24 via 10.7.0.2")
seen += [kernel.seen("lan") - was]
watch.doRead()
seen += [kernel.seen("lan") - was > 0]
found.append(seen)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told() -> Any:
    """What L{PROGRAM} tells, in a network namespace of its own."""
    unshare, ip = program("unshare", "util-linux"), program("ip", "iproute2")
    flag = "-n" if os.geteuid() == 0 else "-rn"
    if subprocess.run([unshare, flag, "true"], check=False).returncode:
        missing("leave to make a network namespace")
    done = subprocess.run(
        [unshare, flag, sys.executable, "-c", PROGRAM, ip],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_theKernelsRoutes(told: Any) -> None:
    """
    Whatever the kernel delivers here is self: addresses and local routes, by
    the tables that it asks.
    """
    kernel, *_ = told
    assert [a for a in OURS if not kernel[a]] == []
    assert [a for a in OTHERS if kernel[a]] == []


def test_withoutNetlink(told: Any) -> None:
    """
    The same by /proc/net and probing, but for other tables.
    """
    _, probed, *_ = told
    assert [a for a in OURS if not probed[a]] == ["48.0.0.1"]
    assert [a for a in OTHERS if probed[a]] == []


def test_changesCountAtOnce(told: Any) -> None:
    """
    A new address or local route is self from the next question on, and counts
    as a change (a route to elsewhere does not).
    """
    _, _, unchanged, kernel, probed, changed, _ = told
    assert unchanged
    assert kernel == probed == [True, True, False]
    assert changed


def test_changesAreFollowed(told: Any) -> None:
    """
    What is remembered of the kernel's answers is told apart by a number that costs no
    question, once changes are followed as they come; not where it is only probed.
    """
    *_, seen = told
    assert seen == [None, None, None, 0, 0, True]


def test_longTablesAreReadSeldom(tmp_path: Path) -> None:
    """What the reading takes is a fiftieth of the time, at most."""
    now, reading = 0.0, 0.0

    def clock() -> float:
        nonlocal now
        now += reading
        return now

    table = tmp_path / "ipv6_route"
    routes = ProbedRoutes(tmp_path, clock)
    place = Address.parse("2a00:45::7")
    line = "2a000045" + 24 * "0" + " 20" + 5 * " 0" + " 0 80000001 lo\n"
    table.write_text(line)
    assert not routes.leadsHere(place)
    now, reading = 1.0, 0.1
    assert routes.leadsHere(place)
    reading = 0
    table.write_text("")
    now += 4.8
    assert routes.leadsHere(place)
    now += 0.3
    assert not routes.leadsHere(place)


def test_moreChangesThanTheSocketHolds() -> None:
    """Then everything may have changed."""
    routes = KernelRoutes()
    address = Address.parse("8.8.8.8")
    assert not routes.leadsHere(address)
    watching: Any = routes._watching

    class Overrun:
        left = 1

        def recv(self, size: int) -> bytes:
            if self.left:
                self.left -= 1
                raise OSError(errno.ENOBUFS, "No buffer space available")
            return bytes(watching.recv(size))

        def close(self) -> None:
            watching.close()

    routes._watching = Overrun()  # type: ignore[assignment]
    routes.look()
    assert routes.changes == 1
    assert routes._known == {}
    assert not routes.leadsHere(address)
    routes.close()


def test_aDevice() -> None:
    """Loopback's own address is self by loopback; where there is none, everything is."""
    assert KernelRoutes(device="lo").leadsHere(Address.parse("127.0.0.1"))
    assert not KernelRoutes(device="lo").leadsHere(Address.parse("8.8.8.8"))
    assert KernelRoutes(device="none").leadsHere(Address.parse("8.8.8.8"))


def test_aVRF(tmp_path: Path) -> None:
    """It is told by sysfs, and so is what belongs to one."""
    for name, text in (
        ("blue", "DEVTYPE=vrf\nINTERFACE=blue\n"),
        ("eth0", "INTERFACE=eth0\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "uevent").write_text(text)
    (tmp_path / "eth1").mkdir()
    (tmp_path / "eth1" / "master").symlink_to(tmp_path / "blue")
    found = {name: isInVRF(name, tmp_path) for name in ("blue", "eth0", "eth1", "none")}
    assert found == {"blue": True, "eth0": False, "eth1": True, "none": False}
