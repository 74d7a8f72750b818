"""
Read the file of a Dante server (danted.conf(5), sockd.conf(5), Dante 1.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from socksgw.importing.host import Unreadable

__all__ = ["Block", "File", "Said", "read"]

#: Keywords without a dot: what else ends in a colon may be an IPv6 address.
_WORDS: Final = frozenset(
    [
        "bandwidth",
        "clientcompatibility",
        "clientmethod",
        "command",
        "compatibility",
        "debug",
        "errorlog",
        "extension",
        "external",
        "from",
        "group",
        "hostid",
        "hostindex",
        "internal",
        "libwrap",
        "log",
        "logoutput",
        "method",
        "monitor",
        "protocol",
        "proxyprotocol",
        "redirect",
        "socksmethod",
        "srchost",
        "to",
        "user",
        "via",
        "maxdata",
        "deprecated",
    ]
)
_KEYWORD: Final = re.compile(r"([a-z][a-z0-9_-]*(?:\.[a-z0-9_*-]+)*):(.*)", re.DOTALL)
#: What begins a block; C{pass} and C{block} alone are of Dante before 1.4.
_KINDS: Final = ("client", "hostid", "socks", "monitor", "route")
_VERBS: Final = ("pass", "block")


class Said(NamedTuple):
    """
    One keyword with its values.

    @ivar line: where it begins; lines count from 1.
    """

    line: int
    keyword: str
    values: tuple[str, ...]


class Block(NamedTuple):
    """
    What is in braces.

    @ivar kind: C{client}, C{hostid}, C{socks}, C{monitor} or C{route}.
    @ivar passes: whether it is a rule that lets clients through.
    @ivar line: where it begins, and C{last}: where it ends.
    """

    kind: str
    passes: bool
    line: int
    last: int
    said: tuple[Said, ...]

    def of(self, keyword: str) -> tuple[str, ...] | None:
        """Return the values of a keyword, of all its places; L{None} without it."""
        found = [each.values for each in self.said if each.keyword == keyword]
        return tuple(value for values in found for value in values) if found else None


class File(NamedTuple):
    """The settings and the blocks of a file, in its order."""

    said: tuple[Said, ...]
    blocks: tuple[Block, ...]


class _Token(NamedTuple):
    line: int
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition("#")[0]
        for word in code.replace("{", " { ").replace("}", " } ").split():
            found = _KEYWORD.fullmatch(word)
            if found and (found[1] in _WORDS or "." in found[1]):
                yield _Token(number, f"{found[1]}:")
                if found[2]:
                    yield _Token(number, found[2])
            else:
                yield _Token(number, word)


def read(text: str) -> File:
    """
    Read the octets of a file, decoded.

    @raise Unreadable: it is not one of Dante's.
    """
    tokens = list(_tokens(text))
    said: list[Said] = []
    blocks: list[Block] = []
    at = 0
    while at < len(tokens):
        line, word = tokens[at]
        if word.endswith(":"):
            at, found = _one(tokens, at)
            said.append(found)
            continue
        kind, passes = "socks", False
        if word in _KINDS:
            kind, at = word, at + 1
        if at < len(tokens) and tokens[at].text in _VERBS:
            passes, at = tokens[at].text == "pass", at + 1
        elif kind not in ("monitor", "route"):
            raise Unreadable(
                f"line {line}: {word!r} begins neither a setting nor a rule"
            )
        if at >= len(tokens) or tokens[at].text != "{":
            raise Unreadable(f"line {line}: a rule needs {{ after its first words")
        inside: list[Said] = []
        at += 1
        while at < len(tokens) and tokens[at].text != "}":
            if not tokens[at].text.endswith(":"):
                where, what = tokens[at]
                raise Unreadable(f"line {where}: {what!r} is no keyword of a rule")
            at, found = _one(tokens, at)
            inside.append(found)
        if at >= len(tokens):
            raise Unreadable(f"line {line}: the rule that begins here does not end")
        blocks.append(Block(kind, passes, line, tokens[at].line, tuple(inside)))
        at += 1
    return File(tuple(said), tuple(blocks))


def _one(tokens: Sequence[_Token], at: int) -> tuple[int, Said]:
    """Read a keyword and its values: what follows in its line, up to a keyword or brace."""
    line, word = tokens[at]
    values: list[str] = []
    at += 1
    while at < len(tokens) and tokens[at].text not in ("{", "}"):
        text = tokens[at].text
        if tokens[at].line != line or text.endswith(":"):
            break
        values.append(text)
        at += 1
    return at, Said(line, word[:-1], tuple(values))
