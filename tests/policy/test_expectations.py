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
[[rule]]
id = "barred"
deny = "any"
who = ["uid:4711", "gid:60"]
[[rule]]
id = "build"
allow = ["connect"]
who = ["uid:build"]
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
        # Nobody else is called so.
        ("build", None, "default"),
    ],
)
def test_usersOfThisMachine(
    user: str, groups: list[str] | None, rule: str | None
) -> None:
    """What only the kernel knows has to be said."""
    verdict = "allow" if rule in ("build", "docker") else "deny"
    text = f'{LOCAL}who = "{user}"\nverdict = "{verdict}"\n'
    if groups is not None:
        text += f"groups = {groups}\n"
    if rule is not None:
        text += f'rule = "{rule}"\n'
        assert problems(text) == []
    else:
        assert problems(text) == ["the verdict depends on `groups`: give it"]
