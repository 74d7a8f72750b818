"""
The settings of programs: which way is chosen, and what is said where there is none.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import pytest

from socksgw.config.schema import AuthConfig, Choose, Config, Listen, ListenTLS
from socksgw.console.clients.programs import PROGRAMS
from socksgw.console.clients.reach import LOGINS
from socksgw.console.clients.table import TABLE
from socksgw.wire.server import DIALECTS


def config(
    *methods: str, protocols: Any = ("socks5", "socks4", "http"), **listen: Any
) -> Config:
    """A gateway with one listener for other hosts, whose methods are these."""
    where = {"address": ("10.0.0.2:1080",), **listen}
    return Config(
        listen=(Listen(name="lan", protocols=protocols, **where),),
        auth=AuthConfig(choose=(Choose(methods=methods),)),
    )


def told(word: str, given: Config, *arguments: str) -> list[str]:
    """What is printed, line by line."""
    parser = argparse.ArgumentParser()
    PROGRAMS[word].options(parser)
    return list(PROGRAMS[word].lines(given, parser.parse_args(arguments)))


@pytest.mark.parametrize("word", TABLE)
def test_everyRow(word: str) -> None:
    """Each way of each program is printed where it is the only one."""
    _, settings = TABLE[word]
    methods = dict(
        zip(LOGINS, ("none", "gssapi", "certificate", "chap", "userpass"), strict=True)
    )
    for setting in settings:
        assert setting.protocol in DIALECTS
        tls = ListenTLS("gw.pem") if setting.tls else None
        given = config(methods[setting.login], protocols=(setting.protocol,), tls=tls)
        lines = told(word, given, "--user", "alice", "--host", "gw.corp.example")
        assert lines[0].startswith(setting.comment)
        text = "\n".join(line for line in lines if not line.startswith(setting.comment))
        assert "gw.corp.example" in text
        assert "1080" in text
        # Everything that stands for something is replaced.
        assert not re.search(r"\{[a-z]*\}", text)
        assert ("alice" in text) <= (setting.login != "none")
        assert ("PASSWORD" in text) <= (setting.login == "password")


def test_theEasiestIsChosen() -> None:
    """Without a login before a ticket, a ticket before a password."""
    assert "proxy-negotiate" in told("curl", config("userpass", "gssapi"))
    assert "socks5-basic" in told("curl", config("userpass"))
    chosen = told("curl", config("userpass", "gssapi"), "--login", "password")
    assert "socks5-basic" in chosen
    assert (
        told("curl", config("none", "userpass"))[-1]
        == 'proxy = "socks5h://10.0.0.2:1080"'
    )


def test_kerberosGoesByName() -> None:
    """There is no ticket for an address."""
    assert any("--host NAME" in line for line in told("curl", config("gssapi")))
    named = told("curl", config("gssapi"), "--host", "gw.corp.example")
    assert not any("--host" in line for line in named)


def test_users() -> None:
    """A user's name is written as each place wants it."""
    given = config("userpass")
    assert 'proxy-user = "a@b:PASSWORD"' in told("curl", given, "--user", "a@b")
    assert "    proxy = socks5h://a%40b:PASSWORD@10.0.0.2:1080" in told(
        "git", given, "--user", "a@b"
    )
    six = config("none", address=("[2001:db8::2]:1080",))
    assert told("curl", six)[-1] == 'proxy = "socks5h://[2001:db8::2]:1080"'
    assert "TorAddress 2001:db8::2" in told("torsocks", six)
    any4 = config("none", address=("0.0.0.0:1080",))
    assert told("curl", any4)[-1] == 'proxy = "socks5h://GATEWAY:1080"'


def test_insideTLS() -> None:
    """ssh comes in by socksgw connect; whom the certificate is for may matter."""
    given = config("userpass", tls=ListenTLS("gw.pem"))
    lines = told("ssh", given, "--user", "alice")
    assert "# If the certificate is for a name, say --host NAME." in lines
    assert lines[-1].startswith(
        "    ProxyCommand socksgw connect %h %p --proxy socks5+tls://10.0.0.2:1080 --ca"
    )
    assert "--host" not in "".join(told("ssh", given, "--host", "gw.corp.example"))


def test_elsewhere() -> None:
    """A gateway, or an agent, that is known by its address alone."""
    assert (
        told("nc", Config(), "--proxy", "[::1]:1080")[-1]
        == "nc -X 5 -x [::1]:1080 HOST PORT"
    )
    lines = told("curl", Config(), "--proxy", "gw:1080", "--login", "password")
    assert "socks5-basic" in lines


@pytest.mark.parametrize(
    ("word", "given", "arguments", "words"),
    [
        ("nc", config("userpass"), (), "accepts password. Run socksgw agent"),
        ("nc", config("none", tls=ListenTLS("gw.pem")), (), "inside TLS"),
        ("curl", config("none"), ("--login", "password"), "no listener with a port"),
        (
            "curl",
            config("none", transparent="redirect", protocols=()),
            (),
            "no listener",
        ),
        ("curl", config("none", address=("unix:/run/gw.sock",)), (), "say --proxy"),
        ("curl", config("none"), ("--listener", "x"), 'its listeners: "lan"'),
        ("curl", config("none"), ("--proxy", "::1:1080"), "in brackets"),
        ("curl", config("none"), ("--proxy", "gw"), "HOST:PORT"),
        ("curl", config("none"), ("--proxy", "g w:1080"), "HOST:PORT"),
        ("curl", config("none"), ("--proxy", "gw:70000"), "HOST:PORT"),
        ("curl", config("none"), ("--proxy", "gw:1", "--listener", "x"), "leave out"),
        ("curl", config("none"), ("--host", "a/b"), "neither a name"),
        ("curl", config("none"), ("--user", 'a"b'), "not a user"),
    ],
)
def test_whatCannotBe(
    word: str, given: Config, arguments: tuple[str, ...], words: str
) -> None:
    """The reason, and what helps."""
    with pytest.raises(ValueError, match=re.escape(words)):
        told(word, given, *arguments)
