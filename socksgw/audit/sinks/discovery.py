"""
The kinds of sinks that are installed.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.audit.formats import FORMATS
from socksgw.interfaces import IAuditSink

__all__ = ["findSinks", "sinkIn"]


def findSinks() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{audit_*} of L{socksgw.plugins}.

    Other packages may have added folders to its path.

    @return: the plug-ins by kind, and every module that is broken, with why.
    """
    found: dict[str, Any] = {}
    broken: list[tuple[str, str]] = []
    for module in pkgutil.iter_modules(socksgw.plugins.__path__):
        if not module.name.startswith("audit_"):
            continue
        name = f"{socksgw.plugins.__name__}.{module.name}"
        try:
            sinks = _sinksOf(import_module(name))
        except Exception as e:
            # An import can fail with anything: it is reported, not hidden.
            why = str(e) if isinstance(e, Invalid) else f"{type(e).__name__}: {e}"
            broken.append((name, " ".join(why.split())))
            continue
        for sink in sinks:
            if sink.kind in found:
                broken.append((name, f'a second sink of the kind "{sink.kind}"'))
            else:
                found[sink.kind] = sink
    return found, broken


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
