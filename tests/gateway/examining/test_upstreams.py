"""
What check says of upstreams, and of the chains that rules make of them.
"""

from __future__ import annotations

import pytest

from tests.fakes.policy import Facts
from tests.tools.examining import HEAD, examined, wrong


def upstream(name: str, more: str = "", url: str = "socks5://gw.example:1080") -> str:
    """Return the table of one."""
    return f'[[upstream]]\nname = "{name}"\nurl = "{url}"\n{more}\n'


def rule(via: str, more: str = 'allow = ["connect"]') -> str:
    """Return the table of a rule that leaves so."""
    return f'[[rule]]\nid = "r"\n{more}\nvia = {via}\n'


THREE = upstream("a") + upstream("b") + upstream("c", 'resolve = "there"')


@pytest.mark.parametrize(
    "via",
    [
        '["a"]',
        '["a", "b", "c"]',
        '["a", "b", "a", "c"]',
        '[["a", "b"], "c"]',
        '[["a", "b", "direct"]]',
    ],
)
def test_good(via: str) -> None:
    """Chains that can be."""
    assert wrong(HEAD + THREE + rule(via)) == []


@pytest.mark.parametrize(
    ("via", "place", "text"),
    [
        ('["d"]', "[0]", 'no [[upstream]] named "d"'),
        ('["a", ["b", "bb"]]', "[1]", 'no [[upstream]] named "bb"; did you mean "b"?'),
        ('["a", "a", "a", "a", "a"]', "", "a chain has 4 at most"),
        ('[["a", "a"]]', "[0]", "twice"),
        ('[["a", "c"]]', "[0]", "`resolve`"),
        ('[["c", "direct"]]', "[0]", "`resolve`"),
        ('["direct"]', "[0]", "only place"),
        ('["a", "direct"]', "[1]", "only place"),
        ('["a", ["b", "direct"]]', "[1]", "only place"),
        ('[["direct", "a"]]', "[0]", "only place"),
    ],
)
def test_bad(via: str, place: str, text: str) -> None:
    """Each says where, and what to do."""
    ((path, said),) = wrong(HEAD + THREE + rule(via))
    assert path == f"rule[0].via{place}"
    assert text in said


def test_denials() -> None:
    """Nothing leaves by them."""
    assert wrong(HEAD + THREE + rule('["a"]', 'deny = "any"')) == [
        ("rule[0].via", "is only for a rule that allows")
    ]


def test_names() -> None:
    """Each is one, once, and cannot be taken for something else."""
    text = HEAD + upstream("a") + upstream("a") + upstream("direct")
    text += upstream("b|c") + upstream("")
    assert [path for path, _ in wrong(text)] == [
        "upstream[1].name",
        "upstream[2].name",
        "upstream[3].name",
        "upstream[4].name",
    ]


def test_loop() -> None:
    """The address is that of a listener of this gateway."""
    text = HEAD + upstream("a", "", "socks5://9.9.9.1:1080") + rule('["a"]')
    ((path, said),) = wrong(text)
    assert path == "upstream[0].url"
    assert "listener of this gateway" in said


def test_loopbackOfAnother() -> None:
    """Behind another upstream, loopback is that one's; our own address is ours."""
    for host, errors in (("127.0.0.1", 0), ("9.9.9.1", 1)):
        facts = Facts(listening=[(host, 1080)])
        text = HEAD + upstream("a") + upstream("b", "", f"socks5://{host}:1080")
        assert len(examined(text + rule('["a", "b"]'), facts=facts).errors) == errors
        assert len(examined(text + rule('["b", "a"]'), facts=facts).errors) == 1


def test_url() -> None:
    """It is told where it stands."""
    ((path, said),) = wrong(HEAD + upstream("a", "", "gw:1080") + rule('["a"]'))
    assert path == "upstream[0].url"
    assert "must be a URL" in said


def test_unused() -> None:
    """It is likely that a rule was meant to name it."""
    found = examined(HEAD + THREE + rule('["a", "c"]')).warnings
    assert [(each.path, each.text) for each in found if "upstream" in each.path] == [
        ("upstream[1]", '"b" is in via of no rule')
    ]


def test_denialsThatNamesPassBy() -> None:
    """A denial by address before a rule that has names looked up there."""
    no = '[[rule]]\nid = "{}"\ndeny = {}\n{}\n'
    text = HEAD + THREE
    text += no.format("in", '"any"', 'to = ["private", "*.corp.example"]')
    text += no.format("name", '"any"', 'to = ["*.corp.example"]')
    text += no.format("bind", '["bind"]', 'to = ["private"]')
    text += no.format("to", '["connect"]', 'resolving_to = ["private"]')
    text += rule('["a"]').replace('"r"', '"here"').replace("via", "ports = [80]\nvia")
    text += rule('["c"]')
    text += no.format("late", '"any"', 'to = ["private"]')
    found = [
        each
        for each in examined(text).warnings
        if "looks" in each.text or "look" in each.text
    ]
    assert [each.path for each in found] == ["rule[3]", "rule[0]"]
    assert 'rule "r"' in found[0].text
