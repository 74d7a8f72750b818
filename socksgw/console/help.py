"""
Print the manual: C{socksgw help}, of chapters, keys, events and commands.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Final, TextIO

from socksgw.config.problems import nearest
from socksgw.config.reference import Table
from socksgw.console.manual import Section, chapters, mentions, sections, titleOf
from socksgw.console.reference import allTables, found, keyText, tableText
from socksgw.console.rendering import rendered
from socksgw.system.output import coloured, widthOf

__all__ = ["helpMain"]

#: Parts of the manual that are named where a word is only mentioned.
_NAMED: Final = 12
#: Columns of the text where the terminal is not narrower.
_WIDTH: Final = 79


def helpMain(
    topic: str,
    out: TextIO,
    errors: TextIO,
    commands: Collection[str] = (),
    commandHelp: Callable[[str], str] = str,
) -> int:
    """
    Print what the manual says about a topic.

    @param topic: a chapter, a key, a command, or words of a heading; empty for the
        list of chapters.
    @param commands: the commands that C{commandHelp} knows.
    @return: the exit status: 0, or 2 when nothing is known about it.
    """
    text = _overview() if not topic else _about(topic, commands, commandHelp)
    if text is None:
        known = [*chapters(), *commands, *_paths()]
        near = nearest(topic.lower(), known)
        print(
            f'socksgw help: the manual has no chapter, key or heading "{topic}"{near} '
            "(socksgw help lists the chapters)",
            file=errors,
        )
        return 2
    columns = min(_WIDTH, widthOf(out) or _WIDTH)
    _page(rendered(text, coloured(out), columns), out)
    return 0


def _overview() -> str:
    titles = {name: titleOf(text) for name, text in chapters().items()}
    width = max(map(len, titles)) + 2
    lines = [f"{name:<{width}}{title}" for name, title in titles.items()]
    return (
        "Chapters, each shown by ``socksgw help CHAPTER``::\n\n  "
        + "\n  ".join(lines)
        + "\n\nOther topics::\n\n"
        "  socksgw help limit.rate    a key of the configuration\n"
        "  socksgw help listen.tls    a table of it\n"
        "  socksgw help flow-end      an event of the journal\n"
        "  socksgw help bind          what headings and keys have that word\n"
        "  socksgw help explain       a command\n"
    )


def _paths() -> Iterator[str]:
    for table in allTables():
        yield table.path
        for key in table.keys:
            yield key.path


def _about(
    topic: str, commands: Collection[str], commandHelp: Callable[[str], str]
) -> str | None:
    """Return everything about a topic; L{None} when there is nothing."""
    texts = chapters()
    word = topic.lower()
    if word in texts:
        return texts[word]
    parts = []
    if word in commands:
        parts.append("::\n\n" + _indented(commandHelp(word)))
    parts += [
        tableText(each) if isinstance(each, Table) else keyText(each)
        for each in found(topic)
    ]
    headed = [
        each
        for name, text in texts.items()
        for each in sections(name, text)
        if word in each.heading.lower()
        # The reference has been searched.
        and not each.heading.startswith("[")
    ]
    exact = [each for each in headed if each.heading.lower() == word]
    whole = exact or (headed if len(headed) == 1 and not parts else [])
    parts += [f"{each.text}\n\n(of the chapter ``{each.chapter}``)" for each in whole]
    others = [each for each in headed if each not in whole]
    if not parts and not others:
        others = mentions(topic, texts)
    if not parts and not others:
        return None
    if others:
        parts.append(_listed(others, topic))
    return "\n\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _listed(places: list[Section], topic: str) -> str:
    """Return where else the manual has a word."""
    lines = [f'  socksgw help "{each.heading}"' for each in places[:_NAMED]]
    width = max(map(len, lines)) + 2
    lines = [
        f"{line:<{width}}in {each.chapter}"
        for line, each in zip(lines, places, strict=False)
    ]
    more = len(places) - _NAMED
    if more > 0:
        lines.append(f"  and {more} more")
    return f'See about "{topic}"::\n\n' + "\n".join(lines)


def _page(text: str, out: TextIO) -> None:
    """Print a text; on a terminal by the user's pager."""
    pager = os.environ.get("PAGER", "less")
    if not (out.isatty() and sys.stdin.isatty() and pager):
        out.write(text)
        return
    # less: end at once where the text fits, leave it on the screen, show colours.
    environment = {"LESS": "FRX", **os.environ}
    try:
        process = subprocess.Popen(
            shlex.split(pager), stdin=subprocess.PIPE, env=environment
        )
    except (OSError, ValueError):
        out.write(text)
        return
    octets = text.encode(out.encoding, out.errors or "strict")
    try:
        process.communicate(octets)
    except KeyboardInterrupt:
        process.wait()
