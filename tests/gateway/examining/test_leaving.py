"""
What is said of C{leave_by}, C{device}, C{mark} and C{proxy_header} before it fails.
"""

from __future__ import annotations

import socket

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining.leaving import examineLeaving
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.links import Link
from tests.tools.examining import HEAD, wrong


def rule(keys: str, allow: str = 'allow = "any"') -> str:
    """Return a rule with these keys."""
    return f'[[rule]]\nid = "r"\n{allow}\n{keys}\n'


def found(text: str, *links: Link, device: str = "") -> Problems:
    """Examine what leaves on a host of these addresses, by this device."""
    problems = Problems()
    examineLeaving(loads(text, "gw.toml"), links, lambda *_: device, problems)
    return problems


def said(problems: Problems) -> list[tuple[str, str]]:
    """Return the warnings; there are no errors."""
    assert not problems.errors
    return [(each.path, each.text) for each in problems.warnings]


@pytest.mark.parametrize(
    ("keys", "path", "text"),
    [
        ("leave_by = []", "leave_by", "names no address"),
        ('leave_by = ["same", "192.0.2.7"]', "leave_by", "stands alone"),
        ('leave_by = ["192.0.2.0/24"]', "leave_by[0]", "without port or prefix"),
        ('leave_by = ["192.0.2.7:0"]', "leave_by[0]", "without port or prefix"),
        ('leave_by = ["eth0"]', "leave_by[0]", "without port or prefix"),
        ('leave_by = ["0.0.0.0"]', "leave_by[0]", "so without leave_by"),
        ('leave_by = ["::"]', "leave_by[0]", "so without leave_by"),
        ('leave_by = ["224.0.0.1"]', "leave_by[0]", "no address of one host"),
        ('leave_by = ["255.255.255.255"]', "leave_by[0]", "no address of one host"),
        ('leave_by = ["fe80::1"]', "leave_by[0]", "use device"),
        ("mark = -1", "mark", "from 0 to 4294967295"),
        ("mark = 4294967296", "mark", "from 0 to 4294967295"),
        ('device = "a/b"', "device", "no name of a device"),
        ('device = "0123456789abcdef"', "device", "no name of a device"),
        (
            'to = ["2001:db8::/32"]\nleave_by = ["127.0.0.1"]',
            "leave_by",
            "has no IPv6 address, and destinations of the rule are IPv6 alone",
        ),
    ],
)
def test_wrong(keys: str, path: str, text: str) -> None:
    """Each is an error, with what to do instead."""
    (problem,) = [why for where, why in wrong(HEAD + rule(keys))
                  if where == f"rule[0].{path}"]  # fmt: skip
    assert text in problem


@pytest.mark.parametrize(
    "key",
    ['leave_by = "same"', 'device = "lo"', "mark = 7", 'proxy_header = "v2"'],
)
@pytest.mark.parametrize("allow", ['deny = "any"', 'allow = ["resolve"]'])
def test_withoutEffect(key: str, allow: str) -> None:
    """Of a rule by which nothing leaves."""
    (path,) = [
        where for where, why in wrong(HEAD + rule(key, allow)) if "no effect" in why
    ]
    assert path == f"rule[0].{key.split()[0]}"


def test_headerOfOtherCommands() -> None:
    """Peers of BIND and datagrams have no header."""
    text = HEAD + rule('proxy_header = "v1"', 'allow = ["bind", "udp"]')
    assert ("rule[0].proxy_header", "has no effect: it is for connect, which is not allowed") in wrong(text)  # fmt: skip


def test_unknownVersion() -> None:
    """There are two."""
    with pytest.raises(Exception, match='one of "v1", "v2"'):
        loads(rule('proxy_header = "v3"'), "gw.toml")


