"""
Where a configuration leads the self-test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from socksgw.config.loading import load
from socksgw.config.schema import Config
from socksgw.console.selftest.places import placesOf
from socksgw.negotiate.methods import Choice
from socksgw.wire.address import Address
from tests.tools.certificates import SERVER, Authority, dns

TEXT = """
[[listen]]
name = "open"
address = ["0.0.0.0:1080", "[::]:1080", "10.0.0.2:1081"]
protocols = ["socks5", "http"]
[[listen]]
name = "local"
address = ["unix:/run/gw.sock", "unix:@gw"]
[[listen]]
name = "any"
address = ["127.0.0.1:0"]
[[listen]]
name = "front"
address = ["127.0.0.1:1082"]
proxy_protocol_from = ["10.0.0.5"]
[[listen]]
name = "diverted"
address = ["127.0.0.1:1083"]
transparent = "tproxy"
[[listen]]
name = "blue"
address = ["127.0.0.1:1084"]
netns = "blue"
[[listen]]
name = "partners"
address = ["127.0.0.1:1443"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "gw.pem"
client_certificate = "required"
[[listen]]
name = "string"
endpoint = "tcp:1085"
[[auth.choose]]
listener = ["open"]
methods = ["none"]
[[auth.choose]]
listener = ["partners"]
methods = ["certificate"]
"""


def believes(listener: str, source: Address) -> bool:
    """One that believes no header of this host."""
    return False


def choicesOf(config: Config) -> Sequence[Choice[str]]:
    """Those of a configuration, for every source."""
    return [
        Choice(each.methods, frozenset(each.listener or ()), None)
        for each in config.auth.choose
    ]


def test_places(tmp_path: Path) -> None:
    """Each address, where it is reached from this host, or why it is not tried."""
    (tmp_path / "gw.toml").write_text(TEXT)
    Authority().issue(dns("gw.example"), usage=(SERVER,)).write(tmp_path, "gw")
    config = load(str(tmp_path / "gw.toml"))
    found = list(placesOf(config, False, believes, choicesOf(config)))
    assert [each.where for each in found[:5]] == [
        ("127.0.0.1", 1080),
        ("::1", 1080),
        ("10.0.0.2", 1081),
        "/run/gw.sock",
        "\0gw",
    ]
    assert not any(each.skipped for each in found[:5])
    assert found[0].protocols == ("socks5", "http")
    assert found[0].path == "listen[0].address[0]"
    why = [each.skipped for each in found[5:]]
    words = (
        "any port",
        "PROXY headers",
        "diverted",
        "namespace blue",
        "client cert",
        "endp",
    )
    assert [word in text for word, text in zip(words, why, strict=True)] == [True] * 6
    certified = list(placesOf(config, True, believes, choicesOf(config)))
    partners = certified[9]
    assert (partners.secured, partners.name, partners.skipped) == (
        True,
        "gw.example",
        "",
    )
    # An authority has signed it.
    assert partners.ca is None
    # The certificate is the login, once there is one to show.
    assert [each.loginless for each in found[:10]] == [True] * 3 + [False] * 7
    assert [each.loginless for each in certified[8:10]] == [False, True]


def test_commands(tmp_path: Path) -> None:
    """Any command is not multicast, which rules name; who only reports allows none."""
    rules = '[[rule]]\nid = "all"\nallow = "any"\n'
    named = '[[rule]]\nid = "tv"\nallow = ["multicast"]\n'
    file = tmp_path / "gw.toml"
    found = []
    for text in (rules, named, rules + "report_only = true\n" + named):
        file.write_text(TEXT + text)
        config = load(str(file))
        found.append(
            next(placesOf(config, False, believes, choicesOf(config))).commands
        )
    assert found == [{"connect", "bind", "udp"}, {"multicast"}, {"multicast"}]
