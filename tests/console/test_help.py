"""
C{socksgw help}: chapters, keys, headings, commands.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.console.help import helpMain
from socksgw.console.manual import chapters
from socksgw.console.parser import makeParser
from socksgw.console.usage import commandsOf
from tests.live.running import environment, socksgw

COMMANDS = commandsOf(makeParser())


def about(topic: str) -> tuple[int, str, str]:
    """The exit status, what is printed, and the errors."""
    out, errors = io.StringIO(), io.StringIO()
    status = helpMain(
        topic, out, errors, COMMANDS, lambda name: COMMANDS[name].format_help()
    )
    return status, out.getvalue(), errors.getvalue()


def test_theListOfChapters() -> None:
    """Each chapter has a line with its name and its title."""
    status, text, errors = about("")
    assert (status, errors) == (0, "")
    for name in chapters():
        assert re.search(rf"(?m)^  {name} +\w", text), name


@pytest.mark.parametrize("name", [*chapters()])
def test_everyChapter(name: str) -> None:
    """Without marks of the source, and no wider than a terminal."""
    status, text, errors = about(name)
    assert (status, errors) == (0, "")
    assert text.count("\n") > 5
    assert not re.search(r"``|code-block|^\.\. ", text), name
    wide = [line for line in text.splitlines() if len(line) > 80]
    # Configuration and code are not broken.
    assert [line for line in wide if not re.match(r"    +\S", line)] == []


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("limit.rate", ["limit.rate: octets per second\n"]),
        ("limits.rate", ["rule.limits.rate: octets per second\n"]),
        ("idle", ["timeouts.idle: duration", "rule.timeouts.idle: duration"]),
        ("listen.tls", ["[listen.tls]\n", "certificate: string; needed"]),
        ("[[listen]]", ["[[listen]]\n", "half_open_per_source: integer"]),
        ("flow-end", ["sent_datagrams", "(of the chapter records)"]),
        ("passwd", ["usage: socksgw passwd"]),
        ("audit verify", ["usage: socksgw audit verify", "--head"]),
        ("RULES", ["Rules\n====="]),
        ("configuration", ["gateway.toml", "[timeouts]\n", "never"][1:]),
    ],
)
def test_topics(topic: str, said: list[str]) -> None:
    """A key by its path or the end of it; a table; an event; a command."""
    status, text, errors = about(topic)
    assert (status, errors) == (0, "")
    for each in said:
        assert each in text


def test_headings() -> None:
    """Words of a heading find its section."""
    status, text, _ = about("what one source may take")
    assert status == 0
    assert text.startswith("What one source may take\n-----")
    assert "ports_per_source" in text


def test_mentions() -> None:
    """A word that no heading has is looked for in the text."""
    status, text, _ = about("somaxconn")
    assert status == 0
    assert "in operations" in text


def test_everyCommandIsATopic() -> None:
    """The help of a command is what --help prints."""
    assert {"check", "help", "audit follow"} <= COMMANDS.keys()
    for name in COMMANDS:
        assert about(name)[0] == 0


@pytest.mark.parametrize(
    ("topic", "near"),
    [("kerberso", "kerberos"), ("timeouts.idel", "timeouts.idle")],
)
def test_unknown(topic: str, near: str) -> None:
    """The nearest name is told, and the status is that of wrong use."""
    found = socksgw("help", topic)
    assert (found.returncode, found.stdout) == (2, "")
    assert f'"{topic}"; did you mean "{near}"?' in found.stderr


@pytest.mark.parametrize("name", [*chapters()])
def test_everySignCanBeShown(name: str) -> None:
    """Each sign of the manual has a substitute for terminals that lack it."""
    octets = about(name)[1].encode("ascii", "socksgw.readable")
    assert b"\\x" not in octets
    assert b"\\u" not in octets


def test_asciiTerminal() -> None:
    """Nothing fails where signs cannot be shown."""
    ended = subprocess.run(
        [sys.executable, "-m", "socksgw.console.command", "help", "sessions"],
        env=environment(PYTHONIOENCODING="ascii:strict"),
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert b"The life of a session" in ended.stdout


def test_withoutDocstrings() -> None:
    """Where Python leaves the texts of the schema out, that is told."""
    ended = subprocess.run(
        [sys.executable, "-OO", "-m", "socksgw.console.command", "help", "limit.rate"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "limit.rate: octets per second\n    (This text is left out" in ended.stdout


def onTerminal(tmp_path: Path, **extra: str) -> str:
    """What C{socksgw help chap} shows on a terminal."""
    reading, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "socksgw.console.command", "help", "chap"],
        env=environment(TERM="xterm", **extra),
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    found = b""
    try:
        while octets := os.read(reading, 65536):
            found += octets
    except OSError:
        # So the end of a terminal is told (EIO).
        pass
    os.close(reading)
    assert process.wait(30) == 0
    return found.decode()


def test_terminal(tmp_path: Path) -> None:
    """Headings are bold, unless NO_COLOR is set."""
    assert "\x1b[1mCHAP\x1b[0m" in onTerminal(tmp_path, PAGER="cat", NO_COLOR="")
    plain = onTerminal(tmp_path, PAGER="cat", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "CHAP\r\n====" in plain


@pytest.mark.parametrize("pager", ["", "/nonexistent/pager", '"'])
def test_withoutAPager(tmp_path: Path, pager: str) -> None:
    """The text is printed all the same."""
    assert "HMAC-MD5" in onTerminal(tmp_path, PAGER=pager)


def test_pager(tmp_path: Path) -> None:
    """It is the user's, with its arguments."""
    shown = onTerminal(tmp_path, PAGER="sed -n s/HMAC-MD5/FOUND/p")
    assert "FOUND" in shown
    assert shown.count("\n") == 1


def test_closedPipe() -> None:
    """A reader that goes away is no error."""
    with subprocess.Popen(
        [sys.executable, "-m", "socksgw.console.command", "help", "configuration"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=30)
    assert errors == b""
    assert process.returncode == 0
