"""
The words that may follow on a command line, read from its parser.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from socksgw.console.manual import chapters
from socksgw.console.usage import commandsOf

__all__ = ["Command", "Option", "Value", "wordsOf"]

#: Arguments that name a file, by what the help calls them.
_FILES: Final = frozenset({"FILE", "DIRECTORY", "JOURNAL", "PATH", "OLD", "NEW"})


@frozen
class Value:
    """
    What is given to an option, or stands by itself.

    @ivar name: as the help calls it.
    @ivar choices: all that it may be, or empty.
    @ivar file: whether it is the name of a file.
    @ivar many: whether more than one may follow.
    """

    name: str
    choices: tuple[str, ...]
    file: bool
    many: bool


@frozen
class Option:
    """
    An option.

    @ivar names: C{-h} and C{--help}, for example.
    @ivar about: a line about it.
    @ivar value: what follows; L{None} if nothing does.
    @ivar again: whether it may be given more than once.
    """

    names: tuple[str, ...]
    about: str
    value: Value | None
    again: bool


@frozen
class Command:
    """
    A command, or what comes before all of them.

    @ivar words: those that call it; none for the program itself.
    @ivar options: its options.
    @ivar values: its arguments, in their order.
    @ivar below: the commands that may follow, with a line about each.
    """

    words: tuple[str, ...]
    options: tuple[Option, ...]
    values: tuple[Value, ...]
    below: Mapping[str, str]


def _line(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return " ".join(text.split())


def _value(action: argparse.Action) -> Value:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    choices = tuple(map(str, action.choices or ()))
    if name == "TOPIC":
        choices = tuple(chapters())
    many = action.nargs in ("*", "+")
    return Value(name, choices, not choices and name in _FILES, many)


def _command(words: tuple[str, ...], parser: argparse.ArgumentParser) -> Command:
    options, values = [], []
    below: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below.update(
                (each.dest, _line(each, parser)) for each in action._choices_actions
            )
        elif action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            again = isinstance(action, argparse._AppendAction)
            names = tuple(action.option_strings)
            options.append(Option(names, _line(action, parser), value, again))
        else:
            values.append(_value(action))
    return Command(words, tuple(options), tuple(values), below)


def wordsOf(parser: argparse.ArgumentParser) -> Sequence[Command]:
    """
    Return the program's own words, and those of each command.

    @param parser: of the whole command line.
    """
    return [
        _command((), parser),
        *(
            _command(tuple(name.split(" ")), inner)
            for name, inner in commandsOf(parser).items()
        ),
    ]
