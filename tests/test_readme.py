"""
What README.rst shows works as it stands there.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from socksgw.config import loads
from socksgw.examination import examine
from socksgw.login import http, ldap
from tests.interop.servers import Certificate
from tests.policy.asking import Facts
from tests.running import ROOT, Running, environment, socksgw, until

README = (ROOT / "README.rst").read_text()


def block(language: str, containing: str) -> str:
    """The code block of that language that has some words in it."""
    pattern = rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)"
    for found in re.findall(pattern, README):
        if containing in found:
            return re.sub(r"(?m)^    ", "", found)
    raise AssertionError(f"README has no {language} block with {containing!r}")


def test_policy(tmp_path: Path) -> None:
    """The realistic policy is good, once its users are there."""
    users = tmp_path / "users"
    made = socksgw("passwd", str(users), "alice", stdin="secret\n")
    assert made.returncode == 0, made.stderr
    text = block("toml", "no-private").replace("/etc/socksgw/users", str(users))
    (tmp_path / "gateway.toml").write_text(text)
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout
    assert 'anonymous on "lan" from 10.0.8.0/24' in checked.stdout


def test_directory(tmp_path: Path) -> None:
    """So is the directory's table, with its files."""
    text = block("toml", "bind_password_file")
    certificate = Certificate(tmp_path).file
    secret = tmp_path / "ad"
    secret.touch(0o600)
    secret.write_text("secret")
    text = text.replace("/etc/socksgw/corp-ca.pem", str(certificate))
    text = text.replace("/run/credentials/ad", str(secret))
    rest = '[[rule]]\nid = "r"\nallow = "any"\nwho = ["@contractors"]\n'
    rest += '[[listen]]\nname = "lan"\naddress = ["127.0.0.1:0"]\n'
    (tmp_path / "gateway.toml").write_text(text + rest)
    checked = socksgw("check", "--strict", str(tmp_path / "gateway.toml"))
    assert checked.returncode == 0, checked.stdout


def test_everyOptionOfACheckerIsShown() -> None:
    """etc/socksgw.toml's tables are good, too, but for their files."""
    shown = (ROOT / "etc" / "socksgw.toml").read_text()
    end = shown.index("# [auth.tls]")
    tables = shown[shown.index("# [[auth.checker]]") : end]
    text = re.sub(r"(?m)^# ?", "", tables)
    config = loads(f'[[listen]]\nname = "a"\naddress = ["127.0.0.1:0"]\n{text}', "f")
    assert {each.kind for each in config.auth.checker} == {"ldap", "http", "pam"}
    known = {"ldap": ldap._KEYS, "http": http._KEYS}
    for each in config.auth.checker:
        if each.kind in known:
            missing = set(known[each.kind]) - set(each.options)
            assert missing <= {"user_dn", "bind_keytab", "bind_principal"}
            assert all(f"{key}" in tables for key in missing)
    problems = examine(config, Facts(), MemoryReactorClock()).errors
    assert [each.text for each in problems if "No such file" not in each.text] == []


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's plug-in, installed as the README says."""
    plugins = tmp_path / "site" / "socksgw" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "auth_token.py").write_text(block("python", "class TokenMethod"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return plugins


CONFIGURATION = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["memory:alice:secret"]
[[auth.choose]]
methods = ["token"]
[never]
except = ["127.0.0.1"]
[[rule]]
id = "alice"
allow = ["connect"]
who = ["alice"]
"""


@pytest.mark.parametrize(
    ("line", "answer", "event"),
    [
        (b"alice:secret\n", b"welcome\n", "decision"),
        (b"alice:x\n", b"no\n", "login-failed"),
    ],
)
def test_plugin(
    token: Path, gateway: Callable[..., Running], line: bytes, answer: bytes, event: str
) -> None:
    """The example method is found, logs in, and fails as it should."""
    assert "token" in socksgw("plugins").stdout
    running = gateway(CONFIGURATION)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.settimeout(10)
            client.sendall(b"\x05\x01\x80")
            stream = client.makefile("rb")
            assert stream.read(2) == b"\x05\x80"
            client.sendall(line)
            assert stream.read(len(answer)) == answer
            if event == "decision":
                client.sendall(b"\x05\x01\0\x01\x7f\0\0\x01" + port.to_bytes(2, "big"))
                assert stream.read(2) == b"\x05\0"
            else:
                assert stream.read() == b""
    recorded = until(lambda: running.journal(event))
    assert recorded[0]["method"] == "token"


def test_embedding(tmp_path: Path) -> None:
    """The program that has the gateway inside serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = block("python", "SocksFactory").replace("tcp:1080", f"tcp:{port}")
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
    )

    def greeted() -> bytes | None:
        assert process.poll() is None
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(b"\x05\x01\0")
                return client.recv(2)
        except ConnectionRefusedError:
            return None

    try:
        assert until(greeted, 20) == b"\x05\0"
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert errors == b""
    assert process.returncode == 0
