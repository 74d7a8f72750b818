"""
What the compiler finds wrong or odd in the policy, each with its TOML path.
"""

from __future__ import annotations

import pytest

from tests.fakes.policy import ALL, compiled, errors, judge, rule, ruleset, warnings


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        # Words of this machine that name nobody, or are taken for a group's name.
        (rule("r", 'who = ["uid:"]'), "rule[0].who[0]", "behind the colon"),
        (
            '[groups]\na = ["gid:"]\n' + rule("r", 'who = ["@a"]'),
            "groups.a[0]",
            "colon",
        ),
        ('[groups]\n"uid:a" = ["b"]\n' + rule("r"), "groups.uid:a", "this machine"),
        # Undeclared names.
        (rule("r", 'who = ["@nobody"]'), "rule[0].who[0]", '"@nobody"'),
        (rule("r", 'who = ["a", "@b"]'), "rule[0].who[1]", "[groups]"),
        (rule("r", 'to = ["dc"]'), "rule[0].to[0]", "[networks]"),
        (rule("r", 'from = ["any", "dc"]'), "rule[0].from[1]", '"dc"'),
        (rule("r", 'resolving_to = ["dc"]'), "rule[0].resolving_to[0]", '"dc"'),
        (rule("r", 'listener = ["lan"]'), "rule[0].listener[0]", '"lan"'),
        ('[networks]\na = ["b"]\n' + rule("r", 'to=["a"]'), "networks.a[0]", '"b"'),
        ('[never]\nalso = ["dc"]\n', "never.also[0]", '"dc"'),
        # Duplicate ids.
        (rule("r", "ports = [1]") + rule("r"), "rule[1].id", '"r"'),
        # What people are told of a denial.
        (rule("r", 'message = "no"'), "rule[0].message", "denies"),
        (
            '[[rule]]\nid = "r"\ndeny = "any"\nmessage = "a\\nb"',
            "rule[0].message",
            "one line",
        ),
        (
            f'[[rule]]\nid = "r"\ndeny = "any"\nmessage = "{"n" * 201}"',
            "rule[0].message",
            "200",
        ),
        # An id is mandatory, and not one of ours.
        (rule(""), "rule[0].id", "empty"),
        (rule("never"), "rule[0].id", "never"),
        (rule("default"), "rule[0].id", "default"),
        # Patterns that can never match.
        (rule("r", 'to = ["*"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["*."]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["."]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["="]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["*corp.example"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["*.*.example"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=a..b"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=a b"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=-a.example"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=bücher.example"]'), "rule[0].to[0]", "never match"),
        (rule("r", f'to = ["={"a" * 64}.example"]'), "rule[0].to[0]", "never match"),
        # A literal is an address, never a name.
        (rule("r", 'to = ["=10.0.0.1"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=0x7f.1"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["=::1"]'), "rule[0].to[0]", "never match"),
        (rule("r", 'to = ["*.0.0.1"]'), "rule[0].to[0]", "never match"),
        # Networks.
        (rule("r", 'to = ["10.0.0.1/8"]'), "rule[0].to[0]", "10.0.0.0/8"),
        (rule("r", 'to = ["10.0.0.0/33"]'), "rule[0].to[0]", "32"),
        (rule("r", 'to = ["10.0.0.0/"]'), "rule[0].to[0]", "prefix"),
        (rule("r", 'to = ["10.0.0.0/255.0.0.0"]'), "rule[0].to[0]", "prefix"),
        (rule("r", 'to = ["10.0.0"]'), "rule[0].to[0]", '"10.0.0"'),
        (rule("r", 'to = ["010.0.0.1"]'), "rule[0].to[0]", '"010.0.0.1"'),
        (rule("r", 'to = ["2001:db8::1/32"]'), "rule[0].to[0]", "2001:db8::/32"),
        (rule("r", 'to = ["fe80::1%eth0"]'), "rule[0].to[0]", "zone"),
        (rule("r", 'to = ["::ffff:10.0.0.0/104"]'), "rule[0].to[0]", "IPv4"),
        (rule("r", 'to = [""]'), "rule[0].to[0]", '""'),
        (rule("r", 'to = ["example.com:443"]'), "rule[0].to[0]", "example.com:443"),
        # Where an address counts, a name is wrong.
        (rule("r", 'from = ["*.example"]'), "rule[0].from[0]", "name"),
        (rule("r", 'resolving_to = ["=a.b"]'), "rule[0].resolving_to[0]", "name"),
        ('[never]\nalso = ["*.example"]\n', "never.also[0]", "name"),
        # Ports.
        (rule("r", "ports = [0]"), "rule[0].ports", "65535"),
        (rule("r", "ports = [65536]"), "rule[0].ports", "65535"),
        (rule("r", "ports = [-1]"), "rule[0].ports", "-1"),
        (rule("r", 'ports = ["9-8"]'), "rule[0].ports", "in ascending order"),
        (rule("r", 'ports = ["1-65536"]'), "rule[0].ports", "65535"),
        (rule("r", 'ports = ["http"]'), "rule[0].ports", "http"),
        (rule("r", 'ports = ["1-"]'), "rule[0].ports", "1-"),
        # allow, deny
        ('[[rule]]\nid = "r"\n', "rule[0]", "allow or deny"),
        (rule("r", 'allow = "any"', "deny = []"), "rule[0]", "allow or deny"),
        # [networks]
        ('[networks]\nspecial = ["10.0.0.0/8"]\n', "networks.special", "built-in"),
        ('[networks]\n"=a" = ["10.0.0.0/8"]\n', "networks.=a", "name"),
        ('[networks]\n"10.0.0.0/8" = ["any"]\n', "networks.10.0.0.0/8", "name"),
        ('[networks]\na = ["a"]\n' + rule("r", 'to = ["a"]'), "networks.a[0]", "a"),
        # [groups]
        ('[groups]\ng = ["@h"]\n', "groups.g[0]", "user"),
        ('[groups]\ng = ["anonymous"]\n', "groups.g[0]", "user"),
        ('[groups]\ng = [""]\n', "groups.g[0]", "user"),
        # [never]
        ('[never]\nexcept = ["loopback"]\n', "never.except[0]", "loopback"),
        ('[never]\nexcept = ["127.0.0.1:0"]\n', "never.except[0]", "port"),
        ('[never]\nexcept = ["127.0.0.1:65536"]\n', "never.except[0]", "port"),
        ('[never]\nexcept = ["127.0.0.1:http"]\n', "never.except[0]", "port"),
        ('[never]\nexcept = ["host:80"]\n', "never.except[0]", "host"),
        ('[never]\nexcept = ["0x7f.1:80"]\n', "never.except[0]", "0x7f.1"),
        ('[never]\nto = []\nalso = ["private"]\n', "never.also", "nothing"),
    ],
)
def test_eachErrorHasItsPlaceAndIsSaidOnce(text: str, path: str, said: str) -> None:
    """One mistake is one error, at its TOML path, with what is wrong."""
    found = errors(text)
    assert [place for place, _ in found] == [path]
    assert said in found[0][1]
    for name in ("str", "int", "tuple", "None", "Error", "object"):
        assert name not in found[0][1].split()


