"""
Prove quickly that files of the journal are whole, several at a time.

A proof says that L{socksgw.audit.verify} would find nothing in a file, and where it
would be at its end. There is none of a file in which there is anything to be told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from socksgw.audit import chain
from socksgw.audit.shapes import shaped

__all__ = ["Proof", "missedBy", "proofs", "prove"]

#: Octets of a journal from which on several processes read it.
_MUCH: Final = 16 << 20
#: The most processes.
_MOST: Final = 16
_BUFFER: Final = 1 << 20
#: Octets behind the body of a line, with its line feed.
_SUFFIX: Final = 76
_HASH: Final = b',"hash":"'
_END: Final = b'"}\n'
#: Every line about missing lines contains this; others may, in a value.
_MISSING: Final = b'"event":"missing"'
_PLAIN: Final = rb"[ !#-\[\]-~]*+"
_TEXT: Final = rb'"' + _PLAIN + rb'"'
_ESCAPED: Final = (
    rb'"' + _PLAIN + rb'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})' + _PLAIN + rb')*+"'
)
_NUMBER: Final = rb"(?:0|[1-9][0-9]*+)"
_SOME: Final = rb"(?:" + _TEXT + rb"|null)"


def _several(item: bytes, brackets: bytes = rb"\[\]") -> bytes:
    return brackets[:2] + rb"(?:%b(?:,%b)*+)?+" % (item, item) + brackets[2:]


_TEXTS: Final = _several(_TEXT)
_VALUE: Final = rb"|".join(
    (
        _ESCAPED,
        rb"-?+" + _NUMBER + rb"(?:\.[0-9]++)?+",
        rb"true|false|null",
        _several(rb"(?:%b|%b|%b)" % (_ESCAPED, _NUMBER, _several(_ESCAPED))),
        _several(rb"%b:%b" % (_TEXT, _NUMBER), rb"\{\}"),
    )
)


def _members(**values: bytes) -> bytes:
    return b"".join(
        b',"%b":%b' % (name.encode("ascii"), value) for name, value in values.items()
    )


#: The first members of the lines that most are, which are read faster one by one.
_DECISION: Final = _members(
    session=_NUMBER, listener=_TEXT, client=_TEXT, protocol=_TEXT, user=_TEXT,
    method=_TEXT, command=_TEXT, asked=_TEXT, name=_SOME, port=_NUMBER, verdict=_TEXT,
    rule=_SOME, why=_TEXT,
) + rb"(?:" + _members(policy=_TEXT) + rb")?+" + _members(addresses=_TEXTS)  # fmt: skip
_END_OF: Final = _members(
    session=_NUMBER, address=_SOME, bound=_SOME, sent=_NUMBER, received=_NUMBER,
    seconds=_NUMBER + rb"(?:\.[0-9]++)?+", reason=_TEXT, reply=_NUMBER,
)  # fmt: skip
#: The body of a line as most are: JSON without much inside of values, and without a
#: second number. Whatever else is JSON takes longer to read.
_USUAL: Final = re.compile(
    rb'\{"v":1,"n":([1-9][0-9]*+),"time":'
    + _TEXT
    + rb',"event":"(?:end"(?:'
    + _END_OF
    + rb')?+|decision"(?:'
    + _DECISION
    + rb')?+|[a-z-]*+")(?:,"[a-z_]{2,}+":(?:'
    + _VALUE
    + rb"))*+"
)


class Proof(NamedTuple):
    """
    A file that is whole.

    @ivar previous: the hash of the line before it that this rests on; L{None} where
        the first line's own hash is believed.
    @ivar lines: how many lines it has.
    @ivar head: the hash of the last.
    @ivar missed: ranges of lines that its lines say are missing.
    @ivar hashes: of lines that were asked about, by their numbers.
    """

    previous: str | None
    lines: int
    head: str
    missed: list[tuple[int, int]]
    hashes: dict[int, str]


def missedBy(octets: bytes) -> list[tuple[int, int]]:
    """Return the ranges of lines that a line says are missing."""
    if _MISSING not in octets:
        return []
    line = shaped(octets)
    if line is None or line["event"] != "missing":
        return []
    return [(line["from"], line["to"])]


def prove(file: Path, previous: str | None, numbers: Collection[int]) -> Proof | None:
    """
    Prove that a file is whole.

    @param previous: the hash of the line before its first; L{None} where that is not
        kept.
    @param numbers: lines whose hashes are asked for.
    @return: L{None} if it may not be whole.
    @raise OSError: it cannot be read.
    """
    first = chain.firstOf(file)
    number = first - 1
    head = None if previous is None else previous.encode("ascii")
    usual = _USUAL.fullmatch
    missed: list[tuple[int, int]] = []
    hashes: dict[int, str] = {}
    with file.open("rb", _BUFFER) as opened:
        for octets in iter(partial(opened.readline, chain.LONGEST), b""):
            number += 1
            body = octets[:-_SUFFIX]
            match = usual(body)
            if match is not None and head is not None and int(match[1]) == number:
                digest = sha256(head + body).hexdigest().encode("ascii")
                if octets[-_SUFFIX:] != _HASH + digest + _END:
                    return None
                head = digest
            else:
                head = _slowly(octets, number, head)
                if head is None:
                    return None
            if _MISSING in octets:
                missed += missedBy(octets)
            if number in numbers:
                hashes[number] = head.decode("ascii")
    last = chain.FIRST if head is None else head.decode("ascii")
    return Proof(previous, number - first + 1, last, missed, hashes)


def _slowly(octets: bytes, number: int, head: bytes | None) -> bytes | None:
    """
    Return the hash of a line of any layout; L{None} if it is not the one that follows.
    """
    if not octets.endswith(b"\n"):
        return None
    previous = None if head is None else head.decode("ascii")
    try:
        line = chain.read(octets[:-1], previous)
    except chain.Broken:
        return None
    return line.hash.encode("ascii") if line.number == number else None


def _before(files: Sequence[Path]) -> Iterator[str | None]:
    """
    Yield the hash before each file, as the end of the file before it says.

    Whether that is right, the proof of that file tells.
    """
    yield chain.FIRST if files and chain.firstOf(files[0]) == 1 else None
    for file in files[:-1]:
        _, octets = chain.tail(file, 2 * chain.LONGEST)
        try:
            yield chain.read(octets, None).hash
        except chain.Broken:
            yield None


@contextmanager
def proofs(
    files: Sequence[Path], numbers: Collection[int]
) -> Iterator[Iterator[Proof | None]]:
    """
    Prove files of a journal, in several processes where there are many octets.

    @param files: the files, oldest first.
    @param numbers: as of L{prove}.
    @return: a context with a proof of each file, or L{None}, in their order.
    """
    tasks = list(zip(files, _before(files), strict=False))
    count = min(len(os.sched_getaffinity(0)), len(files), _MOST)
    if count < 2 or sum(each.stat().st_size for each in files) < _MUCH:
        yield (prove(file, previous, numbers) for file, previous in tasks)
        return
    # What is read here has no threads that a fork could lose.
    pool = ProcessPoolExecutor(count, get_context("fork"))
    try:
        asked = [pool.submit(prove, *task, numbers) for task in tasks]

        def found() -> Iterator[Proof | None]:
            for each in asked:
                try:
                    yield each.result()
                except BrokenProcessPool:
                    # One was killed, for want of memory say: it goes without.
                    yield None

        yield found()
    finally:
        pool.shutdown(cancel_futures=True)
