"""
The plug-ins that are installed: C{socksgw plugins}.
"""

from __future__ import annotations

from typing import TextIO

from socksgw.audit.sinks.discovery import findSinks
from socksgw.login.discovery import brokenPlugins, findCheckers
from socksgw.negotiate.capabilities import Capabilities, capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.relay.inspectors import findInspectors

__all__ = ["assumedOf", "pluginsMain"]


def pluginsMain(out: TextIO) -> int:
    """
    List what is installed: methods, checkers, sinks and inspectors; and what is broken.

    @return: the exit status: 1 if a plug-in is broken.
    """
    methods, broken = findMethods()
    for name, method in sorted(methods.items()):
        print(
            f"method  {name:<12} {method.help}{assumedOf(capabilitiesOf(method))}",
            file=out,
        )
    checkers, ambiguous = findCheckers()
    for kind, factory in sorted(checkers.items()):
        # A Twisted plug-in's help is a text of several lines.
        text = factory.authHelp.strip().replace("\n", " ")
        print(f"checker {kind:<12} {text.partition('. ')[0]}", file=out)
    sinks, unusable = findSinks()
    for kind, sink in sorted(sinks.items()):
        print(f"sink    {kind:<12} {sink.help}", file=out)
    inspectors, wrong = findInspectors()
    for name, inspector in sorted(inspectors.items()):
        print(f"looks   {name:<12} {inspector.help}", file=out)
    broken += wrong + ambiguous + unusable + brokenPlugins()
    for module, why in broken:
        print(f"BROKEN  {module}: {why}", file=out)
    return 1 if broken else 0


def assumedOf(can: Capabilities) -> str:
    """
    Return what is assumed of a method, since it does not declare otherwise.

    @return: words for people, in parentheses; empty if it declares everything.
    """
    assumed = []
    if can.anonymous is None:
        assumed.append("lets in without a login")
    if can.cleartext is None:
        assumed.append("shows passwords to the wire")
    if can.credentials is None and can.needsChecker:
        assumed.append("needs some checker")
    return f" (not declared, so assumed: {', '.join(assumed)})" if assumed else ""
