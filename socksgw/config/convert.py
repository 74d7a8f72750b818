"""
Conversion of TOML's values into frozen attrs values, without coercion.

Errors name the place in the file, and no names of Python.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import eq
from typing import Any, Final, Literal, get_args, get_origin

import cattrs
from attrs import Attribute, evolve, fields, has
from cattrs.cols import (
    homogenous_tuple_structure_factory,
    mapping_structure_factory,
)
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from socksgw.config.problems import Problem, nearest

__all__ = [
    "Duration",
    "Octets",
    "Wrong",
    "duration",
    "kindOf",
    "makeConverter",
    "octets",
    "problemsIn",
]


class Duration(float):
    """Seconds; in TOML C{"10s"}, C{"5m"}, C{"8h"}, C{"90d"}, C{"250ms"}."""


class Octets(int):
    """Octets; in TOML C{"256MB"} (10^6 octets), C{"64KiB"} (2^10), or an integer."""


_DURATION: Final = re.compile(r"(\d{1,12})(ms|s|m|h|d)\Z", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"(\d{1,18})(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?\Z", re.ASCII)
_OCTETS: Final = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


#: What is said of a string in place of a table.
_AS_STRING: Final = "must be a table, not a string"


class Wrong(ValueError):
    """A value of the wrong type; the text is for the user."""


def kindOf(value: object) -> str:
    """Return what TOML calls the type of a value."""
    for kind, name in (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (list, "an array"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _exactly(kind: type, name: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise Wrong(f"must be {name}, not {kindOf(value)}")
        return value

    return structure


def duration(value: Any, _: Any) -> Duration:
    """
    Convert text such as C{"10s"} into seconds.

    @raise Wrong: it is not a duration.
    """
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong('must be a duration such as "10s", "5m", "8h" or "90d"')
    return Duration(int(match[1]) * _SECONDS[match[2]])


def octets(value: Any, _: Any) -> Octets:
    """
    Convert text such as C{"64KiB"}, or an integer, into a number of octets.

    @raise Wrong: it is not a size.
    """
    text = str(value) if type(value) is int else value
    match = _SIZE.match(text) if isinstance(text, str) else None
    if match is None:
        raise Wrong('must be a size such as "256MB", "64KiB" or 4096')
    return Octets(int(match[1]) * _OCTETS[match[2]])


def _literal(value: Any, kind: Any) -> Any:
    words = get_args(kind)
    if type(value) is not str or value not in words:
        raise Wrong("must be one of " + ", ".join(f'"{w}"' for w in words))
    return value


def _tomlName(attribute: "Attribute[Any]") -> str | None:
    name: str | None = attribute.metadata.get("toml", attribute.name)
    return name


def _isA(origin: Any, kind: Any) -> bool:
    return get_origin(kind) is origin


def makeConverter(
    shapes: Sequence[tuple[Any, Callable[[Any, Any], Any]]],
) -> cattrs.Converter:
    """
    Return a converter that coerces nothing.

    @param shapes: types, each with the function that converts a value to it.
    """
    converter = cattrs.Converter(detailed_validation=True)
    for kind, name in (
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (bool, "true or false"),
    ):
        converter.register_structure_hook(kind, _exactly(kind, name))
    converter.register_structure_hook(Duration, duration)
    converter.register_structure_hook(Octets, octets)
    converter.register_structure_hook_func(partial(_isA, Literal), _literal)

    def array(kind: Any) -> Callable[[Any, Any], Any]:
        inner = homogenous_tuple_structure_factory(kind, converter)

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, list):
                hint = ""
                if isinstance(value, dict) and has(get_args(kind)[0]):
                    hint = "; write its header in double brackets"
                raise Wrong(f"must be an array, not {kindOf(value)}{hint}")
            return inner(value, cl)

        return structure

    def mapping(kind: Any) -> Callable[[Any, Any], Any]:
        inner = mapping_structure_factory(kind, converter, structure_to=dict)

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, dict):
                raise Wrong(f"must be a table, not {kindOf(value)}")
            return inner(value, cl)

        return structure

    def table(kind: Any) -> Callable[[Any, Any], Any]:
        overrides: dict[str, Any] = {
            a.name: cattrs.override(omit=True)
            if (name := _tomlName(a)) in (None, "*")
            else cattrs.override(rename=name)
            for a in fields(kind)
        }
        inner: Callable[[Any, Any], Any] = make_dict_structure_fn(
            kind, converter, _cattrs_forbid_extra_keys=True, **overrides
        )

        known = {_tomlName(a) for a in fields(kind)}
        rest = next((a for a in fields(kind) if _tomlName(a) == "*"), None)

        def structure(value: Any, cl: Any) -> Any:
            if not isinstance(value, dict):
                raise Wrong(f"must be a table, not {kindOf(value)}")
            if rest is None:
                return inner(value, cl)
            only = rest.metadata.get("only", object)
            free = {
                key: each
                for key, each in value.items()
                if key not in known and isinstance(each, only)
            }
            found = inner({k: v for k, v in value.items() if k not in free}, cl)
            return evolve(found, **{rest.name: free})

        return structure

    factory = converter.register_structure_hook_factory
    factory(partial(_isA, tuple), array)
    factory(partial(_isA, Mapping), mapping)
    factory(has, table)
    # A hook that is registered later comes first, so these are the last.
    for shape, hook in shapes:
        converter.register_structure_hook_func(partial(eq, shape), hook)
    return converter


def problemsIn(
    error: Exception, path: str = "", strings: str = ""
) -> Iterator[Problem]:
    """
    Yield every problem in a tree of cattrs errors.

    @param path: the TOML path of the value that could not be converted.
    @param strings: the key beside it that takes strings; empty for none.
    """
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            place = path
            for note in getattr(inner, "__notes__", ()):
                if isinstance(note, AttributeValidationNote):
                    attribute = getattr(fields(error.cl), note.name)
                    name = _tomlName(attribute)
                    place = f"{path}.{name}" if path else str(name)
                    names = {_tomlName(each) for each in fields(error.cl)}
                    strings = f"{name}s" if f"{name}s" in names else ""
                elif isinstance(note, IterableValidationNote):
                    place = (
                        f"{path}[{note.index}]"
                        if isinstance(note.index, int)
                        else f"{path}.{note.index}"
                    )
            yield from problemsIn(inner, place, strings)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [n for a in fields(error.cl) if (n := _tomlName(a)) not in (None, "*")]
        for key in sorted(error.extra_fields):
            place = f"{path}.{key}" if path else key
            yield Problem(place, f"unknown key{nearest(key, known)}")
    elif isinstance(error, KeyError):
        yield Problem(path, "is missing, and is needed")
    else:
        hint = (
            f"; {strings} takes strings" if strings and _AS_STRING in str(error) else ""
        )
        yield Problem(path, f"{error}{hint}")
