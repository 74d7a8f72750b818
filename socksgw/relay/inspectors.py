"""
The inspectors that are installed, found by the octet that a side begins with.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Any, final

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.interfaces import OTHER, UNKNOWN, IInspector

__all__ = ["Inspectors", "findInspectors"]


def findInspectors() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{inspect_*} of L{socksgw.plugins}.

    Other packages may have added folders to its path.

    @return: the inspectors by name, and every module that is broken, with why.
    """
    found: dict[str, Any] = {}
    broken: list[tuple[str, str]] = []
    for module in pkgutil.iter_modules(socksgw.plugins.__path__):
        if not module.name.startswith("inspect_"):
            continue
        name = f"{socksgw.plugins.__name__}.{module.name}"
        try:
            inspector = getattr(import_module(name), "inspector", None)
            if inspector is None:
                raise Invalid("has no module-level name `inspector`")
            verifyObject(IInspector, inspector)
            if inspector.name in (OTHER, UNKNOWN):
                raise Invalid(f'"{inspector.name}" is a word of the gateway\'s own')
        except Exception as e:
            # An import can fail with anything: it is reported, not hidden.
            why = str(e) if isinstance(e, Invalid) else f"{type(e).__name__}: {e}"
            broken.append((name, " ".join(why.split())))
        else:
            if inspector.name in found:
                broken.append((name, f'a second inspector named "{inspector.name}"'))
            else:
                found[inspector.name] = inspector
    return found, broken


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
