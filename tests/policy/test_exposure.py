"""
What is exposed: an open relay does not start.

"A listener on a routable address can grant something to a routable source that
was offered `none` (or SOCKS4), by a rule with neither `who` nor `from`; an
`auth.choose` that names sources other than `any` counts as naming the client."
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from socksgw.config.loading import loads
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.examining import examined


def isExposed(text: str) -> bool:
    """Whether it is an open relay; it must have no other error."""
    errors = examined(text).errors
    assert all("exposed" in each.text for each in errors)
    for each in errors:
        assert each.path == "listen[0]"
        assert '"main"' in each.text
    return bool(errors)


def configured(
    listen: str = 'address = ["0.0.0.0:1080"]',
    choose: str = 'methods = ["none"]',
    rule: str = 'allow = ["connect"]',
    more: str = "",
) -> str:
    return (
        f'[[listen]]\nname = "main"\n{listen}\n[[auth.choose]]\n{choose}\n'
        f'[[rule]]\nid = "r"\n{rule}\n{more}\n'
    )


LISTENERS = {
    'address = ["0.0.0.0:1080"]': True,
    'address = ["[::]:1080"]': True,
    'address = ["10.0.0.2:1080"]': True,
    'address = ["8.8.8.8:1080"]': True,
    'address = ["127.0.0.1:1080", "10.0.0.2:1080"]': True,
    'address = ["127.0.0.1:1080"]': False,
    'address = ["127.0.0.1:1080", "[::1]:1080"]': False,
    'endpoint = "tcp:1080"': True,
    'endpoint = "tcp:1080:interface=127.0.0.1"': False,
    'endpoint = "tcp:1080:interface=10.0.0.2"': True,
    'endpoint = "unix:/tmp/gw.sock"': False,
}
METHODS = {
    'methods = ["none"]': True,
    'methods = ["userpass", "none"]\ncleartext_passwords = true': True,
    'methods = ["userpass"]\ncleartext_passwords = true': False,
}
CHOOSE_FROM = {
    "": True,
    'from = ["any"]': True,
    'from = ["10.0.0.0/8"]': False,
    'from = ["10.0.0.0/8", "any"]': True,
}
RULE_WHO = {"": True, 'who = ["anonymous"]': False, 'who = ["users"]': False}
RULE_FROM = {"": True, 'from = ["any"]': True, 'from = ["10.0.0.0/8"]': False}


@pytest.mark.parametrize(
    ("method", "open_"),
    [('["userpass"]', False), ('["userpass", "none"]', True)],
)
def test_rulesThatWantAMethod(method: str, open_: bool) -> None:
    """Who has not logged in came by "none"; a rule may want another method."""
    rule = f'allow = ["connect"]\nmethod = {method}'
    choose = 'methods = ["userpass", "none"]\ncleartext_passwords = true'
    text = configured(choose=choose, rule=rule)
    found = examined(text)
    assert any("exposed" in each.text for each in found.errors) == open_
    assert open_ or not found.errors
    assert bool(found.exposures) == open_


@pytest.mark.parametrize("listen", LISTENERS)
@pytest.mark.parametrize("methods", METHODS)
def test_theMatrixOfWhatIsExposed(listen: str, methods: str) -> None:
    """
    Exposed exactly when every part leaves strangers unnamed; `from = any` names
    nobody.
    """
    for source, who, origin in product(CHOOSE_FROM, RULE_WHO, RULE_FROM):
        expected = (
            LISTENERS[listen]
            and METHODS[methods]
            and CHOOSE_FROM[source]
            and RULE_WHO[who]
            and RULE_FROM[origin]
        )
        text = configured(
            listen, f"{methods}\n{source}", f"allow = ['connect']\n{who}\n{origin}"
        )
        assert isExposed(text) is expected, text


@pytest.mark.parametrize(
    ("wanted", "expected"), [("required", False), ("optional", True), ("off", True)]
)
def test_clientCertificates(tmp_path: Path, wanted: str, expected: bool) -> None:
    """Who has to show a certificate is no stranger; what it exposes is told."""
    root = Authority()
    server(root).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    ca = "" if wanted == "off" else 'client_ca = "ca.pem"'
    listen = (
        'address = ["0.0.0.0:1443"]\n[listen.tls]\ncertificate = "gw.pem"\n'
        f'key = "gw.key"\nclient_certificate = "{wanted}"\n{ca}'
    )
    found = examined(configured(listen), directory=tmp_path)
    assert ["exposed" in each.text for each in found.errors] == [True] * expected
    (line,) = found.exposures
    assert ("with a client certificate" in line) is not expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What grants nothing exposes nothing.
        (configured(rule="deny = 'any'"), False),
        (configured(rule="allow = []"), False),
        (configured(rule="allow = 'any'\nto = []"), False),
        (configured(rule="allow = 'any'\nports = []"), False),
        (configured(rule="allow = 'any'\nlistener = []"), False),
        (configured(rule="allow = 'any'\nfrom = []"), False),
        (configured(rule="allow = 'any'\nwho = []"), False),
        (configured(choose="methods = []"), False),
        # What grants little grants something.
        (configured(rule='allow = ["udp"]\nto = ["=a.example"]\nports = [53]'), True),
        (configured(listen='address = ["0.0.0.0:1"]\nprotocols = ["socks4"]'), True),
        # A source that has been asked for a login before is not a stranger.
        (
            configured(
                choose='methods = ["userpass"]\ncleartext_passwords = true',
                more='[[auth.choose]]\nmethods = ["none"]',
            ),
            False,
        ),
        # Those that are not asked are still strangers.
        (
            configured(
                choose='methods = ["userpass"]\nfrom = ["10.0.0.0/8"]\n'
                "cleartext_passwords = true",
                more='[[auth.choose]]\nmethods = ["none"]',
            ),
            True,
        ),
        # Named sources first, strangers behind.
        (
            configured(
                choose='methods = ["none"]\nfrom = ["127.0.0.0/8"]',
                more='[[auth.choose]]\nmethods = ["none"]',
            ),
            True,
        ),
        # By listener.
        (configured(choose='methods = ["none"]\nlistener = ["main"]'), True),
        (configured(rule='allow = "any"\nlistener = ["main"]'), True),
        (
            configured(
                choose='methods = ["none"]\nlistener = ["inner"]',
                more='[[listen]]\nname = "inner"\naddress = ["127.0.0.1:1"]',
            ),
            False,
        ),
        (
            configured(
                rule='allow = "any"\nlistener = ["inner"]',
                more='[[listen]]\nname = "inner"\naddress = ["127.0.0.1:1"]',
            ),
            False,
        ),
        # Everywhere by another word is everywhere.
        (
            configured(
                choose='methods = ["none"]\nfrom = ["world"]',
                more='[networks]\nworld = ["any"]',
            ),
            True,
        ),
        (
            configured(
                rule='allow = "any"\nfrom = ["world"]',
                more='[networks]\nworld = ["more"]\nmore = ["10.0.0.0/8", "any"]',
            ),
            True,
        ),
        # The order of the entries is no matter.
        (
            configured(
                rule='allow = "any"\nfrom = ["world"]',
                more='[networks]\nmore = ["all"]\nworld = ["more"]\nall = ["::/0"]',
            ),
            True,
        ),
        (
            configured(
                choose='methods = ["none"]\nfrom = ["site"]',
                more='[networks]\nsite = ["10.0.0.0/8"]',
            ),
            False,
        ),
    ],
)
def test_whatCountsAsGranting(text: str, expected: bool) -> None:
    """The edges of the definition."""
    assert isExposed(text) is expected


HALVES = '["0.0.0.0/1", "128.0.0.0/1"]'
HALVES6 = '["::/1", "8000::/1"]'
SIXTEENTHS = str([f"{n * 16}.0.0.0/4" for n in range(16)])
#: 5/8 of the multicast space, and of our own: large, and of nobody public.
INSIDE = '["private", "special", "224.0.0.0/4", "10.0.0.0/8", "fc00::/7"]'
EIGHT = '["17.0.0.0/8", "2001:4::/32"]'
MORE = '["17.0.0.0/8", "18.0.0.0/32"]'


@pytest.mark.parametrize("place", ["choose", "rule", "networks"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (HALVES, True),
        (HALVES6, True),
        (SIXTEENTHS, True),
        ('["0.0.0.0/1"]', True),
        ('["128.0.0.0/2", "10.0.0.0/8"]', True),
        ('["2000::/3"]', True),
        ('["2001::/16", "2002::/16", "2003::/16", "2400::/12"]', True),
        (INSIDE, False),
        (EIGHT, False),
        (MORE, True),
        ('["2400::/16"]', False),
    ],
)
def test_theShareOfTheInternetCountsNotTheWords(
    place: str, words: str, expected: bool
) -> None:
    """
    However it is spelt, and wherever: more public addresses than an IPv4 /8,
    or an IPv6 /16, have not been named by anybody.
    """
    parts = {
        "choose": {"choose": f'methods = ["none"]\nfrom = {words}'},
        "rule": {"rule": f'allow = ["connect"]\nfrom = {words}'},
        "networks": {
            "choose": 'methods = ["none"]\nfrom = ["a"]',
            "rule": 'allow = ["connect"]\nfrom = ["b"]',
            "more": f'[networks]\na = ["b"]\nb = {words}',
        },
    }
    assert isExposed(configured(**parts[place])) is expected


def test_coversOfSeveralEntriesAndRules() -> None:
    """The halves may stand apart: each in an entry, or in a rule, of its own."""
    low, high = 'from = ["0.0.0.0/1"]', 'from = ["128.0.0.0/1"]'
    entries = configured(
        choose=f'methods = ["none"]\n{low}',
        more=f'[[auth.choose]]\nmethods = ["none"]\n{high}',
    )
    rules = configured(
        rule=f'allow = ["connect"]\n{low}',
        more=f'[[rule]]\nid = "s"\nallow = ["connect"]\n{high}',
    )
    for text in (entries, rules):
        (error,) = examined(text).errors
        assert "100 % of the public IPv4 addresses" in error.text
    assert 'rules "r", "s" ask for no login' in error.text
    # Sixteen /12 of public space are no more than a /8; but one more is.
    twelfths = [f'"17.{n * 16}.0.0/12"' for n in range(16)]
    few = [
        f'[[rule]]\nid = "r{n}"\nallow = "any"\nfrom = [{x}]'
        for n, x in enumerate(twelfths)
    ]
    assert not isExposed(configured(rule='deny = ["bind"]', more="\n".join(few)))
    few.append('[[rule]]\nid = "last"\nallow = "any"\nfrom = ["18.0.0.0/12"]')
    assert isExposed(configured(rule='deny = ["bind"]', more="\n".join(few)))


def test_onlyWhatEntryAndRuleShareIsGranted() -> None:
    """Strangers that get in and are granted nothing are no relay's."""
    text = configured(
        choose=f'methods = ["none"]\nfrom = {HALVES}',
        rule='allow = ["connect"]\nfrom = ["10.0.0.0/8", "::/1"]',
    )
    assert not isExposed(text)
    assert isExposed(text.replace('"10.0.0.0/8"', '"192.0.0.0/3"'))


