"""
C{socksgw completion}, in the shells themselves.
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from socksgw.console.completion import SHELLS
from socksgw.console.parser import makeParser
from socksgw.console.words import wordsOf
from tests.live.running import socksgw
from tests.live.servers import PATIENCE, missing, program

#: Prints the arguments of the command that was typed.
_SHOW = "socksgw() { printf '<%s>' \"$@\"; echo '<end>'; }"
#: How an interactive shell begins: its program, what it reads, what is typed first.
_START = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "completions/socksgw",
        f". /usr/share/bash-completion/bash_completion; {_SHOW}; echo rea''dy\n",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "_socksgw",
        f"fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; {_SHOW}; echo rea''dy\n",
    ),
}


class Terminal:
    """A shell at a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = ""

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._descriptor, text.encode())

    def until(self, text: str) -> str:
        """Return what is on the screen up to a text, which is awaited."""
        last = time.monotonic() + PATIENCE
        while text not in self._seen:
            assert time.monotonic() < last, self._seen
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self._seen += os.read(self._descriptor, 65536).decode(
                    "utf-8", "replace"
                )
        before, _, self._seen = self._seen.partition(text)
        return before


@contextmanager
def started(shell: str, directory: Path) -> Iterator[Terminal]:
    """Start a shell that has the script where an installation has it."""
    program(shell, shell)
    command, place, first = _START[shell]
    if shell == "bash" and not Path("/usr/share/bash-completion").exists():
        missing("Debian's package bash-completion")
    script = directory / place
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(printed(shell))
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, cwd=directory,
        start_new_session=True,
        # Where bash-completion looks for those of a user.
        env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(directory),
             "BASH_COMPLETION_USER_DIR": str(directory)},
    )  # fmt: skip
    os.close(inner)
    try:
        terminal = Terminal(outer)
        terminal.type(first)
        terminal.until("ready")
        yield terminal
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(outer)


@cache
def printed(shell: str) -> str:
    """Return the script, as the command prints it."""
    done = socksgw("completion", shell)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("shell", sorted(_START))
def test_atATerminal(shell: str, tmp_path: Path) -> None:
    """Commands, options, values and files are completed with the tabulator."""
    (tmp_path / "my gateway.toml").touch()
    with started(shell, tmp_path) as terminal:
        for typed, called in (
            ("chec\t", "<check>"),
            ("audit veri\t", "<audit><verify>"),
            ("audit verify --aga\t", "<audit><verify><--against>"),
            ("explain --secured cl\t", "<explain><--secured><clear>"),
            ("explain --live bi\t", "<explain><--live><bind>"),
            ("check my\t", "<check><my gateway.toml>"),
            ("check --config my\t", "<check><--config><my gateway.toml>"),
            ("check --stri\tmy\t", "<check><--strict><my gateway.toml>"),
            ("help troub\t", "<help><troubleshooting>"),
            ("completion fi\t", "<completion><fish>"),
            # Not a file: what is asked for is a name.
            ("explain --user my\t", "<explain><--user><my>"),
        ):
            terminal.type(f"socksgw {typed}\n")
            assert called in terminal.until("<end>\r\n"), typed


def test_fish(tmp_path: Path) -> None:
    """It says what it would complete, with a line about each."""
    (tmp_path / "my gateway.toml").touch()
    script = tmp_path / "socksgw.fish"
    script.write_text(printed("fish"))
    questions = [
        "socksgw chec", "socksgw audit veri", "socksgw audit verify --aga",
        "socksgw explain --secured cl", "socksgw explain --live bi", "socksgw check my",
        "socksgw check --config my", "socksgw help troub", "socksgw explain --user my",
        "socksgw check --strict che",
    ]  # fmt: skip
    done = subprocess.run(
        [program("fish", "fish"), "--no-config", "-c",
         f"source {script}; for each in $argv; complete -C $each; echo =; end",
         *questions],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    answers = [
        [line.partition("\t")[0] for line in each.splitlines()]
        for each in done.stdout.split("=\n")
    ]
    assert answers == [
        ["check"], ["verify"], ["--against"], ["clear"],
        ["bind"], ["my gateway.toml"], ["my gateway.toml"], ["troubleshooting"], [], [],
        [],
    ]  # fmt: skip
    assert "check\tcheck a configuration, and tell what it exposes\n" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_everyCommand(shell: str) -> None:
    """The script has each command and each long option, and the shell can read it."""
    script = printed(shell)
    checked = subprocess.run(
        [program(shell, shell), "-n"], input=script, capture_output=True, text=True,
        check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert checked.stderr == ""
    for command in wordsOf(makeParser()):
        for word in command.words:
            assert word in script
        for option in command.options:
            for name in option.names:
                assert (name if shell != "fish" else name.lstrip("-")) in script
