"""
C{socksgw run}: what it says of wrong use. What it does is in
C{tests/interop/test_run.py}.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from socksgw.console.command import main
from tests.live.running import running, socksgwProcess
from tests.live.servers import freePort

PROXY = "socks5://127.0.0.1:1080"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["true"], "name the gateway"),
        (["--proxy", "gw:1080", "true"], "begins with one of"),
        (["--proxy", "socks5://u:canary@gw:1080", "true"], "--password-file"),
        (["--proxy", PROXY, "--user", "alice", "true"], "--password-file"),
        (["--proxy", PROXY, "--ca", "/no", "true"], "TLS"),
        (["--proxy", "socks4a://gw:1", "--user", "a", "--password-env", "HOME", "true"],
         "SOCKS 4 has no login"),
    ],
)  # fmt: skip
def test_misused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One line that says what to do, status 2, and no secret in it."""
    monkeypatch.delenv("SOCKSGW_PROXY", raising=False)
    assert main(["run", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("socksgw run: ")
    assert said in line
    assert "canary" not in line


def test_noProgram(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a program it is wrong use."""
    with pytest.raises(SystemExit) as raised:
        main(["run", "--proxy", PROXY])
    assert raised.value.code == 2
    assert "PROGRAM" in capsys.readouterr().err


def test_handedOver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The program gets each argument as it is, also what other commands take for a time,
    and not the variable that has the password.
    """
    users = str(tmp_path / "users")
    done = socksgwProcess("passwd", users, "alice", stdin="canary\n")
    assert done.returncode == 0, done.stderr
    port = freePort()
    text = (
        f'[[listen]]\nname = "all"\naddress = ["127.0.0.1:{port}"]\n'
        f'[auth]\ncheckers = ["passwd:{users}"]\n'
        '[[auth.choose]]\nmethods = ["userpass"]\n'
    )
    with contextmanager(running)(tmp_path, text):
        monkeypatch.setenv("MY_PASSWORD", "canary")
        login = ("--user", "alice", "--password-env", "MY_PASSWORD")
        run = ("run", "--proxy", f"socks5://127.0.0.1:{port}", *login)
        words = ("--", "-v", "--since", "-2h", "--")
        told = socksgwProcess(*run, "echo", *words)
        variables = socksgwProcess(*run, "env")
    assert (told.returncode, told.stdout) == (0, " ".join(words) + "\n"), told.stderr
    assert variables.returncode == 0, variables.stderr
    assert "PATH=" in variables.stdout
    assert "canary" not in variables.stdout
