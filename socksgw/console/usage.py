"""
The parser of command lines, and the commands that it knows.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Final, NoReturn, final

from socksgw.config.problems import nearest

__all__ = ["Parser", "commandsOf"]

#: What argparse says of a word that is none of some; quoted in some versions.
_CHOICE: Final = re.compile(
    r"invalid choice: '([^']*)' \(choose from (.*)\)", re.DOTALL
)


@final
class Parser(argparse.ArgumentParser):
    """
    A parser that names the word which was meant, where it is misspelt.

    Python 3.14 can do that by itself.
    """

    def error(self, message: str) -> NoReturn:
        """As C{argparse.ArgumentParser.error}."""
        match = _CHOICE.search(message)
        if match is not None:
            known = [each.strip("'") for each in match[2].split(", ")]
            message += nearest(match[1], known)
        super().error(message)


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