def test_anAddressOfAnotherHost() -> None:
    """It may come later; until then it fails."""
    ((path, text),) = said(found(rule('leave_by = ["192.0.2.7"]')))
    assert path == "rule[0].leave_by[0]"
    assert "192.0.2.7 is no address of this host now" in text
    # In a network namespace it is not known which there are.
    listen = '[[listen]]\nname = "l"\naddress = ["10.0.0.1:1"]\nnetns = "b"\n'
    assert not said(found(listen + rule('leave_by = ["192.0.2.7"]')))
    assert not said(found(f'{listen}leave_by = ["192.0.2.7"]\n'))


def test_loopback() -> None:
    """Nothing of it leaves the host."""
    ((_, text),) = said(found(rule('leave_by = ["127.0.0.1"]')))
    assert "nothing of it leaves" in text


def test_twice() -> None:
    """An address that stands there twice has no more users for that."""
    warned = said(found(rule('leave_by = ["127.0.0.1", "127.0.0.1"]')))
    assert ("rule[0].leave_by[1]", '"127.0.0.1" stands there twice') in warned


def test_someDestinations() -> None:
    """Those of the other version of IP are refused; names may be of either."""
    keys = 'leave_by = ["127.0.0.1"]\nto = ["192.0.2.0/24", "2001:db8::1"]'
    warned = dict(said(found(rule(keys))))
    assert "those are refused; add one" in warned["rule[0].leave_by"]
    keys = 'leave_by = ["127.0.0.1"]\nto = ["2001:db8::1", "*.example"]'
    assert "rule[0].leave_by" not in dict(said(found(rule(keys))))


def test_device() -> None:
    """One that is missing may come; the others are not named."""
    ((path, text),) = said(found(rule('device = "none"')))
    assert path == "rule[0].device"
    assert 'there is no "none" on this machine now' in text
    assert not said(found(rule('device = "lo"')))


@pytest.mark.parametrize(
    ("keys", "severe", "text"),
    [
        ('address = ["192.0.2.1:1080"]', None, ""),
        ('endpoint = "tcp:1"', None, ""),
        ('address = ["127.0.0.1:1080", "unix:/x"]', False, "has no effect"),
        ('address = ["127.0.0.1:1"]\ntransparent = "tproxy"', True, "tproxy"),
    ],
)
def test_same(keys: str, severe: bool | None, text: str) -> None:
    """Where clients come to an address by which nothing can leave."""
    listen = f'[[listen]]\nname = "l"\nleave_by = "same"\n{keys}\n'
    problems = found(listen)
    texts = [each.text for each in (problems.errors if severe else problems.warnings)]
    if severe is None:
        assert not problems.errors + problems.warnings
    else:
        assert text in texts[0]


def test_severalNetworks() -> None:
    """An address is in one of them; the rule has to say for whom it is."""
    listen = '[[listen]]\nname = "{0}"\naddress = ["10.0.0.1:1"]\nnetns = "{0}"\n'
    both = listen.format("a") + listen.format("b")
    ((path, text),) = said(found(both + rule('leave_by = ["192.0.2.7"]')))
    assert (path, '("a", "b")' in text) == ("rule[0].leave_by", True)
    only = 'leave_by = ["192.0.2.7"]\nlistener = ["a"]'
    assert not said(found(both + rule(only)))
    assert not said(found(both + rule('leave_by = "same"')))


def test_sameOfDivertedClients() -> None:
    """They come to addresses that are not ours."""
    listen = (
        '[[listen]]\nname = "d"\naddress = ["127.0.0.1:1"]\ntransparent = "tproxy"\n'
    )
    ((path, text),) = said(found(listen + rule('leave_by = "same"')))
    assert (path, '"same" fails for clients of "d"' in text) == (
        "rule[0].leave_by",
        True,
    )


def test_mark() -> None:
    """Whoever may not set marks is told; whoever may is not."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        allowed = True
    except PermissionError:
        allowed = False
    warned = said(
        found('[[listen]]\nname = "l"\naddress = ["192.0.2.1:1"]\nmark = 7\n')
    )
    assert [path for path, _ in warned] == ([] if allowed else ["listen[0].mark"])
    if not allowed:
        assert "CAP_NET_ADMIN" in warned[0][1]
