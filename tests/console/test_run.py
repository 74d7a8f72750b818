"""
C{socksgw run}: what it says of wrong use. What it does is in
C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import pytest

from socksgw.console.entry import main

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
