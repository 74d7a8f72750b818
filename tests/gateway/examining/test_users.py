"""
Users and groups that the configuration names, and nobody knows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.login import passwords
from tests.tools.examining import HEAD, LISTEN, examined, wrong


def test_usersThatNobodyKnows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Names in rules and groups that no file of users has are warned of, unless
    somebody may log in whom no checker is asked about. A pattern is an error, and
    that is enough.
    """
    monkeypatch.setattr(passwords, "_LN", 2)
    passwords.setPassword(tmp_path / "users", "alice", b"sesame")
    rest = """
    [groups]
    staff = ["alice", "alise"]
    [[rule]]
    id = "r"
    allow = ["connect"]
    who = ["anonymous", "users", "@staff", "bob", "bot-*"]
    [auth]
    checkers = ["passwd:users"]
    [[auth.choose]]
    cleartext_passwords = true
    methods = ["userpass"]
    """
    listen = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:1080"]\n'

    def found(text: str) -> list[str]:
        config = loads(listen + text, "gw.toml", tmp_path)
        warnings = examined(config, checkers=False).warnings
        return [each.path for each in warnings if "knows a user" in each.text]

    assert found(rest) == ["groups.staff[1]", "rule[0].who[3]"]
    assert found(rest.replace('["userpass"]', '["userpass", "certificate"]')) == []


@pytest.mark.parametrize(("names", "warned"), [("lower", True), ("exact", False)])
def test_namesThatNobodyHas(names: str, warned: bool) -> None:
    """Kerberos names are folded: one with a capital is nobody's."""
    text = HEAD.replace('methods = ["none"]', 'methods = ["gssapi"]')
    groups = 'staff = ["alice", "Bob@CORP"]\nEngineers = ["alice"]'
    text = text.replace('staff = ["alice"]', groups)
    text = f"""
[auth]
kerberos_names = "{names}"
gssapi = {{ mechanism = "stub" }}
{text}[[rule]]
id = "r"
allow = ["connect"]
who = ["Carol", "carol", "@staff", "@Engineers", "alice@CORP"]
"""
    found = examined(text, checkers=False)
    paths = ["groups.staff[1]", "rule[0].who[0]"] if warned else []
    assert [w.path for w in found.warnings if "no user is called" in w.text] == paths


def test_wrongLinesOfUsers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a file of users that is wrong is told with its number."""
    monkeypatch.setattr(passwords, "_LN", 2)
    passwords.setPassword(tmp_path / "users", "alice", b"sesame")
    with (tmp_path / "users").open("a") as opened:
        opened.write("bob:nothing\n")
    text = '[auth]\ncheckers = ["passwd:users"]\n' + HEAD
    config = loads(text, "gw.toml", tmp_path)
    found = examined(config, checkers=False)
    assert not found.errors
    (warning,) = [w for w in found.warnings if w.path == "auth.checkers"]
    assert warning.text.startswith(f"{tmp_path}/users: line 2: not a $scrypt$")


def test_usersMisspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word for all who have logged in is proposed for what looks like it."""
    monkeypatch.setattr(passwords, "_LN", 2)
    passwords.setPassword(tmp_path / "users", "alice", b"sesame")
    rule = '[[rule]]\nid = "r"\nallow = "any"\nwho = ["user", "bob"]\n'
    text = '[auth]\ncheckers = ["passwd:users"]\n' + HEAD + rule
    found = examined(loads(text, "gw.toml", tmp_path), checkers=False)
    said = {w.path: w.text for w in found.warnings}
    assert (
        said["rule[0].who[0]"]
        == 'no checker knows a user "user"; did you mean "users"?'
    )
    assert said["rule[0].who[1]"] == 'no checker knows a user "bob"'


GROUP = 'groups = { g = { directory = ["%s"] } }\nrule = [{ id = "r", allow = "any", who = ["@g"] }]\n'


def test_groupsOfADirectory() -> None:
    """
    A directory's group needs a checker that knows groups, and a name that is
    one there.
    """
    plain = examined(GROUP % "cn=x" + LISTEN)
    assert not plain.errors
    assert ("groups.g.directory", "no checker knows groups: this adds no members") in [
        (each.path, each.text) for each in plain.warnings
    ]
    issued = examined(GROUP.replace("directory", "token") % "x" + LISTEN)
    assert [(each.path, each.text) for each in issued.warnings] == [
        ("groups.g.token", "no checker takes tokens: this adds no members")
    ]
    ldap = (
        f'{LISTEN}[[auth.checker]]\nkind = "ldap"\nbase = "dc=x"\nurl = ["ldaps://h"]\n'
    )
    assert not wrong(GROUP % "CN=A, OU=b" + ldap, checkers=False)
    ((path, text),) = wrong(GROUP % "A" + ldap, checkers=False)
    assert path == "groups.g.directory[0]"
    assert text == '"A" is not a distinguished name'
    http = '[[auth.checker]]\nkind = "http"\nurl = "https://h/"\n'
    assert not wrong(GROUP % "A" + ldap + http, checkers=False)


def test_namesWithTheSeparator(tmp_path: Path) -> None:
    """Such a user of a file cannot log in, and is told of."""
    for name in ("alice", "bob+x"):
        passwords.setPassword(tmp_path / "users", name, b"x")
    text = (
        f'{LISTEN}[auth]\ncheckers = ["passwd:users"]\ntag_separator = "+"\n'
        '[[auth.choose]]\nmethods = ["userpass"]\n'
    )
    found = examined(text, False, tmp_path)
    warned = [each.text for each in found.warnings if "tag" in each.path]
    assert len(warned) == 1
    assert warned[0].startswith('the user "bob+x" cannot log in')
