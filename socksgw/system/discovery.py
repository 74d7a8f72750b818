"""
Find plug-ins: modules of a package whose names tell what they have.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any

from zope.interface.exceptions import Invalid

__all__ = ["discovered"]


def discovered(
    package: ModuleType,
    prefix: str,
    what: str,
    pluginsIn: Callable[[ModuleType], Iterable[Any]],
    name: str = "name",
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module of a package whose name begins with some word.

    Other packages may have added folders to its path.

    @param what: what they have, as people call it.
    @param pluginsIn: returns what a module has; raises C{Invalid} for what is wrong.
    @param name: the attribute that tells the plug-ins apart.
    @return: the plug-ins by name, and every module that is broken, with why.
    """
    nameOf = attrgetter(name)
    found: dict[str, Any] = {}
    broken: list[tuple[str, str]] = []
    for each in pkgutil.iter_modules(package.__path__):
        if not each.name.startswith(prefix):
            continue
        module = f"{package.__name__}.{each.name}"
        try:
            plugins = list(pluginsIn(import_module(module)))
        except Exception as e:
            # An import can fail with anything: it is reported, not hidden.
            why = str(e) if isinstance(e, Invalid) else f"{type(e).__name__}: {e}"
            broken.append((module, " ".join(why.split())))
            continue
        for plugin in plugins:
            if nameOf(plugin) in found:
                broken.append((module, f'a second {what} "{nameOf(plugin)}"'))
            else:
                found[nameOf(plugin)] = plugin
    return found, broken
