"""
C{socksgw connect}: what it says of wrong use. What it does is in
C{tests/interop/test_connect.py}.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.console.command import main

PROXY = "socks5://127.0.0.1:1080"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.example", "22"], "name the gateway"),
        (["a.example", "22", "--proxy", "gw:1080"], "begins with one of"),
        (["a.example", "22", "--proxy", "socks7://gw:1080"], "begins with one of"),
        (
            ["a.example", "22", "--proxy", "socks5://u:canary@gw:1080"],
            "--password-file",
        ),
        (["a.example", "22", "--proxy", "socks5://gw"], "port"),
        (["a.example", "22", "--proxy", "socks5://gw:0"], "port"),
        (["a.example", "22", "--proxy", "socks5://::1:1080"], "brackets"),
        (["a.example", "22", "--proxy", "socks5://:1080"], "host"),
        (["a b", "22", "--proxy", PROXY], "no host"),
        (["a.example", "0", "--proxy", PROXY], "PORT"),
        (["a.example", "22", "--proxy", PROXY, "--user", "alice"], "--password-file"),
        (["a.example", "22", "--proxy", PROXY, "--keyring"], "--user"),
        (
            [
                "a.example",
                "22",
                "--proxy",
                PROXY,
                "--user",
                "a",
                "--password-env",
                "NO",
            ],
            "NO",
        ),
        (
            [
                "a.example",
                "22",
                "--proxy",
                PROXY,
                "--user",
                "a",
                "--password-file",
                "/no",
            ],
            "/no",
        ),
        (
            [
                *("a.example", "22", "--proxy", "socks4a://gw:1080", "--user", "a"),
                *("--password-env", "HOME"),
            ],
            "SOCKS 4 has no login",
        ),
        (["a.example", "22", "--proxy", PROXY, "--ca", "/no"], "TLS"),
        (
            ["a.example", "22", "--proxy", "https://gw:1", "--login", "certificate"],
            "--certificate",
        ),
        (["a.example", "22", "--proxy", "https://gw:1", "--ca", "/no"], "/no"),
    ],
)
def test_misused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says what to do, status 2, and no secret in it."""
    assert main(["connect", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("socksgw connect: ")
    assert said in line
    assert "canary" not in line


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """OpenSSH takes the line for its C{ProxyCommand} as it is shown."""
    with pytest.raises(SystemExit):
        main(["connect", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "ProxyCommand socksgw connect %h %p --proxy URL" in text


def test_othersCanRead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A password that others can read is not used."""
    file = tmp_path / "password"
    file.write_text("canary-1")
    file.chmod(0o644)
    arguments = ["a.example", "22", "--proxy", PROXY, "--user", "alice"]
    assert main(["connect", *arguments, "--password-file", str(file)]) == 2
    line = capsys.readouterr().err
    assert "chmod" in line
    assert "canary-1" not in line
