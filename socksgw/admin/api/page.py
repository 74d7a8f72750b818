"""
The dashboard: a page, and its parts, which show what the other paths tell.

The page itself tells nothing of the gateway, so that everybody may have it: it asks for
a token where one is needed, and for the rest as its holder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from socksgw.admin.fields import Field
from socksgw.admin.table import Answer, Asked, Entry, Refused

__all__ = ["ENTRIES", "KINDS"]

#: By the end of a file's name.
KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE: Final = "index.html"
#: All that the page needs comes from here; it is part of no other page.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def _files() -> dict[str, bytes]:
    """Return the page and its parts by name."""
    folder = files("socksgw.admin") / "dashboard"
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if each.name.rpartition(".")[2] in KINDS
    }


def _answer(name: str) -> Answer:
    try:
        octets = _files()[name]
    except KeyError:
        raise Refused(404, "the dashboard has no such part") from None
    kind = KINDS[name.rpartition(".")[2]]
    return Answer(octets, 200, kind, {"Content-Security-Policy": _POLICY})


def _page(_: Asked) -> Answer:
    return _answer(_PAGE)


def _part(asked: Asked) -> Answer:
    return _answer(asked.path["file"])


ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/",
        _page,
        "The dashboard, for browsers.",
        {200: None},
        role="",
        kinds=(KINDS["html"],),
    ),
    Entry(
        "GET",
        "/dashboard/{file}",
        _part,
        "A part of the dashboard.",
        {200: None},
        refuses=(404,),
        role="",
        inPath=(Field("file", "string", "Its name.", longest=64),),
        kinds=tuple(KINDS[each] for each in ("css", "js", "svg")),
    ),
)
