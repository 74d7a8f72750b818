"""
The kinds of sinks that are installed.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.audit.formats import FORMATS
from socksgw.interfaces import IAuditSink
from socksgw.system.discovery import discovered

__all__ = ["findSinks", "sinkIn"]


def findSinks() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{audit_*} of L{socksgw.plugins}.

    @return: the plug-ins by kind, and every module that is broken, with why.
    """
    return discovered(
        socksgw.plugins, "audit_", "sink of the kind", _sinksOf, name="kind"
    )


def sinkIn(module: str, kind: str) -> Any:
    """
    Return the plug-in of a kind from a module that is known to have it.
    """
    return next(each for each in import_module(module).sinks if each.kind == kind)


def _sinksOf(module: ModuleType) -> list[Any]:
    """
    Return the plug-ins of a module.

    @raise Invalid: they are not what they should be.
    """
    sinks = list(getattr(module, "sinks", ()))
    if not sinks:
        raise Invalid("has no module-level name `sinks` with one or more")
    for each in sinks:
        verifyObject(IAuditSink, each)
        for name in ("kind", "help", "target", "format"):
            if not isinstance(getattr(each, name), str):
                raise Invalid(f"the sink's {name} is not a string")
        if each.format not in ("", *FORMATS):
            raise Invalid(f'there is no format "{each.format}"')
    return sinks
