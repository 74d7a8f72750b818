"""
Reading of the configuration file, from TOML into the classes of the schema.

L{load} raises L{ConfigError} with all problems at once. It looks at keys and types
only. What the values mean together (undeclared names, unreachable rules, exposed
listeners) is examined by L{socksgw.gateway.examination}.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, fields_dict
from cattrs.errors import BaseValidationError

from socksgw.config.convert import (
    problemsIn,
)
from socksgw.config.hooks import CONVERTER
from socksgw.config.lists import listed
from socksgw.config.positions import Positions
from socksgw.config.problems import ConfigError, Problem
from socksgw.config.schema import (
    Config,
    Included,
)
from socksgw.system.files import isWide, unmarked

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

__all__ = ["ConfigError", "included", "load", "loadAs", "loads", "refused", "relisted"]

T = TypeVar("T")
C = TypeVar("C", Config, Included)


def _parsed(text: str, file: str) -> Any:
    """
    Parse TOML.

    @raise ConfigError: the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"\(at (.*)\)\Z", str(e))
        what = str(e)[: place.start()].strip() if place else str(e)
        where = place[1] if place else "end of document"
        if where == "end of document":
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
            where = f"line {line}, column {column}"
    except (ValueError, RecursionError):
        where = "somewhere"
        what = "a number has too many digits, or arrays are nested too deeply"
    if what == "Invalid value":
        what += " (a string stands in quotes, true and false in lower case)"
    elif what.startswith("Cannot declare"):
        what += "; tables of which there are several have two brackets, as [[rule]]"
    raise ConfigError(file, [Problem("", f"{where}: {what}")])