def test_theErrorNamesListenerAndRuleAndTheRemedy() -> None:
    """Refuses to start, and says why."""
    (error,) = examined(configured()).errors
    assert 'rule "r"' in error.text
    assert "from" in error.text


def test_theListOfExposuresSaysWhoFromWhereToWhat() -> None:
    """`check` ends with which rules admit anonymous, from where, to what."""
    found = examined(
        configured(
            'address = ["127.0.0.1:1080"]',
            'methods = ["none"]\nfrom = ["127.0.0.0/8"]',
            'allow = ["connect"]\nto = ["dc"]\nports = [443]',
            '[networks]\ndc = ["10.0.0.0/8"]\n'
            '[[rule]]\nid = "users"\nallow = ["connect"]\nwho = ["users"]\n'
            '[[rule]]\nid = "no"\ndeny = ["connect"]\n',
        )
    )
    assert found.errors == []
    (line,) = found.exposures
    for word in ("anonymous", '"main"', "127.0.0.0/8", "connect", "dc", "443", '"r"'):
        assert word in line


def test_theSameSourcesAreToldOnce() -> None:
    """A rule's sources are left out where they are those of the login."""
    source = 'from = ["127.0.8.0/24"]'
    choose = f'methods = ["none"]\n{source}'
    for more, told in (("", 0), ('\nfrom = ["127.0.8.1"]', 1)):
        rule = f'allow = ["connect"]{more or chr(10) + source}'
        text = configured('address = ["127.0.0.1:1080"]', choose, rule)
        said = "\n".join(examined(text).exposures)
        assert 'anonymous on "main" from 127.0.8.0/24' in said
        assert said.count("(of these: 127.0.8.1)") == said.count("of these") == told


