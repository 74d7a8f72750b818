"""
Search the journal: C{socksgw audit search}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, final

from socksgw.config.problems import ConfigError, Problem
from socksgw.config.schema import Config
from socksgw.console.human import Human
from socksgw.console.verify import remedy
from socksgw.console.wanted import WrongUse, criteriaOf
from socksgw.records.criteria import DENIED, Criteria
from socksgw.records.scan import Odd
from socksgw.records.searching import journalSpan, newest, search
from socksgw.report.words import counted
from socksgw.system.output import printable

__all__ = ["Lines", "advice", "rulePlace", "searchMain"]

#: What decided where that is no rule of the configuration.
_OWN: Final = {
    "default": "no rule allows it, and so it is denied",
    "never": "the table [never]",
    "limit": "a limit: socksgw help limits",
}
#: Where a rule stands, by its id; empty where it is not in the configuration.
Place = Callable[[str], str]


def rulePlace(config: Config, rule: str) -> str:
    """
    Return where a rule of a configuration stands, for people.

    @return: empty where the configuration does not have it.
    """
    found = next((each for each in config.rule if each.id == rule), None)
    if found is None:
        return _OWN.get(rule, "")
    problem = Problem(found.place, "")
    (place,) = ConfigError(config.file, [problem], config.positions).findings()
    return f"{place.file}: {place.path}"


@final
class Lines:
    """
    Prints lines of the journal, each as one line for people, whatever its event.
    """

    def __init__(
        self, out: TextIO, colour: bool, config: str = "", width: int = 0
    ) -> None:
        """
        Print to a stream.

        @param config: the configuration's file, for the commands to try.
        @param width: columns of the terminal; 0 for no limit.
        """
        self._out = out
        self._human = Human(colour, config, width, whole=True)
        self._day = ""

    def print(self, line: Mapping[str, Any]) -> None:
        """Print a line; before it the day, where that is another one."""
        day = line["time"][:10]
        if day != self._day:
            self._day = day
            print(f"{day}:", file=self._out)
        print(self._human.read(line), file=self._out)


def searchMain(
    options: Any,
    directory: Path,
    out: TextIO,
    colour: bool,
    width: int,
    placeOf: Place,
) -> int:
    """
    Print the lines that are wanted.

    @param options: of the command line.
    @param placeOf: says where a rule stands.
    @return: the exit status: 0 found, 1 nothing found, 2 wrong use, or the journal
        cannot be read.
    """
    try:
        criteria = criteriaOf(options)
    except WrongUse as e:
        print(f"socksgw audit search: {e}", file=sys.stderr)
        return 2
    try:
        odd = Odd()
        found = _found(directory, criteria, options, odd)
        if options.count:
            number = sum(1 for _ in found)
            print(number, file=out)
            tellOdd("socksgw audit search", odd.lines)
            return 0 if number else 1
        last = _print(found, options, out, colour, width)
        tellOdd("socksgw audit search", odd.lines)
        if last is None:
            _nothing(directory)
            return 1
    except OSError as e:
        if isinstance(e, BrokenPipeError):
            raise
        print(f"socksgw audit search: {directory}: {remedy(e)}", file=sys.stderr)
        return 2
    if options.last is not None and not options.json:
        for text in advice(last, options.config or "", placeOf):
            print(text, file=out)
    return 0


def tellOdd(command: str, lines: int) -> None:
    """Tell how many lines of the journal a command has passed over."""
    if lines:
        print(
            f"{command}: {counted(lines, 'line')} of the journal passed over, not "
            "written by the gateway, or damaged: see socksgw audit verify",
            file=sys.stderr,
        )


def _found(
    directory: Path, criteria: Criteria, options: Any, odd: Odd
) -> Iterable[bytes]:
    if options.last is not None:
        return newest(directory, criteria, options.last)
    lines = search(directory, criteria, ends=options.ends, odd=odd)
    return _first(lines, options.limit)


def _first(lines: Iterable[bytes], limit: int | None) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number == limit:
            print(
                f"… there are more: --limit {limit}, or --since the last time",
                file=sys.stderr,
            )
            return
        yield line


def _print(
    lines: Iterable[bytes], options: Any, out: TextIO, colour: bool, width: int
) -> Mapping[str, Any] | None:
    """Print lines, and return the last one; L{None} without any."""
    last: bytes | None = None
    human = Lines(out, colour, options.config or "", width)
    for last in lines:
        if options.json:
            out.write(f"{last.decode('ascii')}\n")
        else:
            human.print(json.loads(last))
    if last is None:
        return None
    line: Mapping[str, Any] = json.loads(last)
    return line


def _nothing(directory: Path) -> None:
    held = journalSpan(directory)
    if held is None:
        print(f"nothing found: {directory} has no lines yet", file=sys.stderr)
        return
    first, last = held
    print(
        f"nothing found: {directory} has lines {first.number} to {last.number}, of "
        f"{first.time} to {last.time}",
        file=sys.stderr,
    )


def advice(line: Mapping[str, Any], config: str, placeOf: Place) -> Iterator[str]:
    """
    Yield where the rule of a line stands, and what to ask next.

    @param config: the configuration's file, for the command.
    """
    rule = line.get("rule")
    if rule:
        yield f'  rule  "{printable(rule)}": {placeOf(rule) or "not in the configuration now"}'
    why = ": ".join(filter(None, (line.get("reason"), line.get("why"))))
    if why and (line.get("verdict") == "deny" or line["event"] in DENIED):
        yield f"  why   {printable(why)}"
    command = f"socksgw explain --record {line['n']}"
    if config:
        command += f" --config {printable(config)}"
    yield f"  next  {command}"
