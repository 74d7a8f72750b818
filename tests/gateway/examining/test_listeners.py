"""
C{[[listen]]}: what its TLS reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from tests.tools.certificates import HOUR, Authority, dns
from tests.tools.examining import TLS, examined, wrong


def test_tls(certified: Path) -> None:
    """Each wrong file, and each wrong key, at its place."""
    assert wrong(loads(TLS, "gw.toml", certified)) == []
    assert set(examined(loads(TLS, "gw.toml", certified)).secured) == {"main"}
    text = TLS + 'client_certificate = "required"\n'
    for more, path in (
        ("", "client_ca"),
        ('client_ca = "nowhere.pem"\n', "client_ca"),
        ('client_ca = "ca.pem"\ncrl = "nowhere.pem"\n', "crl"),
        ('client_ca = "ca.pem"\nidentity = []\n', "identity"),
    ):
        ((found, said),) = wrong(loads(text + more, "gw.toml", certified))
        assert found == f"listen[0].tls.{path}"
        assert said
    (certified / "gw.key").chmod(0o644)
    ((found, said),) = wrong(loads(TLS, "gw.toml", certified))
    assert (found, "chmod o-rwx" in said) == ("listen[0].tls.key", True)


def test_tlsGoesWithAddress(certified: Path) -> None:
    """An endpoint has its own transport."""
    text = TLS.replace('address = ["127.0.0.1:1080"]', 'endpoint = "tcp:1080"')
    ((path, said),) = wrong(loads(text, "gw.toml", certified))
    assert path == "listen[0].tls"
    assert "goes with address" in said


def test_tlsThatAges(certified: Path) -> None:
    """What has expired is a warning: it may be replaced while we serve."""
    old = Authority().issue(dns("localhost"), usage=(), after=-HOUR / 2)
    old.write(certified, "gw")
    found = examined(loads(TLS, "gw.toml", certified))
    assert found.errors == []
    paths = [each.path for each in found.warnings]
    assert paths == ["listen[0].tls.certificate"]


UNIX = '[[listen]]\nname = "main"\naddress = ["{}"]\n'
PEER = '[[auth.choose]]\nmethods = ["peer"]\n'


@pytest.mark.parametrize("where", ["unix:/run/x", "unix:@x"])
def test_unix(where: str) -> None:
    """A path with what its file is to have, or an abstract name."""
    assert wrong(loads(UNIX.format(where) + PEER, "f")) == []
    more = 'mode = "600"\nowner = "root:0"\n'
    found = wrong(loads(UNIX.format(where) + more + PEER, "f"))
    if where.startswith("unix:/"):
        assert found == []
    else:
        assert [path for path, _ in found] == ["listen[0].mode", "listen[0].owner"]
        assert all("neither mode nor owner" in said for _, said in found)


@pytest.mark.parametrize(
    ("where", "more", "path", "said"),
    [
        ("unix:x", "", "address[0]", "absolute"),
        ("unix:/run/" + "x" * 120, "", "address[0]", "107 octets"),
        ("unix:/run/x", 'mode = "rw"\n', "mode", "octal"),
        ("unix:/run/x", 'owner = "no-such-user"\n', "owner", "there is no user"),
        ("127.0.0.1:1", 'mode = "600"\n', "mode", "goes with an address"),
        ("[fe80::1]:1", "", "address[0]", 'name that as device = "NAME"'),
    ],
)
def test_unixThatIsWrong(where: str, more: str, path: str, said: str) -> None:
    """Each at its place."""
    choose = PEER if where.startswith("unix") else PEER.replace("peer", "none")
    ((found, text),) = wrong(loads(UNIX.format(where) + more + choose, "f"))
    assert found == f"listen[0].{path}"
    assert said in text


@pytest.mark.parametrize("realm", ['a"b', "a\\\\b", "a\\nb", "Büro"])
def test_realm(realm: str) -> None:
    """It stands in a quoted string of a field (RFC 9110 section 5.6.4)."""
    ((path, said),) = wrong(
        loads(
            f'[http]\nrealm = "{realm}"\n'.replace('a"b', 'a\\"b')
            + UNIX.format("127.0.0.1:1080"),
            "f",
        )
    )
    assert (path, "printable" in said) == ("http.realm", True)


@pytest.mark.parametrize(
    ("protocols", "tunnels", "errors"),
    [
        ('"socks5", "http"', '"hev", "connect-udp"', []),
        ('"http"', '"connect-udp"', []),
        ('"socks5"', '"hev", "connect-udp"', [("[1]", "http")]),
        ('"socks4", "http"', '"gost", "connect-udp"', [("[0]", "socks5")]),
    ],
)
def test_tunnelsOfAnotherProtocol(
    protocols: str, tunnels: str, errors: list[tuple[str, str]]
) -> None:
    """Nobody could ask for them."""
    listen = UNIX.format("unix:/run/x") + f"protocols = [{protocols}]\n"
    text = f"{listen}[listen.udp]\ntunnels = [{tunnels}]\n{PEER}"
    found = wrong(loads(text, "f"))
    assert [path for path, _ in found] == [
        f"listen[0].udp.tunnels{place}" for place, _ in errors
    ]
    for (_, said), (_, protocol) in zip(found, errors, strict=True):
        assert f'clients of "{protocol}"' in said
