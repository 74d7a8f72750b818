"""
List the commands that a parser of command lines knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

__all__ = ["commandsOf"]


def commandsOf(
    parser: argparse.ArgumentParser,
) -> Mapping[str, argparse.ArgumentParser]:
    """
    Return the parser of each command, by the words that call it.

    @return: commands of commands are among them, as C{audit verify}, after the one
        that they belong to.
    """
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found[name] = inner
                for below, command in commandsOf(inner).items():
                    found[f"{name} {below}"] = command
    return found
