"""
What a plug-in reads of its table, against the keys that it declares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from socksgw.interfaces import Settings

__all__ = ["declared"]

#: What TOML has for a key, by the function that reads it.
_KINDS = {
    "word": "string",
    "words": "array of strings",
    "flag": "true or false",
    "number": "integer",
    "duration": "duration",
    "path": "string",
    "content": "string",
    "secret": "string",
}


def _recorded(settings: Settings) -> dict[str, tuple[str, Any]]:
    """
    Have settings keep account of who reads them.

    @return: of each key that has been read, what it is and its default.
    """
    read: dict[str, tuple[str, Any]] = {}

    def watched(name: str) -> Callable[..., Any]:
        found = getattr(settings, name)

        def reading(key: str, *given: Any, **named: Any) -> Any:
            before = read.get(key, ("", None))[1]
            read[key] = (
                _KINDS[name],
                given[0] if given and name != "content" else before,
            )
            return found(key, *given, **named)

        return reading

    for name in _KINDS:
        setattr(settings, name, watched(name))
    return read


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f'"{default:g}s"'
    if isinstance(default, tuple):
        return "[" + ", ".join(f'"{each}"' for each in default) + "]"
    return f'"{default}"' if isinstance(default, str) else str(default)


def declared(
    keys: Mapping[str, str],
    make: Callable[[Any], object],
    settings: Settings,
    *others: str,
) -> None:
    """
    See that what is declared is what is read: type, and default where it is one of
    the code's.

    @param make: makes what the table asks for.
    @param others: keys whose default is another key's value, and so is told in words.
    """
    read = _recorded(settings)
    make(settings)
    assert read.keys() <= keys.keys()
    for key, text in keys.items():
        match = re.match(
            r"([a-z ]+)(?:; (needed)|; default ``(.+?)``)?\. [A-Z`].*\.\Z", text
        )
        assert match is not None, text
        kind, default = read.get(key, (match[1], None))
        assert match[1] == kind, key
        if key in others or default in (None, ()):
            continue
        assert match[3] == _shown(default), key