def test_allErrorsComeAtOnce() -> None:
    """Nothing hides behind the first error."""
    found = errors(
        '[networks]\nbad = ["1.2.3"]\n'
        + rule("a", 'to = ["nowhere"]', 'who = ["@nobody"]')
        + rule("a", 'listener = ["none"]', "ports = [0]")
    )
    assert sorted(path for path, _ in found) == [
        "networks.bad[0]",
        "rule[0].to[0]",
        "rule[0].who[0]",
        "rule[1].id",
        "rule[1].listener[0]",
        "rule[1].ports",
    ]


def test_anErrorInANetworkUsedTwiceIsSaidOnce() -> None:
    """It stands in one place of the file."""
    found = errors(
        '[networks]\nbad = ["1.2.3"]\n'
        + rule("a", 'to = ["bad"]', "ports = [1]")
        + rule("b", 'to = ["bad"]', "ports = [2]")
    )
    assert [path for path, _ in found] == ["networks.bad[0]"]


def test_aPatternInANetworkIsWrongWhereverAnAddressCounts() -> None:
    """It is told at its own place, once, however deep it is."""
    found = errors(
        '[networks]\na = ["b", "10.0.0.0/8"]\nb = ["*.example"]\n'
        + rule("r", 'from = ["a"]', "ports = [1]")
        + rule("s", 'from = ["a", "b"]', "ports = [2]")
    )
    assert [path for path, _ in found] == ["networks.b[0]"]


def test_networksThatContainEachOtherEnd() -> None:
    """A circle is an error, and not an endless one."""
    found = errors('[networks]\na = ["b"]\nb = ["a"]\n' + rule("r", 'to = ["a"]'))
    assert found
    assert {path for path, _ in found} <= {"networks.a[0]", "networks.b[0]"}


# Warnings.


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[networks]\ndc = ["10.0.0.0/8"]\n', "networks.dc"),
        ('[groups]\ng = ["alice"]\n', "groups.g"),
        ("[groups]\ng = []\n" + rule("r", 'who = ["@g"]'), "groups.g"),
        ('[never]\nto = ["special"]\n', "never.to"),
        ("[never]\nto = []\n", "never.to"),
    ],
)
def test_oddThingsAreWarnings(text: str, path: str) -> None:
    """Unused names, empty groups, and a ban that is not the default."""
    assert [place for place, _ in warnings(text)] == [path]


@pytest.mark.parametrize(
    "use",
    [
        rule("r", 'to = ["dc"]'),
        rule("r", 'from = ["dc"]'),
        rule("r", 'resolving_to = ["dc"]'),
        '[never]\nalso = ["dc"]\n',
    ],
)
def test_aNameThatIsUsedIsNotWarnedOf(use: str) -> None:
    """Wherever a network may stand, standing there is a use."""
    assert warnings('[networks]\ndc = ["10.0.0.0/8"]\n' + use) == []


def test_aPolicyWithoutMistakesHasNeither() -> None:
    """Nothing is said of what is right."""
    found = compiled(
        """
        [groups]
        engineers = ["alice", "bob"]
        [networks]
        dc = ["10.1.0.0/16", "*.corp.example"]
        [never]
        also = ["10.9.0.0/16"]
        except = ["127.0.0.1:8080", "[::1]:8080", "169.254.0.0/16", "::1", "10.9.0.1"]
        [[rule]]
        id = "engineers"
        allow = ["connect"]
        who = ["@engineers"]
        to = ["*.corp.example", "dc"]
        resolving_to = ["private"]
        ports = [22, 443, "8000-8099"]
        [[rule]]
        id = "no-private"
        deny = "any"
        to = ["private"]
        [[rule]]
        id = "web"
        allow = ["connect"]
        ports = [80, 443]
        """
    )
    assert (found.errors, found.warnings) == ([], [])


def test_anIPv4MappedExceptionIsTheIPv4Address() -> None:
    """No spelling of an address is another address."""
    rules = ruleset('[never]\nexcept = ["[::ffff:127.0.0.1]:443"]\n' + ALL)
    assert judge(rules, "127.0.0.1") == (True, "all")
