"""
The table of everything that the admin interface serves.

Another subject is one more file in C{socksgw.admin.api}, and one more line here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.admin.api import (
    events,
    explain,
    grants,
    health,
    metrics,
    page,
    running,
    sessions,
)
from socksgw.admin.openapi import describing
from socksgw.admin.table import Entry

__all__ = ["ENTRIES", "find", "methodsOf"]

_SERVED: Final[Sequence[Entry]] = (
    *page.ENTRIES,
    *health.ENTRIES,
    *metrics.ENTRIES,
    *sessions.ENTRIES,
    *running.ENTRIES,
    *grants.ENTRIES,
    *explain.ENTRIES,
    *events.ENTRIES,
)

#: Every path with every method; the last one is the description of all.
ENTRIES: Final[Sequence[Entry]] = (*_SERVED, describing(_SERVED))


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches a path, whose fields are its groups."""
    parts = re.split(r"\{(\w+)\}", path)
    text = "".join(
        f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part)
        for i, part in enumerate(parts)
    )
    return re.compile(text)


_PATTERNS: Final[Sequence[tuple[re.Pattern[str], Mapping[str, Entry]]]] = [
    (_pattern(path), {each.method: each for each in ENTRIES if each.path == path})
    for path in dict.fromkeys(each.path for each in ENTRIES)
]


def find(method: str, path: str) -> tuple[Entry, Mapping[str, str]] | None:
    """
    Return the entry for a request, and the fields of its path.

    HEAD is served as GET is.

    @return: L{None} where nothing is served.
    """
    for pattern, entries in _PATTERNS:
        match = pattern.fullmatch(path)
        entry = entries.get("GET" if method == "HEAD" else method)
        if match is not None and entry is not None:
            return entry, match.groupdict()
    return None


def methodsOf(path: str) -> Sequence[str]:
    """Return the methods that a path is served with; none if it is not there."""
    for pattern, entries in _PATTERNS:
        if pattern.fullmatch(path) is not None:
            return [*entries, *(["HEAD"] if "GET" in entries else [])]
    return []
