"""
The lines of one session are found, and no others.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.audit import chain
from socksgw.audit.tracing import trace


def write(directory: Path, first: int, *bodies: str) -> Path:
    """Write a file of the journal, whose hashes nobody looks at."""
    file = directory / chain.nameOf(first)
    with file.open("wb") as opened:
        for number, body in enumerate(bodies, first):
            opened.write(
                b'{"v":1,"n":%d,"time":"2026-01-01T00:00:%02d.000Z",%b,"hash":"x"}\n'
                % (number, number % 60, body.encode())
            )
    return file


START = '"event":"start","gateway":"g","pid":1'


def line(session: int, event: str = "decision", **more: str) -> str:
    """Return the body of a line."""
    return f'"event":"{event}","session":{session},"more":"{more}"'


def numbers(directory: Path, session: int, **how: object) -> list[int]:
    """Return the numbers of the lines of a session."""
    found = trace(directory, session, **how)  # type: ignore[arg-type]
    return [each["n"] for each in found.lines]


def test_found(tmp_path: Path) -> None:
    """Those of this session, in all files, in their order."""
    write(tmp_path, 1, START, line(1), line(17), line(7))
    write(tmp_path, 5, line(7, "peer"), line(17, "end"), line(70, x='\\"session\\":7,'))
    write(tmp_path, 8, line(7, "end"))
    assert numbers(tmp_path, 7) == [4, 5, 8]
    assert numbers(tmp_path, 1) == [2]
    assert numbers(tmp_path, 2) == []


def test_anotherProcess(tmp_path: Path) -> None:
    """What a process before this one has counted is another session."""
    write(tmp_path, 1, START, line(7), START, line(1), line(7, "end"))
    assert numbers(tmp_path, 7) == [5]


def test_since(tmp_path: Path) -> None:
    """Files that end before the session began are not read."""
    write(tmp_path, 1, line(7), line(7))
    write(tmp_path, 4, line(7, "peer"))
    write(tmp_path, 9, line(7, "end"))
    assert numbers(tmp_path, 7, since="2026-01-01T00:00:05.000Z") == [4, 9]


def test_bounded(tmp_path: Path) -> None:
    """A long journal is searched from its end, and long stories are cut."""
    write(tmp_path, 1, START, *(line(7, "flow-end") for _ in range(400)))
    found = trace(tmp_path, 7)
    assert (len(found.lines), found.omitted, found.whole) == (100, 300, True)
    assert [each["n"] for each in found.lines] == [*range(2, 22), *range(322, 402)]
    size = (tmp_path / chain.nameOf(1)).stat().st_size
    found = trace(tmp_path, 7, budget=size // 2)
    assert not found.whole
    assert 90 < len(found.lines) + found.omitted < 210
