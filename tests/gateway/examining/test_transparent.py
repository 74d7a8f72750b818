"""
C{transparent}: what goes with it, who gets in, which rules can match.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.config.schema import Config
from tests.tools.examining import examined, wrong

REDIRECT = """
[[listen]]
name = "captured"
address = ["0.0.0.0:1088"]
transparent = "redirect"
"""
TPROXY = """
[[listen]]
name = "captured"
address = ["127.0.0.1:1089", "[::1]:1089"]
transparent = "tproxy"
"""
CHOOSE = """
[[auth.choose]]
from = ["10.0.0.0/8"]
methods = ["none"]
"""
ALLOW = '[[rule]]\nid = "all"\nallow = ["connect", "udp"]\n'


def _read(text: str) -> Config:
    return loads(text, "gw.toml")


def warned(text: str) -> list[tuple[str, str]]:
    found = examined(_read(text))
    assert found.errors == []
    return [(each.path, each.text) for each in found.warnings]


@pytest.mark.parametrize("listen", [REDIRECT, TPROXY])
def test_itself(listen: str) -> None:
    """Neither error nor warning."""
    assert warned(listen + CHOOSE + ALLOW) == []


@pytest.mark.parametrize("listen", [REDIRECT, TPROXY])
@pytest.mark.parametrize(
    ("more", "key", "remedy"),
    [
        ('protocols = ["socks5"]\n', "protocols", "remove it"),
        # As it is where nothing is said, and yet it is said.
        ('protocols = ["socks5", "socks4"]\n', "protocols", "remove it"),
        ('[listen.tls]\ncertificate = "gw.pem"\n', "tls", "remove it"),
        ('[listen.udp]\ntunnels = ["hev"]\n', "udp", ""),
        ('proxy_protocol_from = ["10.0.0.5"]\n', "proxy_protocol_from", "no header"),
        ('[listen.udp]\nports = "40000-40009"\n', "udp", ""),
    ],
)
def test_whatDoesNotGoWithIt(listen: str, more: str, key: str, remedy: str) -> None:
    """Each is an error at its place, with the remedy."""
    found = dict(wrong(_read(listen + more + CHOOSE + ALLOW)))
    assert remedy in found[f"listen[0].{key}"]
    if key == "udp":
        said = found["listen[0].udp"]
        assert ('transparent = "tproxy"' in said) is (listen is REDIRECT)


def test_endpoint() -> None:
    """It has sockets of its own."""
    text = REDIRECT.replace('address = ["0.0.0.0:1088"]', 'endpoint = "tcp:1088"')
    ((path, said),) = wrong(_read(text + CHOOSE + ALLOW))
    assert (path, "use address" in said) == ("listen[0].endpoint", True)


def test_unixSocket() -> None:
    """Nothing is diverted there."""
    text = TPROXY.replace("127.0.0.1:1089", "unix:/run/gw.sock")
    found = dict(wrong(_read(text + CHOOSE + ALLOW)))
    assert "addresses with ports" in found["listen[0].address[0]"]


def test_port() -> None:
    """The rule has to name it."""
    text = REDIRECT.replace("1088", "0")
    ((path, said),) = wrong(_read(text + CHOOSE + ALLOW))
    assert path == "listen[0].address[0]"
    assert "choose one" in said


def test_reachedDirectly() -> None:
    """A tproxy listener is best on loopback; nobody needs to connect to it."""
    text = TPROXY.replace("127.0.0.1", "10.0.0.1").replace("::1", "2001:db8::1")
    four, six = warned(text + CHOOSE + ALLOW)
    assert four[0] == "listen[0].address[0]"
    assert "listen on 127.0.0.1," in four[1]
    assert "listen on [::1]," in six[1]


@pytest.mark.parametrize("methods", ['["userpass"]', '["certificate"]'])
def test_nobodyCanLogIn(methods: str) -> None:
    """There has to be a way in, and it is none."""
    choose = CHOOSE.replace('["none"]', methods)
    text = REDIRECT + choose + ALLOW
    text += "[auth]\nchecker = []\n" if "[auth]" in text else ""
    found = dict(wrong(_read(text)))
    assert 'methods = ["none"]' in found["listen[0].transparent"]


def test_methodsWithoutEffect() -> None:
    """A warning where the entry is for that listener, and none where it is for all."""
    choose = CHOOSE.replace('["none"]', '["chap", "none"]')
    secrets = '[auth]\ncheckers = ["secrets:users"]\n'

    def said(text: str) -> list[str]:
        found = examined(_read(REDIRECT + secrets + text + ALLOW)).warnings
        return [w.text for w in found if "can serve nobody" in w.text]

    assert said(choose) == []
    (text,) = said(choose + 'listener = ["captured"]\n')
    assert text.startswith('"chap" can serve nobody on "captured"')


@pytest.mark.parametrize(
    "rule",
    [
        'to = [".example.com"]\ndeny = "any"\n',
        'to = ["office"]\nallow = ["connect"]\n',
        'asked_by = "name"\nallow = ["connect"]\n',
    ],
)
def test_rulesByName(rule: str) -> None:
    """Said of each listener: neither an allow nor a deny by name counts there."""
    networks = '[networks]\noffice = ["10.0.0.0/8", "*.office.example"]\n'
    text = f'[[rule]]\nid = "named"\n{rule}' + ALLOW
    if "office" in rule:
        text += networks
    ((path, said),) = warned(REDIRECT + CHOOSE + text)
    assert path == "listen[0].transparent"
    assert '"named"' in said
    assert ("(deny)" in said) is ("deny" in rule)
    elsewhere = text.replace('id = "named"', 'id = "named"\nlistener = ["lan"]')
    lan = '[[listen]]\nname = "lan"\naddress = ["127.0.0.1:1080"]\n'
    assert warned(REDIRECT + lan + CHOOSE + elsewhere) == []


def test_rulesForUsers() -> None:
    """A rule for transparent listeners alone, and for those who log in."""
    text = '[[rule]]\nid = "staff"\nallow = ["connect"]\nlistener = ["captured"]\n'
    ((path, said),) = warned(REDIRECT + CHOOSE + text + 'who = ["users"]\n')
    assert path == "rule[0].who"
    assert "can never match" in said
    assert warned(REDIRECT + CHOOSE + text + 'who = ["anonymous"]\n') == []


@pytest.mark.parametrize("listen", [REDIRECT, TPROXY])
def test_openRelay(listen: str) -> None:
    """
    What the kernel diverts comes from other hosts, also to a listener on loopback.
    """
    everybody = CHOOSE.replace("10.0.0.0/8", "0.0.0.0/0")
    ((path, said),) = wrong(_read(listen + everybody + ALLOW))
    assert (path, "open relay" in said) == ("listen[0]", True)
    assert "127.0.0.1" not in said
    # Programs of this host alone.
    local = REDIRECT.replace("0.0.0.0", "127.0.0.1")
    assert wrong(_read(local + everybody + ALLOW)) == []
