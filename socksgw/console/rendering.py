"""
reStructuredText for the terminal.

The marks of the source are taken away; where the terminal can show that, headings
become bold, and what was marked is underlined.

Only what the manual uses is known: headings, paragraphs, lists, definitions, literal
blocks, simple tables. Anything else is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

__all__ = ["rendered"]

_DIRECTIVE: Final = re.compile(r"\.\. ")
_UNDERLINE: Final = re.compile(r"(=+|-+|~+)\Z")
_BORDER: Final = re.compile(r"=+(  +=+)+\Z")
_MARKED: Final = re.compile(r"``(.+?)``|(?<![\w*])\*(\w[^*]*?)\*(?![\w*])", re.DOTALL)
#: What begins an entry of a list.
_ENTRY: Final = re.compile(r"\s*(?:[-*]|\d+\.) (?=\S)")
_ESCAPE: Final = re.compile(r"\x1b\[\d+m")
#: The columns of a paragraph, and what stands for a space at which no line ends.
_WIDTH: Final = 79
_JOINED: Final = "\xa0"
_BOLD: Final = "\x1b[1m"
_UNDERLINED: Final = "\x1b[4m"
_PLAIN: Final = "\x1b[0m"


def rendered(text: str, coloured: bool = False, width: int = _WIDTH) -> str:
    """
    Return a text of the manual as it is shown.

    @param coloured: whether escape sequences may be used.
    @param width: the columns that paragraphs may take.
    """
    lines: list[str] = []
    for kind, part in groupby(_parts(text), key=lambda each: each[0]):
        found = [line for _, line in part]
        if kind == "literal":
            lines += found
        elif kind == "table":
            lines += _table(found, coloured)
        elif kind == "heading":
            lines += _headings(found, coloured)
        else:
            for first, rest, words in _paragraphs(found):
                lines += _filled(first, rest, _marked(words, coloured), width)
    return "\n".join(lines).strip("\n") + "\n"


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line that is shown, with what it is a part of."""
    lines = text.split("\n")
    inTable = False
    #: The indentation of the paragraph that a literal block belongs to.
    outside: int | None = None
    #: Whether only a mark stood before a literal block, so that one empty line is due.
    alone = False
    skipping = False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        indent = len(line) - len(line.lstrip())
        if outside is not None and (not line.strip() or indent > outside):
            if line.strip() or not alone:
                yield "literal", line
            alone = False
            continue
        outside, alone = None, False
        if skipping and (not line.strip() or indent):
            continue
        skipping = False
        if line.startswith(".. code-block::"):
            outside, alone = 0, True
        elif _DIRECTIVE.match(line):
            skipping = True
        elif _BORDER.match(line) or inTable:
            yield "table", line
            # A table ends at a border that is followed by an empty line.
            inTable = not (_BORDER.match(line) and not following.strip())
        elif _isHeading(line, following) or (i and _isHeading(lines[i - 1], line)):
            yield "heading", line
        elif line.rstrip().endswith("::"):
            outside, alone = indent, line.strip() == "::"
            if not alone:
                yield "text", line.rstrip()[:-1]
        else:
            yield "text", line


def _isHeading(line: str, following: str) -> bool:
    return (
        bool(line)
        and not line[0].isspace()
        and _UNDERLINE.match(following) is not None
        and len(following) >= len(line)
        and _UNDERLINE.match(line) is None
    )


def _headings(lines: list[str], coloured: bool) -> Iterator[str]:
    for heading, underline in zip(lines[::2], lines[1::2], strict=True):
        text = _marked(heading, False).replace(_JOINED, " ")
        if coloured:
            yield f"{_BOLD}{text}{_PLAIN}"
        else:
            yield text
            yield underline[0] * len(text)


def _marked(text: str, coloured: bool) -> str:
    """Return text without its marks; what they held is underlined, and not broken."""

    def shown(match: re.Match[str]) -> str:
        words = (match[1] or match[2]).replace(" ", _JOINED)
        return f"{_UNDERLINED}{words}{_PLAIN}" if coloured else words

    return _MARKED.sub(shown, text)


def _paragraphs(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """
    Yield the paragraphs, entries of lists and terms of some lines.

    @return: what the first line of each begins with, what its other lines begin
        with, and its words; nothing of all these for an empty line.
    """
    first = rest = ""
    words: list[str] = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        entry = _ENTRY.match(line)
        if words and (not line or entry or indent != rest):
            yield first, rest, " ".join(words)
            words = []
        if not line:
            yield "", "", ""
        elif words:
            words.append(line.strip())
        else:
            first = entry[0] if entry else indent
            rest = " " * len(first)
            words = [line[len(first) :]]
    if words:
        yield first, rest, " ".join(words)


def _filled(first: str, rest: str, text: str, width: int) -> Iterator[str]:
    """Yield the lines of a paragraph."""
    line, taken = first, len(first)
    for word in text.split(" ") if text else ():
        length = len(_ESCAPE.sub("", word))
        if taken + length > width and line.strip():
            yield line.rstrip().replace(_JOINED, " ")
            line, taken = rest, len(rest)
        line += f"{word} "
        taken += length + 1
    yield line.rstrip().replace(_JOINED, " ")


def _table(lines: list[str], coloured: bool) -> Iterator[str]:
    """Yield a table whose columns stay in line when marks are gone."""
    starts = [match.start() for match in re.finditer("=+", lines[0])]
    for line in lines:
        if _BORDER.match(line):
            yield line.replace("=", "-")
            continue
        cells = ""
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            cell = line[start:end]
            plain = _marked("" if cell.strip() == "\\" else cell, False)
            cells += _marked(cell, coloured) if cell.strip() != "\\" else ""
            cells += " " * (len(cell) - len(plain))
        yield cells.rstrip().replace(_JOINED, " ")
