"""
What check says of deciders, and of the rules and listeners that they are for.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from tests.tools.examining import HEAD, examined, wrong

RULES = """
[[rule]]
id = "no"
deny = "any"
ports = [25]
[[rule]]
id = "web"
allow = ["connect"]
decider = "opa"
"""


def decider(more: str = "", name: str = "opa") -> str:
    """Return the table of one."""
    return f'[[decider]]\nname = "{name}"\nurl = "http://127.0.0.1:8181/x"\n{more}\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "about rule web; without an answer: denied"),
        ('on_failure = "allow"', "about rule web; without an answer: ALLOWED"),
        ('rule = ["web"]', "about rule web;"),
        ('listener = ["main"]', "about every rule on main;"),
        ('rule = ["web"]\nlistener = ["main"]', "about rule web on main;"),
        ('socket = "opa.sock"', "(http://127.0.0.1:8181/x by opa.sock)"),
    ],
)
def test_good(more: str, said: str) -> None:
    """What can be; and people are told who is asked about what."""
    found = examined(HEAD + decider(more) + RULES)
    assert (found.errors, list(found.deciders)) == ([], ["opa"])
    config = loads(HEAD + decider(more) + RULES, "gw.toml")
    (line,) = [each for each in found.lines(config, "is good") if '"opa"' in each]
    assert said in line


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        (decider(name="opb") + RULES, "rule[1].decider", 'did you mean "opb"'),
        (decider(name="a,b") + RULES.replace("opa", "a,b"), "decider[0].name", "comma"),
        (decider() + decider() + RULES, "decider[1].name", "another one's"),
        (decider('rule = ["wib"]') + RULES, "decider[0].rule[0]", '"web"'),
        (decider('rule = ["no"]') + RULES, "decider[0].rule[0]", "denies"),
        (decider('listener = ["mein"]') + RULES, "decider[0].listener[0]", '"main"'),
        (decider("connections = 99") + RULES, "decider[0].connections", "64"),
        (
            decider() + RULES.replace("ports = [25]", 'ports = [25]\ndecider = "opa"'),
            "rule[0].decider",
            "may only deny",
        ),
        (decider() + RULES.replace('"web"', '"decider"'), "rule[1].id", "its own"),
    ],
)
def test_bad(text: str, path: str, said: str) -> None:
    """Each says where, and what to do."""
    found = dict(wrong(HEAD + text))
    if path.endswith(".id"):
        assert path in found
        return
    assert list(found) == [path]
    assert said in found[path]


def test_unused() -> None:
    """One that nothing names is asked about nothing, and that is told."""
    text = HEAD + decider() + RULES.replace('decider = "opa"', "")
    (warning,) = [w for w in examined(text).warnings if w.path == "decider[0]"]
    assert "asked about nothing" in warning.text
