"""
Read the file of a 3proxy server (3proxy.cfg(5), 3proxy 1.0).

It is a script: each line is a command, and what it sets holds for the services that
are started after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from socksgw.importing.host import Said, Unreadable

__all__ = ["commands"]

#: Files within files, at most; 3proxy has no bound.
_DEPTH: Final = 8
#: 3proxy reads no more of a file that is named by C{$} (STRINGBUF).
_LONGEST: Final = 16384


def commands(
    text: str, load: Callable[[str], str | None], file: str = "", depth: int = 0
) -> Iterator[Said]:
    """
    Return the commands of a file, and those of the files that it includes.

    @param load: returns the text of another file; L{None} where it cannot be read.
    @raise Unreadable: a line is none of 3proxy's.
    """
    where = f"{file}: " if file else ""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line[0] in "# \t\r":
            continue
        try:
            words = tuple(_words(line, load))
        except ValueError as e:
            raise Unreadable(f"{where}line {number}: {e}") from None
        if not words:
            continue
        if words == ("end",):
            return
        if words[0] == "include" and len(words) == 2:
            included = load(words[1])
            if included is None or depth == _DEPTH:
                raise Unreadable(
                    f"{where}line {number}: {words[1]} cannot be read"
                    if included is None
                    else f"{where}line {number}: files are included {_DEPTH} deep"
                )
            yield from commands(included, load, words[1], depth + 1)
            continue
        yield Said(number, file, words)


def _words(line: str, load: Callable[[str], str | None]) -> Iterator[str]:
    """
    Break a line into words; C{""} within quotes is one quote, C{$name} a file's text.

    @raise ValueError: a quote does not end, or a file cannot be read.
    """
    word: str | None = None
    # The name of the file that is named within the word, from its $ on.
    file: str | None = None
    quoted = False
    at = 0
    # A blank at the end ends the last word.
    text = line.rstrip("\r\n") + " "
    while at < len(text):
        each = text[at]
        at += 1
        if each == '"':
            if quoted and text[at] == '"':
                at += 1
            else:
                quoted = not quoted
                word = word or ""
                continue
        elif each in " \t\r" and not quoted:
            if file is not None:
                loaded = load(file)
                if loaded is None:
                    raise ValueError(f"{file} cannot be read")
                inside = loaded[:_LONGEST].split()
                if inside:
                    inside[0] = (word or "") + inside[0]
                elif word:
                    inside = [word]
                yield from inside
            elif word is not None:
                yield word
            word = file = None
            continue
        elif each == "$" and not quoted and file is None:
            file = ""
            continue
        if file is not None:
            file += each
        else:
            word = (word or "") + each
    if quoted:
        raise ValueError("a quote does not end")
