"""
Settings of an agent, by options and in a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from socksgw.agent.settings import Settings, settingsOf
from socksgw.config.loading import ConfigError
from tests.live.running import ROOT


def wrong(**options: Any) -> list[tuple[str, str]]:
    """Return what is wrong with settings: path and text."""
    with pytest.raises(ConfigError) as caught:
        settingsOf(Path("/nonexistent/agent.toml"), False, options, Path("/work"))
    return [(each.path, each.text) for each in caught.value.problems]


def given(**options: Any) -> Settings:
    """Return settings of the command line alone."""
    return settingsOf(Path("/nonexistent/agent.toml"), False, options, Path("/work"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gw.example:1443", "socks5+tls://gw.example:1443"),
        ("https://gw.example:8443/", "https://gw.example:8443"),
        ("[2001:db8::1]:1443", "socks5+tls://[2001:db8::1]:1443"),
        ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("http://localhost:3128", "http://localhost:3128"),
    ],
)
def test_gateway(text: str, url: str) -> None:
    """TLS where nothing is said; without it on this machine alone."""
    assert given(gateway=text).url == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is missing"),
        ("gw.example", "is no gateway"),
        ("gw.example:0", "is no gateway"),
        ("gw.example:65536", "is no gateway"),
        ("2001:db8::1:1443", "is no gateway"),
        ("socks5+tls://alice:secret@gw.example:1443", "has a user or a password in it"),
        ("ftp://gw.example:21", '"ftp" is not known'),
        ("http://gw.example:3128", "is reached in clear"),
    ],
)
def test_wrongGateways(text: str, why: str) -> None:
    """Each with its remedy, and without a password that is in it."""
    ((path, found),) = wrong(gateway=text)
    assert path == "gateway"
    assert why in found
    assert "secret" not in found


def test_clear() -> None:
    """GSSAPI protects what it carries by itself; nothing else does."""
    assert given(gateway="socks5://gw.example:1080").method == "kerberos"
    found = wrong(gateway="http://gw.example:1080", token_file="t")
    assert [path for path, _ in found] == ["gateway"]
    assert wrong(gateway="http://gw.example:1080", login="none")
    ((_, why),) = wrong(gateway="http://localhost:1080", token_file="t")
    assert "write 127.0.0.1" in why
    assert given(gateway="http://127.0.0.1:1080", token_file="t").method == "token"


def test_fastOpen() -> None:
    """It goes with all but HTTP in clear."""
    assert given(gateway="https://gw.example:443", token_file="t", fast_open=True)
    ((path, _),) = wrong(gateway="http://127.0.0.1:1", login="none", fast_open=True)
    assert path == "fast_open"


def test_session() -> None:
    """It is of SOCKS 6."""
    assert given(gateway="socks6+tls://gw.example:1443", session=True)
    ((path, why),) = wrong(gateway="gw.example:1443", session=True)
    assert path == "session"
    assert "socks6+tls" in why


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "kerberos"),
        ({"token_file": "t"}, "token"),
        ({"user": "alice@CORP.EXAMPLE"}, "kerberos"),
        ({"certificate": "c"}, "certificate"),
        ({"user": "alice", "password_file": "p"}, "password"),
        ({"user": "alice", "keyring": True}, "password"),
        ({"user": "alice", "keyring": True, "certificate": "c"}, "password"),
        ({"certificate": "c", "login": "kerberos"}, "kerberos"),
        ({"login": "none"}, "none"),
    ],
)
def test_login(options: dict[str, Any], method: str) -> None:
    """It follows from what is there; a certificate may be shown besides."""
    assert given(gateway="gw.example:1443", **options).method == method


def test_tokensGoByHTTP() -> None:
    """SOCKS has no method for them: by default it is HTTPS."""
    assert given(gateway="gw.example:1443", token_file="t").scheme == "https"
    ((path, why),) = wrong(gateway="socks5+tls://gw.example:1443", token_file="t")
    assert path == "gateway"
    assert "use https" in why


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"keyring": True}, "user"),
        ({"login": "password", "user": "alice"}, "password_file"),
        ({"user": "a", "password_file": "p", "keyring": True}, "password_file"),
        ({"login": "token"}, "token_file"),
        ({"login": "certificate"}, "certificate"),
        ({"key": "k"}, "key"),
        ({"login": "kerberos", "token_file": "t"}, "token_file"),
        ({"login": "none", "user": "alice"}, "user"),
        ({"listen": ()}, "listen"),
        ({"listen": ("0.0.0.0:1080",)}, "listen[0]"),
        ({"listen": ("[::]:1080",)}, "listen[0]"),
        ({"listen": ("127.0.0.1:1080", "192.0.2.1:1080")}, "listen[1]"),
        ({"listen": ("unix:relative",)}, "listen[0]"),
        ({"listen": ("1080",)}, "listen[0]"),
    ],
)
def test_whatDoesNotFit(options: dict[str, Any], path: str) -> None:
    """Settings that miss something, or contradict each other."""
    assert path in [each for each, _ in wrong(gateway="gw.example:1443", **options)]


def test_file(tmp_path: Path) -> None:
    """
    Paths in the file begin at its directory, those of the command line where it was
    written; an option comes before the key.
    """
    file = tmp_path / "agent.toml"
    file.write_text(
        'gateway = "gw.example:1443"\nlisten = ["unix:/run/a.sock"]\n'
        'certificate = "me.pem"\nkey = "~/me.key"\n'
    )
    found = settingsOf(file, False, {"ca": "ca.pem"}, Path("/work"))
    assert found.listen == ("unix:/run/a.sock",)
    assert found.certificate == str(tmp_path / "me.pem")
    assert found.key == str(Path.home() / "me.key")
    assert found.ca == "/work/ca.pem"
    again = settingsOf(
        file, True, {"gateway": "https://other.example:1"}, Path("/work")
    )
    assert again.url == "https://other.example:1"


def test_theManualsFile(tmp_path: Path) -> None:
    """What the manual shows has nothing wrong in it."""
    text = (ROOT / "socksgw" / "manual" / "agent.rst").read_text("utf-8")
    (shown,) = re.findall(r"the file::\n\n((?:    .*\n)+)", text)
    file = tmp_path / "agent.toml"
    file.write_text(re.sub("(?m)^    ", "", shown))
    found = settingsOf(file, True, {}, Path("/work"))
    assert (found.method, found.user, len(found.listen)) == ("password", "alice", 2)


def test_wrongFile(tmp_path: Path) -> None:
    """Errors name the file and the line."""
    file = tmp_path / "agent.toml"
    file.write_text('gateway = "gw.example:1443"\nlogin = "ntlm"\ntoken = "x"\n')
    with pytest.raises(ConfigError) as caught:
        settingsOf(file, False, {}, Path("/work"))
    lines = caught.value.lines()
    assert any(f"{file}:2: login" in line for line in lines)
    assert any(f"{file}:3: token" in line and "token_file" in line for line in lines)
    with pytest.raises(ConfigError, match="cannot be read"):
        settingsOf(tmp_path / "other.toml", True, {}, Path("/work"))
