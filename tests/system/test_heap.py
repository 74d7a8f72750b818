"""
What a crowd leaves.
"""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref

import pytest

from socksgw.system.heap import Heap, trim
from tests.live.running import ROOT, environment


@pytest.mark.parametrize(
    ("clients", "times"),
    [
        ([0, 10, 0, 10, 0], 0),
        ([0, 249, 0], 0),
        ([0, 250, 0], 1),
        ([1000, 600, 501], 0),
        ([1000, 600, 500, 400, 300], 1),
        ([1000, 500, 250, 0], 3),
        ([250, 0, 250, 0], 2),
        ([250] + [0] * 20, 1),
        ([250] + [0] * 200, 2),
        ([1000, 500] + [300] * 200, 2),
    ],
)
def test_crowds(clients: list[int], times: int) -> None:
    """
    Memory is given back once for each half of a crowd that has gone, and once
    after the last.
    """
    trimmed: list[None] = []
    heap = Heap(lambda: trimmed.append(None))
    for each in clients:
        heap.look(each)
    assert len(trimmed) == times


@pytest.mark.parametrize(("left", "collected"), [(1000, True), (1001, False)])
def test_whatOnlyTheCollectorFrees(left: int, collected: bool) -> None:
    """It is freed, unless those who are left would wait too long for that."""

    class Circle: ...

    circle = Circle()
    circle.itself = circle  # type: ignore[attr-defined]
    gone = weakref.ref(circle)
    heap = Heap(lambda: None)
    heap.look(9000)
    gc.disable()
    try:
        del circle
        heap.look(left)
        assert (gone() is None) is collected
    finally:
        gc.enable()


def test_memoryIsGivenBack() -> None:
    """What lies free below something that lives goes back to the kernel."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) << 12

    trim()
    crowd = [bytes(100_000) for _ in range(500)]
    living = bytes(100_000)
    full = resident()
    crowd.clear()
    trim()
    assert living
    assert resident() < full - 30_000_000


#: Says how many octets of a crowd's small objects stay when one in 5,000 lives.
_SCATTERED = """
from socksgw.system.heap import trim
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) << 12
trim()
before = resident()
crowd = [bytes(100) for _ in range(200_000)]
living = crowd[::5000]
crowd = None
trim()
print(resident() - before)
"""


def test_theUnitLetsSmallObjectsGo() -> None:
    """Those that outlive a crowd keep their own pages, and no MiB each."""
    unit = (ROOT / "etc" / "socksgw.service").read_text()
    set_ = dict(re.findall(r"^Environment=(\w+)=(\S+)$", unit, re.MULTILINE))
    found = subprocess.run(
        [sys.executable, "-c", _SCATTERED],
        env={**environment(), **set_},
        capture_output=True,
        check=True,
        text=True,
    )
    assert int(found.stdout) < 4_000_000
