"""
The checkers that are installed.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from twisted.cred.strcred import findCheckerFactories
from twisted.plugins.cred_file import FileCheckerFactory
from zope.interface import classImplements

import twisted.plugins
from socksgw.interfaces import IFileCheckerFactory

__all__ = ["brokenPlugins", "findCheckers"]

# Twisted's own cannot declare it.
classImplements(FileCheckerFactory, IFileCheckerFactory)


def findCheckers() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Every checker's factory that Twisted finds.

    @return: the factories by C{authType}, and those that cannot be told from
        another one, each with why; of these none is among the factories.
    """
    found: dict[str, Any] = {}
    twice: dict[str, str] = {}
    for factory in findCheckerFactories():
        kind = factory.authType
        if kind in found:
            twice[kind] = type(factory).__module__
        found.setdefault(kind, factory)
    for kind in twice:
        del found[kind]
    return found, [(m, f'a second checker named "{k}"') for k, m in twice.items()]


def brokenPlugins() -> list[tuple[str, str]]:
    """
    Return the modules among Twisted's plug-ins that cannot be imported.

    Twisted only logs that. What such a module would have declared is not known.

    @return: the name of each, with why.
    """
    broken: list[tuple[str, str]] = []
    for module in pkgutil.iter_modules(twisted.plugins.__path__):
        name = f"{twisted.plugins.__name__}.{module.name}"
        try:
            import_module(name)
        except Exception as e:
            why = f"{type(e).__name__}: {e}"
            broken.append((name, " ".join(why.split())))
    return broken
