"""
What somebody who holds the disk can do to a journal.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.audit import chain, segments

__all__ = ["rewritten"]


def rewritten(directory: Path, before: bytes, after: bytes, cut: int = 0) -> None:
    """
    Change a text in a journal's lines, and make all the hashes fit again.

    @param cut: how many lines are taken off its end.
    """
    lines: list[tuple[Path, bytes]] = []
    for file in chain.files(directory):
        lines += [(file, octets) for octets, _ in chain.lines(file)]
    files: dict[Path, bytes] = {}
    head = chain.FIRST
    for file, octets in lines[: len(lines) - cut]:
        body = octets.rpartition(b',"hash":')[0].replace(before, after)
        made, head = chain.chained(body[1:].decode(), head)
        files[file] = files.get(file, b"") + made
    for file in chain.files(directory):
        file.write_bytes(files.get(file, b""))
    number = len(lines) - cut
    (directory / segments.HEAD).write_text(f"{number:020d}:{head}\n")
