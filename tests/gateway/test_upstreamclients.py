"""
Tables of upstreams: what fits together, and what is told of what does not.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from socksgw.client.http import HTTPProxy
from socksgw.client.socks import Socks4Proxy, Socks5Proxy
from socksgw.config.loading import loads
from socksgw.config.schema import Upstream, UpstreamLogin
from socksgw.gateway.upstreamclients import UpstreamClient, WrongUpstream, clientFor
from tests.live.running import ROOT as ROOT_FOLDER
from tests.tools.certificates import Authority, email, pemOf
from tests.tools.examining import HEAD, examined

ROOT = Authority()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind."""
    made = tmp_path_factory.mktemp("files")
    for name, text in {
        "password": "canary-1\n",
        "token": "canary.2",
        "long": "c" * 256,
        "no-token": "two words",
        "keytab": "canary-3",
    }.items():
        (made / name).touch(0o600)
        (made / name).write_text(text)
    (made / "open").write_text("canary-4")
    (made / "open").chmod(0o644)
    (made / "ca.pem").write_bytes(pemOf(ROOT.certificate))
    ROOT.issue(email("edge@corp.example")).write(made, "edge")
    return made


def made(directory: Path, url: str, table: dict[str, Any], **login: Any) -> Any:
    upstream = Upstream("dmz", url, login=UpstreamLogin(**login), **table)
    return clientFor(upstream, directory, MemoryReactorClock())


SECRET: dict[str, Any] = {
    "method": "userpass",
    "user": "edge",
    "password_file": "password",
}
TOKEN: dict[str, Any] = {"method": "token", "token_file": "token"}
SHOWN: dict[str, Any] = {
    "method": "certificate",
    "certificate": "edge.pem",
    "key": "edge.key",
}

GOOD: list[tuple[str, dict[str, Any], dict[str, Any], type]] = [
    ("socks5://gw2.example:1080", {}, {}, Socks5Proxy),
    ("socks4a://gw2.example:1080", {}, {"user": "edge"}, Socks4Proxy),
    ("http://gw2.example:3128", {}, {}, HTTPProxy),
    ("socks5+tls://gw2.example:1080", {"ca": "ca.pem"}, SECRET, Socks5Proxy),
    ("socks5+tls://192.0.2.1:1080", {"server_name": "gw2.example"}, SHOWN, Socks5Proxy),
    ("socks4a+tls://gw2.example:1080", {}, SHOWN, Socks4Proxy),
    ("https://gw2.example:3128", {}, TOKEN, HTTPProxy),
    ("https://gw2.example:3128", {}, SECRET, HTTPProxy),
    ("https://gw2.example:3128", {}, SHOWN, HTTPProxy),
    ("socks5+tls://gw2.example:1080", {}, {**SHOWN, **SECRET}, Socks5Proxy),
    ("socks5://127.0.0.1:1080", {}, SECRET, Socks5Proxy),
    ("http://[::1]:1080", {}, TOKEN, HTTPProxy),
    (
        "socks5://gw2.example:1080",
        {"cleartext_passwords": True},
        SECRET,
        Socks5Proxy,
    ),
]


@pytest.mark.parametrize(("url", "table", "login", "kind"), GOOD)
def test_good(directory: Path, url: str, table: Any, login: Any, kind: type) -> None:
    """Each protocol, with the logins that it has."""
    found = made(directory, url, table, **login)
    assert isinstance(found, UpstreamClient)
    assert isinstance(found.proxy, kind)
    assert (found.tls is not None) == ("+tls" in url or "https" in url)
    assert found.certified == (login.get("method") == "certificate")
    assert "canary" not in repr(found)


