"""
What former configurations leave behind, which is freed without holding up anybody.

Ten thousand rules take 50 ms to be freed in one go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred

from socksgw.config.schema import Config
from socksgw.gateway.generation import Generation
from socksgw.gateway.parts import Part
from socksgw.system.aside import collectorAside, givingWay
from socksgw.system.dismantling import dismantle

__all__ = ["Remains"]

#: Where the classes are of which there are many.
_PACKAGES: Final = frozenset(
    {"socksgw.config", "socksgw.config.schema", "socksgw.policy"}
)
#: References to what nobody else has: by a name, and by the question.
_OURS: Final = 2


class Service(Protocol):
    """The parts of a gateway that this needs."""

    @property
    def config(self) -> Config: ...

    @property
    def generation(self) -> Generation: ...

    def elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Do work in a thread."""


@final
class Remains(Part):
    """
    Keeps what was in force until nobody uses it, and has it freed in a thread.
    """

    named = "what was in force before"

    def __init__(self, gateway: Service) -> None:
        """Begin: nothing was in force before."""
        self._gateway = gateway
        self._left: list[object] = []
        self._now = self._heavy()

    def _heavy(self) -> tuple[object, object]:
        gateway = self._gateway
        return gateway.config, gateway.generation.ruleset

    def add(self, *left: object) -> None:
        """Have objects freed that are no longer used, or soon will not be."""
        self._left += left

    def look(self) -> None:
        """As L{Part.look}."""
        now = self._heavy()
        for before, each in zip(self._now, now, strict=True):
            if before is not each:
                self._left.append(before)
        self._now = now
        if not self._left:
            return
        unused, used = list[object](), list[object]()
        while self._left:
            each = self._left.pop()
            kept = unused if sys.getrefcount(each) <= _OURS else used
            kept.append(each)
        self._left = used
        del before, each
        if unused:
            self._gateway.elsewhere(partial(_free, unused))


def _free(unused: list[object]) -> None:
    with collectorAside(), givingWay():
        dismantle(unused, _PACKAGES)