def _read(path: Path, file: str) -> str:
    """
    Return the text of a file.

    @param file: the name of the file in errors.
    @raise ConfigError: the file cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            # Opening a FIFO would wait until another process opens it, too.
            why = "cannot be read: not a regular file; check the path"
            raise ConfigError(file, [Problem("", why)])
        octets = path.read_bytes()
        if isWide(octets):
            raise ConfigError(file, [Problem("", "is UTF-16; save the file as UTF-8")])
        return unmarked(octets).decode("utf-8")
    except OSError as e:
        why = f"cannot be read: {e.strerror}; check the path and its permissions"
    except UnicodeDecodeError as e:
        why = f"octet {e.start}: not UTF-8; save the file as UTF-8"
    raise ConfigError(file, [Problem("", why)])


def loads(text: str, file: str, directory: Path = Path()) -> Config:
    """
    Return the configuration in a text.

    @param file: the name of the file in errors.
    @param directory: the directory for relative paths.
    @raise ConfigError: keys or types are wrong.
    """
    problems: list[Problem] = []
    positions = {"": Positions(text)}
    digest = sha256(text.encode())
    config = _structured(_parsed(text, file), Config, problems) or Config()
    config = _placed(config, "")
    for i, pattern in enumerate(config.include):
        try:
            paths = included(directory, pattern)
        except ValueError as e:
            problems.append(Problem(f"include[{i}]", f'"{pattern}": {e}'))
        else:
            config = _including(config, paths, directory, problems, positions, digest)
    written = digest.hexdigest()
    config = evolve(config, written=written, digest=written)
    config = listed(config, directory, _read, problems, positions)
    if problems:
        raise ConfigError(file, problems, positions)
    return evolve(config, file=file, directory=directory, positions=positions)


def _structured(document: Any, kind: type[T], problems: list[Problem]) -> T | None:
    try:
        return CONVERTER.structure(document, kind)
    except BaseValidationError as e:
        found = problemsIn(e)
        problems.extend(_placedWrong(each, kind) for each in found)
    return None


def _placedWrong(problem: Problem, kind: type) -> Problem:
    """
    Add a remedy to the problem of a key that belongs somewhere else.
    """
    if problem.text != "unknown key":
        return problem
    if kind is Included and problem.path in fields_dict(Config):
        why = "unknown key in an included file, which holds rules and what they name"
        return Problem(problem.path, f"{why}; move it to the file that includes it")
    if problem.path.endswith(".include"):
        return Problem(problem.path, "unknown key; move it above the first table")
    return problem


def _placed(config: C, file: str) -> C:
    """
    Return the configuration with the TOML path in each rule and expectation.

    @param file: the name of the included file, or empty.
    """
    before = f"{file}: " if file else ""
    return evolve(
        config,
        rule=tuple(
            evolve(rule, place=f"{before}rule[{i}]")
            for i, rule in enumerate(config.rule)
        ),
        expect=tuple(
            evolve(each, place=f"{before}expect[{i}]")
            for i, each in enumerate(config.expect)
        ),
    )


def included(directory: Path, pattern: str) -> list[Path]:
    """
    Return the files of one pattern of C{include}, in the order of their names.

    @raise ValueError: it is not a pattern, or it names one file that is missing
        (the rules in it may be those that deny).
    """
    root = Path("/") if pattern.startswith("/") else directory
    within = pattern.lstrip("/")
    if not within or "\0" in within:
        raise ValueError("is not a pattern of file names")
    if any(each in within for each in "*?["):
        return sorted(root.glob(within))
    if not (root / within).exists():
        raise ValueError("there is no such file")
    return [root / within]


def _including(
    config: Config,
    paths: Sequence[Path],
    directory: Path,
    problems: list[Problem],
    positions: dict[str, Positions],
    digest: Hash,
) -> Config:
    """
    Return the configuration with the content of included files added.
    """
    for path in paths:
        name = (
            str(path.relative_to(directory))
            if path.is_relative_to(directory)
            else (str(path))
        )
        inside: list[Problem] = []
        try:
            text = _read(path, name)
            document = _parsed(text, name)
            positions[name] = Positions(text)
            digest.update(text.encode())
            part = _structured(document, Included, inside)
        except ConfigError as e:
            inside += e.problems
            part = None
        if part is not None:
            part = _placed(part, name)
            changes: dict[str, Any] = {
                "rule": config.rule + part.rule,
                "expect": config.expect + part.expect,
            }
            for table in ("groups", "networks", "services", "schedules"):
                mine, more = getattr(config, table), getattr(part, table)
                for key in mine.keys() & more.keys():
                    inside.append(Problem(f"{table}.{key}", "is declared twice"))
                changes[table] = {**mine, **more}
            config = evolve(config, **changes)
        problems += [Problem(_within(name, each.path), each.text) for each in inside]
    return config


def _within(file: str, path: str) -> str:
    return f"{file}: {path}" if path else file


def refused(config: Config, problems: Sequence[Problem]) -> ConfigError:
    """
    Return an exception for problems of a configuration.

    Its lines name the file and the line of each problem.
    """
    file = config.file or "the command line"
    return ConfigError(file, [*problems], config.positions)


def load(file: str) -> Config:
    """
    Return the configuration in a file.

    @param file: the name as the user gave it.
    @raise ConfigError: the file cannot be read, or keys or types are wrong.
    """
    path = Path(file)
    return loads(_read(path, file), file, path.absolute().parent)


def relisted(config: Config) -> Config:
    """
    Return a configuration with what the files of its C{[networks]} hold now.

    @raise ConfigError: one of them cannot be read.
    """
    problems: list[Problem] = []
    positions = dict(config.positions)
    found = listed(config, config.directory, _read, problems, positions)
    if problems:
        raise ConfigError(config.file, problems, positions)
    return evolve(found, positions=positions)


def loadAs(file: str, kind: type[T]) -> T:
    """
    Return another file than the configuration, whose keys are those of a class.

    @param kind: a class of attrs.
    @raise ConfigError: as L{load}.
    """
    text = _read(Path(file), file)
    problems: list[Problem] = []
    found = _structured(_parsed(text, file), kind, problems)
    if found is None or problems:
        raise ConfigError(file, problems, {"": Positions(text)})
    return found