CLEAR = "socks5://gw2.example:1080"
TLS = "socks5+tls://gw2.example:1080"
HTTPS = "https://gw2.example:3128"
WRONG: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "in the clear": (CLEAR, {}, SECRET, {"login.password_file": "in the clear"}),
    "to an address": (
        "http://192.0.2.1:8080", {}, TOKEN, {"login.token_file": "in the clear"},
    ),
    "no password": (
        TLS, {}, {"method": "userpass", "user": "e"},
        {"login.password_file": "is missing"},
    ),
    "no user": (
        TLS, {}, {"method": "userpass", "password_file": "password"},
        {"login.user": "is missing"},
    ),
    "no file": (
        TLS, {}, {**SECRET, "password_file": "none"},
        {"login.password_file": "No such file"},
    ),
    "file of all": (
        TLS, {}, {**SECRET, "password_file": "open"},
        {"login.password_file": "others can read it"},
    ),
    "long password": (
        TLS, {}, {**SECRET, "password_file": "long"},
        {"login.password_file": "255 octets"},
    ),
    "long user": (TLS, {}, {**SECRET, "user": "u" * 256}, {"login.user": "255 octets"}),
    "colon": (HTTPS, {}, {**SECRET, "user": "a:b"}, {"login.user": "colon"}),
    "token in socks": (TLS, {}, TOKEN, {"login.method": "is for http"}),
    "password in socks 4": (
        "socks4a+tls://gw2.example:1080", {}, SECRET,
        {"login.method": "is for socks5 and socks6 and http"},
    ),
    "negotiate in socks": (
        TLS, {}, {"method": "negotiate"}, {"login.method": "is for http"},
    ),
    "gssapi in http": (
        HTTPS, {}, {"method": "gssapi"}, {"login.method": "is for socks5"},
    ),
    "no token": (
        HTTPS, {}, {**TOKEN, "token_file": "no-token"}, {"login.token_file": "no token"},
    ),
    "useless keys": (
        TLS, {}, {"method": "none", "user": "u", "token_file": "token"},
        {"login.user": "of no use", "login.token_file": "of no use"},
    ),
    "without TLS": (
        CLEAR, {"ca": "ca.pem", "server_name": "x"},
        {"certificate": "edge.pem", "key": "edge.key"},
        {
            "ca": "socks5+tls", "server_name": "socks5+tls",
            "login.certificate": "socks5+tls", "login.key": "socks5+tls",
        },
    ),
    "certificate without TLS": (
        "http://gw2.example:1", {}, {"method": "certificate"},
        {"login.method": "https"},
    ),
    "no certificate": (
        TLS, {}, {"method": "certificate"}, {"login.certificate": "is missing"},
    ),
    "key alone": (TLS, {}, {"key": "edge.key"}, {"login.key": "of no use"}),
    "bad key": (
        TLS, {}, {**SHOWN, "key": "password"}, {"login.key": "no private key"},
    ),
    "no CA": (TLS, {"ca": "password"}, {}, {"ca": "no certificate"}),
    "no name": (TLS, {"server_name": "a b"}, {}, {"server_name": "neither"}),
    "url": ("socks7://gw2.example:1080", {}, {}, {"url": "not among"}),
    "gssapi by SOCKS 6": (
        "socks6://gw2.example:1", {}, {"method": "gssapi"},
        {"login.method": "socks6+tls"},
    ),
    "protection in SOCKS 6": (
        "socks6+tls://gw2.example:1", {},
        {"method": "gssapi", "protection": ("integrity",)},
        {"login.protection": "of no use in SOCKS 6"},
    ),
    "udp by SOCKS 6": (
        "socks6+tls://gw2.example:1", {"udp": "hev"}, {}, {"udp": "leave it out"},
    ),
    "session by SOCKS 5": (TLS, {"session": True}, {}, {"session": "socks6+tls"}),
    "session of clients": (
        "socks6+tls://gw2.example:1", {"session": True, "pass_through": True}, {},
        {"session": "does not go with pass_through"},
    ),
    "session of who they are": (
        "socks6+tls://gw2.example:1", {"session": True, "identity_key": "edge.key"}, {},
        {"session": "does not go with identity_key"},
    ),
    "user in url": ("socks5://u:canary@x:1", {}, {}, {"url": "no password"}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "table", "login", "wrong"), WRONG.values(), ids=list(WRONG)
)
def test_wrong(
    directory: Path, url: str, table: Any, login: Any, wrong: dict[str, str]
) -> None:
    """Each mistake is told of the key that has it, with a remedy and no secret."""
    with pytest.raises(WrongUpstream) as raised:
        made(directory, url, table, **login)
    told = dict(raised.value.wrong)
    assert told.keys() == wrong.keys()
    for key, words in wrong.items():
        assert words in told[key]
    assert "canary" not in str(raised.value)


def test_loopbackOfAnother(directory: Path) -> None:
    """Where another upstream leads to it, it is not on this host."""
    table = Upstream("dmz", "socks5://127.0.0.1:1080", login=UpstreamLogin(**SECRET))
    clientFor(table, directory, MemoryReactorClock())
    with pytest.raises(WrongUpstream, match="in the clear"):
        clientFor(table, directory, MemoryReactorClock(), later=True)


def test_examined() -> None:
    """All of it is told with its place."""
    table = '[[upstream]]\nname = "u"\nurl = "socks5://192.0.2.1:1"\n'
    wrong = 'login = { method = "token" }\n'
    found = examined(HEAD + table + wrong).errors
    assert [each.path for each in found] == ["upstream[0].login.method"]


def test_kerberos(directory: Path) -> None:
    """The name of the service is that of a host."""
    pytest.importorskip("gssapi")
    for method, url in (("gssapi", CLEAR), ("negotiate", "http://gw2.example:1")):
        assert made(directory, url, {}, method=method)
        address = url.replace("gw2.example", "192.0.2.1")
        with pytest.raises(WrongUpstream, match="knows the upstream by name"):
            made(directory, address, {}, method=method)
        assert made(directory, address, {}, method=method, service="x@gw2.example")
    with pytest.raises(WrongUpstream, match=r"login.protection.*confidentiality"):
        made(directory, CLEAR, {}, method="gssapi", protection=("clear",))
    with pytest.raises(WrongUpstream, match=r"login.keytab.*others can read it"):
        made(directory, CLEAR, {}, method="gssapi", keytab="open")


def test_theManual(directory: Path, tmp_path: Path) -> None:
    """What the chapter shows of TLS and logins can be used as it stands there."""
    pytest.importorskip("gssapi")
    chapter = (ROOT_FOLDER / "socksgw" / "manual" / "upstreams.rst").read_text()
    begin = chapter.index("TLS to an upstream\n---")
    text = chapter[begin : chapter.index("Handing on a user's password\n---")]
    shown = re.findall(r"code-block:: toml\n\n((?:    .*\n|\n)+)", text)
    for name in ("gw2-password", "proxy-token", "edge.keytab"):
        shutil.copy(directory / "token", tmp_path / name)
    for name in ("ca.pem", "edge.pem", "edge.key"):
        shutil.copy(directory / name, tmp_path / name)
    shutil.copy(directory / "ca.pem", tmp_path / "corp-ca.pem")
    tables = [each for block in shown for each in loads(dedent(block), "f").upstream]
    assert len(tables) == 5
    for table in tables:
        clientFor(table, tmp_path, MemoryReactorClock())
