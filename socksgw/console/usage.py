"""
The parser of command lines, and the commands that it knows.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, final

__all__ = ["Parser", "Version", "commandsOf", "joined", "number"]

#: What argparse says of a word that is none of some; quoted in some versions.
_CHOICE: Final = re.compile(
    r"invalid choice: '([^']*)' \(choose from (.*)\)", re.DOTALL
)
#: What a time before now begins with.
_BACK: Final = re.compile(r"-\d")


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
            from socksgw.config.problems import nearest

            known = [each.strip("'") for each in match[2].split(", ")]
            message += nearest(match[1], known)
        super().error(message)


@final
class Version(argparse.Action):
    """Prints version and commit, and what the program runs on, and ends it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        """As C{argparse.Action.__call__}."""
        from socksgw.console.version import told

        print(told())
        parser.exit()


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


def joined(arguments: Sequence[str]) -> list[str]:
    """
    Join options of times and their values.

    argparse takes C{-2h} for an option, unless it stands behind an equals sign.

    @param arguments: those of the command line.
    """
    words: list[str] = []
    for word in arguments:
        if words and words[-1] in ("--since", "--until") and _BACK.match(word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def number(text: str) -> int:
    """
    Read how many lines are wanted.

    @raise argparse.ArgumentTypeError: it is no number from 1 on.
    """
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
