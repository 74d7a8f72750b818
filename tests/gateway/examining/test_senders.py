"""
Whose PROXY headers a listener may believe, and what C{check} says of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from tests.tools.examining import LISTEN, TLS, examined, wrong


def listening(*senders: str, more: str = "") -> str:
    """A listener that believes some senders."""
    words = ", ".join(f'"{each}"' for each in senders)
    return f"{LISTEN}proxy_protocol_from = [{words}]\n{more}"


def test_believed() -> None:
    """Addresses, and the words of the policy's networks."""
    networks = '[networks]\nfront = ["10.0.0.5", "2001:db8::5"]\n'
    found = examined(listening("front", "192.0.2.1", more=networks))
    assert (found.errors, found.warnings) == ([], [])
    assert found.believed == [
        '"main": whoever connects from front, 192.0.2.1 can be any client'
    ]
    assert set(found.senders) == {"main"}
    lines = [*found.lines(loads(listening("front", more=networks), "gw.toml"), "good")]
    assert lines[-2:] == ["PROXY headers name the client:", f"  {found.believed[0]}"]
    assert examined(LISTEN).senders == {}
    assert examined(LISTEN).believed == []


def test_thisMachine() -> None:
    """Every program of it can connect from its loopback addresses."""
    (line,) = examined(listening("127.0.0.1")).believed
    assert line.endswith("every program of this machine can")


@pytest.mark.parametrize(
    ("address", "who"),
    [
        (
            '"unix:/run/gw.sock"',
            "on this machine that is whoever may open unix:/run/gw.sock",
        ),
        ('"unix:@gw"', "every program that sees the abstract name can"),
        (
            '"unix:/run/gw.sock", "127.0.0.1:1080"',
            "every program of this machine can",
        ),
    ],
)
def test_whoOpensTheSocket(address: str, who: str) -> None:
    """Only who may open the socket can send a header by it."""
    text = listening("127.0.0.1").replace('"127.0.0.1:1080"', address, 1)
    (line,) = examined(text).believed
    assert line.endswith(f"; {who}")


@pytest.mark.parametrize("word", ["nowhere", "10.0.0.5/8", "gw.example"])
def test_wrongWords(word: str) -> None:
    """As in any list of addresses."""
    ((path, _),) = wrong(listening(word))
    assert path == "listen[0].proxy_protocol_from[0]"


@pytest.mark.parametrize("word", ["any", "0.0.0.0/0", "::/0", "8.0.0.0/7"])
def test_everybody(word: str) -> None:
    """An error: anybody could claim any address."""
    ((path, said),) = wrong(listening(word))
    assert path == "listen[0].proxy_protocol_from"
    assert "anybody could claim any address" in said


@pytest.mark.parametrize(
    ("word", "odd"),
    [
        ("private", True),
        ("10.0.0.0/16", True),
        ("10.0.0.0/23", True),
        ("2001:db8::/63", True),
        ("10.0.0.0/24", False),
        ("2001:db8::/64", False),
        ("127.0.0.0/8", False),
        ("::1", False),
    ],
)
def test_many(word: str, odd: bool) -> None:
    """A warning: more than the balancers have such an address."""
    found = examined(listening(word))
    assert found.errors == []
    assert [each.path for each in found.warnings] == (
        ["listen[0].proxy_protocol_from"] if odd else []
    )


def test_nobody() -> None:
    """A list that is empty closes every connection."""
    (found,) = examined(listening()).warnings
    assert "is empty" in found.text
    assert examined(listening()).believed == []


def test_endpoints() -> None:
    """TLS of an endpoint would be below the header; other endpoints do."""
    head = '[[listen]]\nname = "main"\nendpoint = "%s"\n'
    key = 'proxy_protocol_from = ["127.0.0.1"]\n'
    assert wrong(head % "unix:/tmp/s.sock" + key) == []
    (believed,) = examined(head % "unix:/tmp/s.sock" + key).believed
    assert "every program" not in believed
    haproxy = wrong(head % "haproxy:tcp:1080")
    assert [path for path, _ in haproxy] == ["listen[0].endpoint"]
    assert "proxy_protocol_from = the balancer's address" in haproxy[0][1]
    assert wrong(head % "haproxy:unix:/tmp/s.sock" + key) == haproxy


def test_unixSockets() -> None:
    """The clients of a balancer there come from anywhere."""
    head = '[[listen]]\nname = "main"\naddress = ["unix:/tmp/s.sock"]\n'
    choose = '[[auth.choose]]\nlistener = ["main"]\nfrom = ["10.0.0.0/8"]\n'
    choose += 'methods = ["none"]\n'
    key = 'proxy_protocol_from = ["127.0.0.1"]\n'
    found = examined(head + key + choose)
    assert (found.errors, found.warnings) == ([], [])
    assert len(examined(head + choose).warnings) == 1
    peer = '[[auth.choose]]\nmethods = ["peer"]\n'
    ((_, said),) = wrong(head + key + peer)
    assert "neither proxy_protocol_from" in said


def test_endpointsWithTLS(certified: Path) -> None:
    """Balancers send the header before TLS."""
    text = (
        '[[listen]]\nname = "main"\nendpoint = "ssl:1080:privateKey=gw.key:'
        'certKey=gw.pem"\nproxy_protocol_from = ["10.0.0.5"]\n'
    )
    text = text.replace("gw.", f"{certified}/gw.")
    ((path, said),) = wrong(loads(text, "gw.toml", certified))
    assert path == "listen[0].proxy_protocol_from"
    assert "before TLS begins" in said
    with_ = TLS.replace(
        "[listen.tls]", 'proxy_protocol_from = ["10.0.0.5"]\n[listen.tls]'
    )
    assert wrong(loads(with_, "gw.toml", certified)) == []


OPEN = """
[[auth.choose]]
methods = ["none"]
[[rule]]
id = "all"
allow = ["connect"]
"""


def test_exposed() -> None:
    """The clients of a balancer come from other hosts, wherever it connects to."""
    assert examined(LISTEN + OPEN).errors == []
    ((path, said),) = wrong(listening("127.0.0.1", more=OPEN))
    assert (path, "exposed" in said) == ("listen[0]", True)
    named = OPEN.replace("methods", 'from = ["10.0.0.0/8"]\nmethods')
    (line,) = examined(listening("127.0.0.1", more=named)).exposures
    assert "from 10.0.0.0/8 (as PROXY headers from 127.0.0.1 say)" in line
    passwords = '[[auth.choose]]\nmethods = ["userpass"]\n'
    assert wrong(LISTEN + passwords) == []
    ((path, said),) = wrong(listening("127.0.0.1", more=passwords))
    assert "cleartext_passwords" in path + said
