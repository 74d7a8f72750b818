"""
Read lines of the journal that are wanted, and pass over the others unparsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import define

from socksgw.audit.shapes import shaped
from socksgw.records.criteria import Matcher
from socksgw.records.extents import Extent

__all__ = ["Odd", "chunks", "found", "wanted"]

#: Octets that are read at once: few enough that they stay in the cache of a core.
_CHUNK: Final = 1 << 18
#: Octets of a line that is looked at.
_LONGEST: Final = 1 << 24


def chunks(extent: Extent, octets: int = _CHUNK) -> Iterator[bytes]:
    """
    Yield the whole lines of an extent, many at a time.

    @raise OSError: the file cannot be read; none where it was dropped meanwhile.
    """
    left = extent.octets
    rest: list[bytes] = []
    try:
        opened = extent.file.open("rb")
    except FileNotFoundError:
        return
    with opened:
        opened.seek(extent.start)
        while left:
            read = opened.read(min(octets, left))
            if not read:
                break
            left -= len(read)
            end = read.rfind(b"\n") + 1
            if not end:
                # No line of the gateway's is that long: it is passed over.
                rest = [] if sum(map(len, rest)) > _LONGEST else [*rest, read]
                continue
            yield b"".join([*rest, read[:end]])
            rest = [read[end:]]
    if rest and rest[-1].endswith(b"\n"):
        yield b"".join(rest)


def _starts(octets: bytes, needles: Sequence[bytes]) -> Iterator[int]:
    """Yield where the lines begin that have one of the needles, in their order."""
    if len(needles) > 1:
        yield from sorted({each for n in needles for each in _starts(octets, [n])})
        return
    needle = needles[0]
    at = octets.find(needle)
    while at >= 0:
        yield octets.rfind(b"\n", 0, at) + 1
        at = octets.find(needle, octets.find(b"\n", at))


def wanted(octets: bytes, needles: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    """
    Yield the lines that have one needle of each kind, without their line feeds.

    @param octets: whole lines.
    @param needles: of each kind; the first is to be in few lines.
    """
    if not needles:
        yield from octets.splitlines()
        return
    others = needles[1:]
    for start in _starts(octets, needles[0]):
        line = octets[start : octets.index(b"\n", start)]
        if all(any(each in line for each in kind) for kind in others):
            yield line


@define
class Odd:
    """
    Lines that are not as the gateway writes them.

    @ivar lines: how many were passed over.
    """

    lines: int = 0


def found(
    extent: Extent, matcher: Matcher, odd: Odd | None = None
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """
    Yield the lines of an extent that are wanted, as they are and parsed.

    @param odd: counts those that may be wanted, and are passed over.
    @raise OSError: the file cannot be read.
    """
    for octets in chunks(extent):
        for line in wanted(octets, matcher.needles):
            fields = shaped(line)
            if fields is None:
                if odd is not None:
                    odd.lines += 1
            elif matcher.matches(fields):
                yield line, fields
