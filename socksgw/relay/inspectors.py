"""
The inspectors that are installed, found by the octet that a side begins with.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, final

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.interfaces import OTHER, UNKNOWN, IInspector
from socksgw.system.discovery import discovered

__all__ = ["Inspectors", "findInspectors"]


def findInspectors() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{inspect_*} of L{socksgw.plugins}.

    @return: the inspectors by name, and every module that is broken, with why.
    """
    return discovered(socksgw.plugins, "inspect_", "inspector named", _inspectorIn)


def _inspectorIn(module: ModuleType) -> list[Any]:
    """
    Return the inspector of a module.

    @raise Invalid: it is not what it should be.
    """
    inspector = getattr(module, "inspector", None)
    if inspector is None:
        raise Invalid("has no module-level name `inspector`")
    verifyObject(IInspector, inspector)
    if inspector.name in (OTHER, UNKNOWN):
        raise Invalid(f'"{inspector.name}" is a word of the gateway\'s own')
    return [inspector]


@final
class Inspectors:
    """
    The inspectors of one generation.

    @ivar ofClient: for each octet with which a client may begin, what looks then.
    @ivar ofServer: the same of a server that speaks first.
    """

    __slots__ = ("ofClient", "ofServer")

    def __init__(self, inspectors: Iterable[Any]) -> None:
        every = list(inspectors)
        self.ofClient = _table([(each.fromClient, each) for each in every])
        self.ofServer = _table([(each.fromServer, each) for each in every])


def _table(looking: list[tuple[bytes, Any]]) -> tuple[tuple[Any, ...], ...]:
    """
    Return what looks, for each first octet.

    What knows few first octets looks first: it is most likely the one.
    """
    looking.sort(key=lambda each: len(each[0]))
    return tuple(
        tuple(each for octets, each in looking if octet in octets)
        for octet in range(256)
    )