def test_aLongListOfExposuresCanBeRead() -> None:
    """Of a thousand networks the first are shown, and how many more there are."""
    networks = ", ".join(f'"10.1.{i // 250}.{i % 250}"' for i in range(1000))
    found = examined(
        configured(
            'address = ["127.0.0.1:1080"]',
            'methods = ["none"]\nfrom = ["127.0.0.0/8"]',
            f'allow = ["connect"]\nto = [{networks}]',
        )
    )
    (line,) = found.exposures
    assert "10.1.0.0, 10.1.0.1, " in line
    assert "and 988 more" in line
    assert len(line) < 300


def test_nothingIsExposedWhereEverybodyLogsIn() -> None:
    """And `check` says so."""
    text = configured(choose='methods = ["userpass"]\ncleartext_passwords = true')
    found = examined(text)
    assert found.exposures == []
    lines = list(found.lines(loads(text, "gw.toml"), "is good"))
    assert lines[-1] == "exposed without login: nothing"


@pytest.mark.parametrize(
    ("listen", "allow", "told"),
    [
        ('transparent = "redirect"', '["connect", "udp"]', ["connect"]),
        ('transparent = "redirect"', '["udp"]', []),
        ('transparent = "redirect"', '"any"', ["connect"]),
        ('transparent = "tproxy"', '"any"', ["connect, udp"]),
        ("", '["bind", "udp"]', ["bind, udp"]),
    ],
)
def test_commandsOfClientsThatKnowNoProxy(
    listen: str, allow: str, told: list[str]
) -> None:
    """What the kernel does not divert to a listener is not exposed there."""
    text = configured(
        f'address = ["127.0.0.1:1080"]\n{listen}',
        'methods = ["none"]\nfrom = ["10.9.1.0/24"]',
        f'allow = {allow}\nto = ["10.0.0.0/8"]',
    )
    found = examined(text)
    assert found.errors == []
    assert [each.split(": ")[1].split(" to ")[0] for each in found.exposures] == told


@pytest.mark.parametrize(
    ("resolve", "said"),
    [("here", ", via up"), ("there", ", via up (which looks names up: no address")],
)
def test_upstreams(resolve: str, said: str) -> None:
    """They are named, and that the rules before judge no address of a name."""
    listen = 'address = ["127.0.0.1:1080"]'
    upstream = '[[upstream]]\nname = "up"\nurl = "socks5://gw.example:1080"\n'
    text = configured(listen, rule='allow = ["connect"]\nvia = ["up"]')
    text += f'{upstream}resolve = "{resolve}"\n'
    (line,) = examined(text).exposures
    assert f'by rule "r"{said}' in line
