"""
Read what was asked: the fields of the path, the query and the body of a request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from socksgw.admin.fields import Field
from socksgw.admin.table import Refused
from socksgw.config.problems import nearest

__all__ = ["bodyFields", "pathFields", "queryFields"]

#: Fields that one query may have, and members of a body.
_MOST: Final = 64
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def pathFields(fields: Sequence[Field], found: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the fields of a path.

    @param found: what stands there.
    @raise Refused: one cannot be.
    """
    return {
        field.name: _checked(field, _parsed(field, unquote(found[field.name])))
        for field in fields
    }


def queryFields(fields: Sequence[Field], query: bytes) -> dict[str, Any]:
    """
    Return the fields of a query.

    @param query: what stands behind the question mark.
    @raise Refused: there is one that nobody asked for, or that cannot be.
    """
    known = {field.name: field for field in fields}
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST,
        )
    except ValueError:
        raise Refused(400, "the query cannot be read") from None
    found: dict[str, Any] = {}
    for name, text in pairs:
        field = _known(known, name)
        if field.kind == "strings":
            found.setdefault(name, []).append(text)
        elif name in found:
            raise Refused(400, f"{name}: is there twice")
        else:
            found[name] = _parsed(field, text)
    return _whole(known, found)


def bodyFields(fields: Sequence[Field], kind: str, octets: bytes) -> dict[str, Any]:
    """
    Return the members of a body.

    @param kind: its Content-Type.
    @raise Refused: it is no object in JSON, or has a member that cannot be.
    """
    if not fields:
        if octets:
            raise Refused(400, "nothing is read of a body here: send none")
        return {}
    known = {field.name: field for field in fields}
    if not octets:
        return _whole(known, {})
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the body has to be application/json")
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(found, dict) or len(found) > _MOST:
        raise Refused(400, "the body has to be an object")
    for name in found:
        _known(known, name)
    return _whole(known, found)


def _known(known: Mapping[str, Field], name: str) -> Field:
    try:
        return known[name]
    except KeyError:
        shown = "".join(c for c in name[:64] if c.isprintable())
        raise Refused(
            400, f'there is no field "{shown}"{nearest(shown, known)}'
        ) from None


def _whole(known: Mapping[str, Field], found: Mapping[str, Any]) -> dict[str, Any]:
    for field in known.values():
        if field.required and field.name not in found:
            raise Refused(400, f"{field.name}: is missing")
    return {name: _checked(known[name], value) for name, value in found.items()}


def _parsed(field: Field, text: str) -> Any:
    """Return the value that a text means."""
    try:
        match field.kind:
            case "integer":
                digits = text.removeprefix("-")
                if not digits.isascii() or not digits.isdigit() or len(text) > 20:
                    raise ValueError
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return _BOOLEANS[text.lower()]
            case _:
                return text
    except (ValueError, KeyError):
        raise Refused(400, f"{field.name}: must be {_kindOf(field)}") from None


def _kindOf(field: Field) -> str:
    return {
        "integer": "an integer",
        "number": "a number",
        "boolean": "true or false",
        "strings": "an array of strings",
        "string": "a string",
    }[field.kind]


def _checked(field: Field, value: Any) -> Any:
    kinds: dict[str, Any] = {"integer": int, "number": (int, float), "boolean": bool}
    good = isinstance(
        value, kinds.get(field.kind, str if field.kind == "string" else list)
    )
    if field.kind != "boolean" and isinstance(value, bool):
        good = False
    if not good:
        raise Refused(400, f"{field.name}: must be {_kindOf(field)}")
    for each in value if isinstance(value, list) else [value]:
        if field.kind in ("string", "strings"):
            if not isinstance(each, str):
                raise Refused(400, f"{field.name}: must be {_kindOf(field)}")
            if len(each) > field.longest:
                raise Refused(
                    400, f"{field.name}: has more than {field.longest} characters"
                )
            if "\0" in each:
                raise Refused(400, f"{field.name}: has a zero octet")
        if field.one and each not in field.one:
            raise Refused(400, f"{field.name}: must be one of {', '.join(field.one)}")
    if field.kind in ("integer", "number"):
        least, most = field.least, field.most
        if isinstance(value, float) and not isfinite(value):
            raise Refused(
                400, f"{field.name}: must be finite, and {_rangeOf(least, most)}"
            )
        if (least is not None and value < least) or (most is not None and value > most):
            raise Refused(400, f"{field.name}: must be {_rangeOf(least, most)}")
    return value


def _rangeOf(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "a number" if least is None else f"at least {least}"
    return f"from {least} to {most}"
