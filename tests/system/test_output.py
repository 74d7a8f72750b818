"""
Standard output that nobody reads, or that cannot show every character.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from socksgw.system.output import Output, coloured, readable
from tests.tools.waiting import until


@contextmanager
def full() -> Iterator[tuple[int, int]]:
    """A pipe that is full: where it is read, where it is written."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"\n" * 4096)
    os.set_blocking(writing, True)
    try:
        yield reading, writing
    finally:
        os.close(reading)


def readAll(descriptor: int) -> str:
    """What there is at the moment, without the blank lines of L{full}."""
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while True:
            found += os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return found.decode().lstrip("\n")


def test_aReaderThatDoesNotReadCostsLinesAndNoTime() -> None:
    """Nothing blocks; lines that do not fit are counted, and that is said."""
    with full() as (reading, writing):
        output = Output(writing, "utf-8", most=1000)
        # What blocks would do so for ever.
        for number in range(1000):
            output.write(f"line {number}\n")
            output.flush()
        text: list[str] = []

        def told() -> tuple[list[int], list[int]]:
            text.append(readAll(reading))
            whole = "".join(text)
            kept = re.findall(r"^line (\d+)$", whole, re.M)
            # Several, where the other thread ran while lines were written.
            dropped = re.findall(r"^… (\d+) lines were dropped: nobody", whole, re.M)
            return [*map(int, kept)], [*map(int, dropped)]

        until(lambda: sum((found := told())[1]) + len(found[0]) == 1000)
        kept, dropped = told()
        assert dropped
        assert kept == sorted(kept)
        assert kept[:50] == list(range(50))
        assert len(kept) < 250
        output.write("after\n")
        until(lambda: text.append(readAll(reading)) or "after" in text[-1])


def test_theEndWaitsForTheReaderButNotForLong(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be written is; what cannot keeps nobody from ending."""
    reading, writing = os.pipe()
    output = Output(writing, "utf-8")
    output.write("last words\n")
    output.finish()
    assert os.read(reading, 100) == b"last words\n"
    monkeypatch.setattr("socksgw.system.output._PATIENCE", 0.02)
    with full() as (_, writing):
        output = Output(writing, "utf-8")
        output.write("last words\n")
        output.finish()


def test_aThreadThatCannotBeStarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who writes fails by it, and the lines come when there is a thread."""

    def fail(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    reading, writing = os.pipe()
    output = Output(writing, "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", fail)
        output.write("one\n")
    output.write("two\n")
    assert os.read(reading, 64) == b"one\ntwo\n"
    os.close(reading)


def test_aReaderThatIsGoneIsNoError(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPIPE and the like lose lines; when it works again they are counted."""
    monkeypatch.setattr("socksgw.system.output._REST", 0.01)
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing, "utf-8")
    output.write("one\n")
    output.write("two\n")
    until(lambda: output.lost)
    fresh, other = os.pipe()
    os.dup2(other, writing)
    assert until(lambda: os.read(fresh, 100)) == (
        "… 2 lines were dropped: nobody read them\n".encode()
    )


def test_aDescriptorThatSomebodyMadeNonBlocking() -> None:
    """The open file is shared, and its O_NONBLOCK with it: nothing is lost."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 99 + "\n"
    output = Output(writing, "utf-8")
    for _ in range(5000):
        output.write(text)
    found = 0
    while found < 500_000:
        found += len(os.read(reading, 1 << 16))
    assert (found, output.lost) == (500_000, 0)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "ALLOW é → x · … 日"),
        ("latin-1", "ALLOW é -> x · ... \\u65e5"),
        ("ascii", "ALLOW \\xe9 -> x - ... \\u65e5"),
    ],
)
def test_everyTerminalCanShowEveryLine(
    encoding: str, shown: str, tmp_path: Path
) -> None:
    """Characters that it lacks have substitutes, in both kinds of stream."""
    reading, writing = os.pipe()
    output = Output(writing, encoding)
    output.write("ALLOW é → x · … 日\n")
    assert os.read(reading, 100).decode(encoding) == shown + "\n"
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    readable(stream)
    stream.write("ALLOW é → x · … 日")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == shown


@pytest.mark.parametrize(
    ("terminal", "variables", "wanted"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_escapesOnlyWhereTheyAreWelcome(
    terminal: bool,
    variables: dict[str, str],
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On terminals, unless NO_COLOR or TERM=dumb says otherwise."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert coloured(stream) is wanted
