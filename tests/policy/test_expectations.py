"""
C{[[expect]]}: tests of the policy that stand beside it.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet
from tests.fakes.policy import LISTEN, Facts

DIRECTORY = (
    LISTEN
    + """
[groups]
staff = { directory = ["cn=staff,dc=example"], members = ["carol"] }
own = ["bob"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff", "@own"]
[[expect]]
to = "8.8.8.8:80"
"""
)


def problems(text: str) -> list[str]:
    """What is wrong with the expectations."""
    config = loads(text, "gw.toml")
    compiled = Compiler(config, Facts()).compile()
    return [each.text for each in unmet(config, compiled.ruleset)]


@pytest.mark.parametrize(
    ("user", "groups", "told"),
    [
        # Only the directory knows whether she is in it.
        ("alice", None, False),
        ("alice", ["staff"], True),
        ("alice", ["own"], True),
        # These need no directory.
        ("carol", None, True),
        ("bob", None, True),
        ("anonymous", None, True),
    ],
)
def test_groupsThatADirectoryKnows(
    user: str, groups: list[str] | None, told: bool
) -> None:
    """No directory is asked, and nothing is guessed: they have to be said."""
    verdict = "deny" if user == "anonymous" else "allow"
    text = f'{DIRECTORY}who = "{user}"\nverdict = "{verdict}"\n'
    if groups is not None:
        text += f"groups = {groups}\n"
    assert problems(text) == (
        [] if told else ["the verdict depends on `groups`: give it"]
    )


def test_toSayThatThereAreNoGroupsIsToSaySomething() -> None:
    """An empty list is not a missing one."""
    text = f'{DIRECTORY}who = "alice"\nverdict = "deny"\ngroups = []\n'
    assert problems(text) == []


LOCAL = (
    LISTEN
    + """
[groups]
docker = ["gid:docker", "uid:1000"]
named = ["uid:someone"]
[[rule]]
id = "barred"
deny = "any"
who = ["uid:4711", "gid:60"]
[[rule]]
id = "build"
allow = ["connect"]
who = ["uid:build"]
[[rule]]
id = "named"
allow = ["connect"]
who = ["@named"]
[[rule]]
id = "docker"
allow = ["connect"]
who = ["@docker"]
[[expect]]
to = "8.8.8.8:80"
"""
)


@pytest.mark.parametrize(
    ("user", "groups", "rule"),
    [
        # The number and the groups of a user are this machine's to say.
        ("uid:build", None, None),
        ("uid:build", [], "build"),
        ("uid:build", ["gid:60"], "barred"),
        ("uid:build", ["uid:4711"], "barred"),
        ("uid:other", ["gid:docker"], "docker"),
        ("uid:other", ["docker"], "docker"),
        ("uid:other", ["uid:1000"], "docker"),
        ("uid:other", ["gid:61"], "default"),
        # A number is known of a user who has no name.
        ("uid:4711", [], "barred"),
        ("uid:1000", [], "docker"),
        ("uid:someone", [], "named"),
        # Nobody else is called so.
        ("build", None, "default"),
    ],
)
def test_usersOfThisMachine(
    user: str, groups: list[str] | None, rule: str | None
) -> None:
    """What only the kernel knows has to be said."""
    verdict = "allow" if rule in ("build", "docker", "named") else "deny"
    text = f'{LOCAL}who = "{user}"\nverdict = "{verdict}"\n'
    if groups is not None:
        text += f"groups = {groups}\n"
    if rule is not None:
        text += f'rule = "{rule}"\n'
        assert problems(text) == []
    else:
        assert problems(text) == ["the verdict depends on `groups`: give it"]


BEARERS = (
    LISTEN
    + """
[groups]
builders = { token = ["k8s:ci"] }
[[rule]]
id = "builders"
allow = ["connect"]
who = ["@builders"]
[[rule]]
id = "ci"
allow = ["connect"]
who = ["spiffe://corp.example/ci/*"]
[[rule]]
id = "star"
allow = ["connect"]
who = ['spiffe://corp.example/\\*']
[[expect]]
to = "8.8.8.8:80"
"""
)


@pytest.mark.parametrize(
    ("who", "rule"),
    [
        ("spiffe://corp.example/ci/build", "ci"),
        ("spiffe://corp.example/ci/a/b", "ci"),
        ("spiffe://corp.example/ci/", "default"),
        ("spiffe://corp.example/ci", "default"),
        ("spiffe://corp.example/cix", "default"),
        ("spiffe://corp.example.evil/ci/build", "default"),
        ("SPIFFE://corp.example/ci/build", "default"),
        (r"spiffe://corp.example/\*", "star"),
        ("spiffe://corp.example/x", "default"),
        ("anonymous", "default"),
    ],
)
def test_patterns(who: str, rule: str) -> None:
    """What a pattern means is what an expectation says, of one user each."""
    verdict = "deny" if rule == "default" else "allow"
    text = f'{BEARERS}who = \'{who}\'\nverdict = "{verdict}"\nrule = "{rule}"\n'
    assert problems(text + "groups = []\n") == []
    # Whether a token says so is not known.
    if who != "anonymous":
        (told,) = problems(text)
        assert told.endswith("depends on `groups`: give it")


def test_noPatternAsks() -> None:
    """A question is about one user."""
    text = f"{BEARERS}who = 'a*'\nverdict = \"deny\"\ngroups = []\n"
    (said,) = problems(text)
    assert 'a "*" is the end of a pattern' in said
    text = f"{BEARERS}who = 'a/*'\nverdict = \"deny\"\ngroups = []\n"
    (said,) = problems(text)
    assert "about one user" in said


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ('who = "alice"\ntag = "job-1"\nverdict = "allow"', ""),
        ('who = "alice"\ntag = ""\nverdict = "deny"', ""),
        ('who = "alice"\ntag = "job"\nverdict = "deny"', ""),
        ('who = "alice"\nverdict = "deny"', "depends on `tag`"),
        ('who = "anonymous"\nverdict = "deny"', ""),
    ],
)
def test_tags(facts: str, told: str) -> None:
    """A tag is a fact as any other: it is not guessed."""
    text = (
        f'{LISTEN}[auth]\ntag_separator = "+"\n[[rule]]\nid = "job"\n'
        f'allow = ["connect"]\ntag = ["job-*"]\n[[expect]]\nto = "8.8.8.8:80"\n{facts}\n'
    )
    found = problems(text)
    assert len(found) == bool(told)
    assert told in "".join(found)


WEB = (
    LISTEN
    + """
[[rule]]
id = "mail"
allow = ["connect"]
who = ["bob"]
to = ["9.9.9.9"]
[[rule]]
id = "web"
allow = ["connect"]
who = ["alice"]
to = ["9.9.9.9"]
ports = [443]
[[rule]]
id = "late"
deny = "any"
who = ["carol"]
[[expect]]
command = "connect"
"""
)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        (
            'who = "alice"\nto = "9.9.9.9:80"\nverdict = "allow"',
            'and it is deny by rule "default"; the nearest that would allow it is '
            '"web": ports does not match',
        ),
        (
            'who = "alice"\nto = "9.9.9.8:443"\nverdict = "allow"\nrule = "mail"',
            'and it is deny by rule "default"; of "mail", who does not match',
        ),
        # Nothing else denies; who is another one.
        (
            'who = "alice"\nto = "9.9.9.9:443"\nverdict = "deny"',
            'and it is allow by rule "web"',
        ),
        (
            'who = "alice"\nto = "9.9.9.9:443"\nverdict = "deny"\nrule = "late"',
            'and it is allow by rule "web"; "late" is not asked before it',
        ),
        # The named rule decides, and otherwise.
        (
            'who = "alice"\nto = "9.9.9.9:443"\nverdict = "deny"\nrule = "web"',
            'and it is allow by rule "web"',
        ),
    ],
)
def test_nearest(expect: str, told: str) -> None:
    """The rule that was to decide is named, and what of it does not match."""
    (said,) = problems(f"{WEB}{expect}\n")
    assert said.endswith(told)
