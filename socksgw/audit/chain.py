"""
The journal's files and the chain of hashes through their lines.

A line's C{hash} is the SHA-256 of the line before it (its hash, in
hexadecimal; 64 zeros for the first) followed by the line itself as it would
stand without C{hash}. A line that is changed, removed, added or moved breaks the
chain from there on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "FIRST",
    "LONGEST",
    "Broken",
    "Line",
    "chained",
    "files",
    "firstOf",
    "hashIn",
    "lines",
    "nameOf",
    "read",
    "tail",
]

#: The hash before the first line.
FIRST: Final = "0" * 64
#: Octets of the longest line that is read, with its line feed. The gateway's own are far
#: shorter.
LONGEST: Final = 1 << 24

_NAME: Final = re.compile(r"audit-(\d{12})\.jsonl\Z", re.ASCII)
_MEMBER: Final = b',"hash":"'
#: Octets behind the body: the member's name, the digest, a quote, a brace.
_SUFFIX: Final = len(_MEMBER) + 64 + 2


class Broken(Exception):
    """
    A line that does not belong where it stands; the text says why.
    """


class Line(NamedTuple):
    """
    One line of a journal.

    @ivar number: the value of C{n}.
    @ivar hash: the value of C{hash}, in hexadecimal.
    @ivar octets: the whole line, without the line feed.
    """

    number: int
    hash: str
    octets: bytes


def nameOf(number: int) -> str:
    """
    Return the name of a file.

    @param number: the number of its first line.
    """
    return f"audit-{number:012d}.jsonl"


def files(directory: Path) -> list[Path]:
    """
    Return the journal's files, oldest first.
    """
    return sorted(p for p in directory.iterdir() if _NAME.match(p.name))


def firstOf(file: Path) -> int:
    """
    Return the number of a file's first line, which is in the file's name.
    """
    match = _NAME.match(file.name)
    assert match is not None
    return int(match[1])


def chained(body: str, previous: str) -> tuple[bytes, str]:
    """
    Make a line from its body.

    @param body: the JSON members from C{v} on, without braces, ASCII.
    @param previous: the hash of the line before.
    @return: the line with its line feed, and its hash.
    """
    digest = sha256(f"{previous}{{{body}".encode("ascii")).hexdigest()
    return f'{{{body},"hash":"{digest}"}}\n'.encode("ascii"), digest


def read(octets: bytes, previous: str | None) -> Line:
    """
    Check a line against the one before, and return it.

    @param octets: the line, without the line feed.
    @param previous: the hash of the line before; L{None} when that is not kept any
        more: then the line's own hash is believed.
    @raise Broken: it is not a line of this chain.
    """
    body, suffix = octets[:-_SUFFIX], octets[-_SUFFIX:]
    if not suffix.startswith(_MEMBER) or not suffix.endswith(b'"}'):
        raise Broken("not a line of a journal")
    digest = suffix[len(_MEMBER) : -2].decode("ascii", "replace")
    if previous is not None:
        wanted = sha256(previous.encode("ascii") + body).hexdigest()
        if digest != wanted:
            raise Broken("its hash does not follow from the line before")
    try:
        number = json.loads(octets)["n"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Broken("not a line of a journal") from None
    if type(number) is not int:
        raise Broken("not a line of a journal: its number is none")
    return Line(number, digest, octets)


def hashIn(octets: bytes) -> str:
    """Return the hash in a line of a journal, which was checked before."""
    return octets[-66:-2].decode("ascii")


def lines(file: Path) -> Iterator[tuple[bytes, bool]]:
    """
    Yield the lines of a file, each with whether it ends in a line feed.

    One that is longer than L{LONGEST} is none of the gateway's, and empty here.

    @raise OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        for octets in iter(partial(opened.readline, LONGEST), b""):
            whole = octets.endswith(b"\n")
            if whole or len(octets) < LONGEST:
                yield octets.rstrip(b"\n"), whole
                continue
            while octets and not octets.endswith(b"\n"):
                octets = opened.readline(LONGEST)
            yield b"", octets.endswith(b"\n")


def tail(file: Path, most: int = 0) -> tuple[int, bytes]:
    """
    Read the end of a file.

    @param most: how many octets of it are looked at; 0 for all.
    @return: how many octets are whole lines, and the last whole line (empty when
        there is none).
    @raise OSError: the file cannot be read.
    """
    with file.open("rb") as opened:
        end = opened.seek(0, 2)
        span = 1 << 16
        while True:
            start = max(0, end - span)
            opened.seek(start)
            octets = opened.read(end - start)
            whole = octets.rfind(b"\n") + 1
            before = octets.rfind(b"\n", 0, max(0, whole - 1))
            if whole and (before >= 0 or start == 0):
                return start + whole, octets[before + 1 : whole - 1]
            if start == 0 or (most and span >= most):
                return 0, b""
            span <<= 2
