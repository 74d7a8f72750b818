"""
Answers about routes are kept, and a forked process asks by itself.
"""

from __future__ import annotations

import os

from socksgw.gateway.keptroutes import KeptRoutes
from socksgw.wire.address import Address

HERE = Address.parse("192.0.2.1")
THERE = Address.parse("192.0.2.2")


class Routes:
    """Routes that note what they are asked, and in which process."""

    changes = 0

    def __init__(self) -> None:
        self.made = os.getpid()
        self.asked: list[Address] = []

    def leadsHere(self, address: Address) -> bool:
        assert self.made == os.getpid()
        self.asked.append(address)
        return address == HERE

    def look(self) -> None:
        """Nothing changes."""

    def close(self) -> None:
        """Nothing is open."""


def test_kept() -> None:
    """Each is asked for once."""
    routes = Routes()
    kept = KeptRoutes(lambda: routes)
    assert [kept.leadsHere(each) for each in (HERE, THERE, HERE)] == [True, False, True]
    assert routes.asked == [HERE, THERE]


def test_forked() -> None:
    """What was known is, and the rest is asked by a source of the process's own."""
    kept = KeptRoutes(Routes)
    assert kept.leadsHere(HERE)
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if kept.leadsHere(HERE) and not kept.leadsHere(THERE) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
