"""
Read the chapters of the manual, and find words in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from attrs import frozen

from socksgw.console.reference import referenceText

__all__ = ["CONFIGURATION", "Section", "chapters", "mentions", "sections", "titleOf"]

#: The chapter that ends with the reference of all keys.
CONFIGURATION: Final = "configuration"
#: A heading: its text, and the line below it.
_HEADING: Final = re.compile(r"(?m)^(\S.*)\n(=+|-+)\n")
#: The order in which the chapters are listed.
_ORDER: Final = (
    "clients", "agent", "sessions", CONFIGURATION, "networks", "outgoing", "rules",
    "limits", "inspection", "upstreams", "decider", "grants", "suggest", "login",
    "local", "tls", "ipsec", "frontends", "gateways", "transparent",
    "activedirectory", "kerberos", "chap", "http", "socks6", "multicast",
    "tokens",
    "directories", "plugins", "client", "run", "embedding", "packages", "operations", "workers", "cluster",
    "restart",
    "admin", "metrics",
    "troubleshooting", "records", "report", "sinks", "collectors", "warehouse",
    "dante", "3proxy", "squid", "beyond", "performance", "contributing",
)  # fmt: skip


@frozen
class Section:
    """
    A part of a chapter under a heading.

    @ivar chapter: the chapter's name.
    @ivar heading: the heading's text.
    @ivar text: the part, heading included, up to the next heading.
    """

    chapter: str
    heading: str
    text: str


def chapters() -> Mapping[str, str]:
    """Return the text of every chapter, by its name, in their order."""
    folder = files("socksgw") / "manual"
    found = {
        each.name.removesuffix(".rst"): each.read_text("utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".rst")
    }
    found[CONFIGURATION] += f"\n\n{referenceText()}"
    return {name: found[name] for name in sorted(found, key=_ORDER.index)}


def titleOf(text: str) -> str:
    """Return the title of a chapter."""
    return text.partition("\n")[0]


def sections(name: str, text: str) -> Iterator[Section]:
    """Yield the parts of a chapter, that under its title first."""
    starts = [match.start() for match in _HEADING.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end].strip("\n")
        yield Section(name, part.partition("\n")[0].replace("``", ""), part)


def mentions(word: str, text: Mapping[str, str]) -> list[Section]:
    """
    Return the parts of the manual that contain a word.

    @param text: the chapters.
    """
    pattern = re.compile(rf"(?i)(?<!\w){re.escape(word)}(?!\w)")
    return [
        section
        for name, chapter in text.items()
        for section in sections(name, chapter)
        if pattern.search(section.text)
    ]
