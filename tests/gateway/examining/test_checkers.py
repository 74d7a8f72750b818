"""
From C{[auth]} to checkers: those that are tables, and what is wrong with them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.cred.checkers import ICredentialsChecker
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.config.loading import load, loads
from socksgw.interfaces import IGroupSource, IVerifyingMethod
from socksgw.login.discovery import findCheckers
from socksgw.login.identities import VerifiedIdentities
from socksgw.plugins import auth_none
from tests.tools.examining import LISTEN, examined, wrong


def checked(*lines: str, directory: Path | None = None) -> list[tuple[str, str]]:
    """What is wrong with an C{[[auth.checker]]}."""
    table = "\n".join(["[[auth.checker]]", *lines])
    config = loads(f"{LISTEN}{table}\n", "f")
    return wrong(evolve(config, directory=directory or Path()), checkers=False)


LDAP = ('kind = "ldap"', 'base = "dc=x"')


@pytest.mark.parametrize(
    ("lines", "path", "said"),
    [
        (('kind = "nonsense"',), ".kind", 'there is no checker "nonsense"; installed'),
        (('kind = "passwd"', "argument = 5"), ".argument", "must be a string"),
        (('kind = "passwd"', 'file = "x"'), ".file", "unknown key"),
        (('kind = "passwd"', 'argument = "not-there"'), "", "not-there: No such file"),
        ((*LDAP, "url = 5"), ".url", "must be an array of strings"),
        ((*LDAP, 'url = ["x"]'), ".url[0]", "is not of the form ldaps://host"),
        ((*LDAP, 'url = ["ldap://10.0.0.1"]'), ".url[0]", "in the clear; use ldaps"),
        ((*LDAP, 'url = ["ldaps://u@h"]'), ".url[0]", "only host and port"),
        ((*LDAP, 'url = ["ldaps://h/dc=x"]'), ".url[0]", "only host and port"),
        ((*LDAP, 'url = ["ldaps://h:x"]'), ".url[0]", "is not of the form"),
        ((*LDAP, 'url = ["ldaps://h"]', "timeout = 5"), ".timeout", "a duration such"),
        ((*LDAP, 'url = ["ldaps://h"]', 'timeout = "0s"'), ".timeout", "more than 0s"),
        ((*LDAP, 'url = ["ldaps://h"]', 'timeout = "1h"'), ".timeout", "at most 60s"),
        ((*LDAP, 'url = ["ldaps://h"]', "connections = 0"), ".connections", "from 1 to"),
        ((*LDAP, 'url = ["ldaps://h"]', "start_tls = 1"), ".start_tls", "true or false"),
        ((*LDAP, 'url = ["ldaps://h"]', 'ca = "not"'), ".ca", "not: No such file"),
        ((*LDAP, 'url = ["ldaps://h"]', 'bind_dn = "cn=x"'), ".bind_dn", "needs bind_p"),
        ((*LDAP, 'url = ["ldaps://h"]', 'bind_keytab = "k"'), ".bind_keytab", "k: No such"),
        ((*LDAP, 'url = ["ldaps://h"]', 'bind_principal = "k"'), ".bind_principal", "needs"),
        ((*LDAP, 'url = ["ldaps://h"]', 'user_filter = "(uid=x)"'), ".user_filter", "{us"),
        ((*LDAP, 'url = ["ldaps://h"]', 'user_filter = "uid={user}"'), ".user_filter", "4515"),
        ((*LDAP, 'url = ["ldaps://h"]', 'group_filter = "("'), ".group_filter", "4515"),
        ((*LDAP, 'url = ["ldaps://h"]', 'user_dn = "ou=x"'), ".user_dn", "must begin"),
        ((*LDAP, 'url = ["ldaps://h"]', 'user_filter = "(uid={user}*)"'), ".user_name", "attr"),
        (('kind = "ldap"', 'url = ["ldaps://h"]'), ".base", "where are the users"),
        (('kind = "http"',), ".url", "must be a URL such as https://"),
        (('kind = "http"', "url = 7"), ".url", "must be a string"),
        (('kind = "http"', 'url = "http://h/"'), ".url", "in the clear; use https"),
        (('kind = "http"', 'url = "https://u:p@h/"'), ".url", "no secret; use token_file"),
        (('kind = "pam"', 'service = "../x"'), ".service", "a file in /etc/pam.d"),
    ],
)  # fmt: skip
def test_checkerThatCannotBe(lines: tuple[str, ...], path: str, said: str) -> None:
    """Each mistake in a checker's table is told at its place."""
    ((found, text),) = checked(*lines)
    assert found == f"auth.checker[0]{path}"
    assert said in text


def test_everyMistakeOfAChecker(tmp_path: Path) -> None:
    """All at once, also of two checkers; and no secret is in any text."""
    (tmp_path / "secret").write_text("canary-5d")
    (tmp_path / "secret").chmod(0o644)
    found = checked(
        *LDAP, 'url = ["ldaps://a", "http://b"]', 'bind_dn = "cn=x"',
        'bind_password_file = "secret"', 'bas = "x"', "connections = true",
        "[[auth.checker]]", 'kind = "http"', 'name = "ldap"', 'token_file = "secret"',
        directory=tmp_path,
    )  # fmt: skip
    assert [path for path, _ in found] == [
        "auth.checker[0].bas",
        "auth.checker[0].bind_password_file",
        "auth.checker[0].connections",
        "auth.checker[0].url[1]",
        "auth.checker[1].name",
        "auth.checker[1].url",
        "auth.checker[1].token_file",
    ]
    assert 'did you mean "base"' in found[0][1]
    assert f"remedy: chmod o-rwx {tmp_path / 'secret'}" in found[1][1]
    assert "canary" not in str(found)


def test_checkersThatCanBe(tmp_path: Path) -> None:
    """Tables and strings, in order; a plain factory's table has an argument."""
    (tmp_path / "users").write_text("")
    (tmp_path / "users").chmod(0o600)
    config = loads(
        f"""auth = {{ checkers = ["passwd:users"], checker = [
        {{ kind = "passwd", name = "more", argument = "users" }},
        {{ kind = "ldap", base = "dc=x", url = ["ldap://[::1]:3890"] }},
        {{ kind = "http", url = "http://localhost:1/" }}, {{ kind = "pam" }} ] }}
        {LISTEN}""",
        "f",
    )
    found = examined(evolve(config, directory=tmp_path), checkers=False)
    assert not found.errors
    assert [type(each).__name__ for each in found.checkers] == [
        "PasswordFile", "PasswordFile", "LDAPChecker", "HTTPChecker", "PAMChecker"
    ]  # fmt: skip
    for checker in found.checkers:
        verifyObject(ICredentialsChecker, checker)
    for source in found.checkers[2:4]:
        verifyObject(IGroupSource, source)


def test_missingExtra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an extra would bring is said, and how it is brought."""
    for module in ("socksgw.login.stores.ldap", "socksgw.login.stores.ldaplinks"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "ldaptor.protocols", None)
    monkeypatch.setitem(sys.modules, "socksgw.login.stores.ldaplinks", None)
    ((path, text),) = checked(*LDAP, 'url = ["ldaps://h"]')
    assert path == "auth.checker[0]"
    assert text.endswith('install it with: pip install "socksgw[ldap]"')


FACTORY = """
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from zope.interface import implementer
from socksgw.interfaces import IFileCheckerFactory

class Base:
    authHelp = argStringFormat = "for the test"
    credentialInterfaces = (IUsernamePassword,)
    def generateChecker(self, argument):
        made = InMemoryUsernamePasswordDatabaseDontUse()
        made.argument = argument
        return made

@implementer(IFileCheckerFactory, IPlugin)
class Declared(Base):
    authType = "declared"

@implementer(ICheckerFactory, IPlugin)
class Silent(Base):
    authType = "silent"
"""


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factories of somebody else, beside those that are installed."""
    names: dict[str, Any] = {}
    exec(FACTORY, names)
    found, broken = findCheckers()
    found.update(declared=names["Declared"](), silent=names["Silent"]())
    monkeypatch.setattr(
        "socksgw.gateway.examining.checkers.findCheckers", lambda: (found, broken)
    )


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize("table", [False, True])
def test_relativePathsOfCheckers(tmp_path: Path, table: bool) -> None:
    """
    A path that is declared is beside the file that names it, Twisted's own
    C{file:} too; one that is not declared is refused while it is relative.
    """

    def asked(kind: str, argument: str) -> tuple[list[tuple[str, str]], Any]:
        text = f'{LISTEN}[auth]\ncheckers = ["{kind}:{argument}"]\n'
        if table:
            text = (
                f'{LISTEN}[[auth.checker]]\nkind = "{kind}"\nargument = "{argument}"\n'
            )
        config = evolve(loads(text, "f"), directory=tmp_path)
        found = examined(config, checkers=False)
        errors = [(each.path, each.text) for each in found.errors]
        return errors, found.checkers[0] if found.checkers else None

    (tmp_path / "users").write_text("alice:secret\n")
    beside = str(tmp_path / "users")
    assert asked("declared", "users")[1].argument == beside
    assert asked("declared", "/x/users")[1].argument == "/x/users"
    assert asked("file", "users")[1].filename == beside
    assert asked("silent", beside)[1].argument == beside
    assert asked("silent", "no path:at all")[1].argument == "no path:at all"
    ((path, said),) = asked("silent", "users")[0]
    assert path == ("auth.checker[0]" if table else "auth.checkers[0]")
    assert "write an absolute path" in said
    # Nor one that is there by the chance of the current directory.
    ((_, said),) = asked("silent", "setup.cfg")[0]
    assert "write an absolute path" in said


def test_identitiesAreTakenWhereAMethodVerifies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The Portal takes verified identities only where a method that verifies is
    offered; whatever checkers the command line brings.
    """

    @implementer(IVerifyingMethod)
    class Verifying:
        name, code, help = "verifying", 0x81, ""

        def build(self, settings: object, reactor: object) -> object:
            return self

    methods = {"none": auth_none.method, "verifying": Verifying()}
    monkeypatch.setattr(
        "socksgw.gateway.examining.methods.findMethods", lambda: (methods, [])
    )
    auth = '[auth]\nstrip_realms = ["A"]\n[[auth.choose]]\nmethods = ["%s"]\n'
    for method, expected in (("verifying", True), ("none", False)):
        for brought in (True, False):
            found = examined(LISTEN + auth % method, brought)
            assert found.errors == []
            kinds = [isinstance(c, VerifiedIdentities) for c in found.checkers]
            assert any(kinds) is expected


@pytest.mark.parametrize("realm", ["", "a@B", "A\n"])
def test_realms(realm: str) -> None:
    """A realm is a word."""
    found = wrong(LISTEN + f"[auth]\nstrip_realms = [{json.dumps(realm)}]\n")
    assert [path for path, _ in found] == ["auth.strip_realms[0]"]


@pytest.mark.parametrize("checker", ["nonsense:x", "passwd", "passwd:", "", "file:"])
def test_checkersThatCannotBe(checker: str) -> None:
    """A checker that is not found, or not usable, is a start-up error."""
    found = wrong(f'auth = {{ checkers = ["{checker}"] }}\n{LISTEN}', checkers=False)
    assert [path for path, _ in found] == ["auth.checkers[0]"]


def test_aPasswordFileIsBesideTheFileThatNamesIt(tmp_path: Path) -> None:
    """Never in the current directory."""
    (tmp_path / "users").touch(0o600)
    (tmp_path / "gw.toml").write_text(
        f'auth = {{ checkers = ["passwd:users"] }}\n{LISTEN}'
    )
    found = examined(load(str(tmp_path / "gw.toml")), checkers=False)
    assert found.errors == []
    assert len(found.checkers) == 1


def test_missingLibraryOfTokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is what verifies tokens."""
    for module in ("jwt", "keyset", "keysource"):
        monkeypatch.delitem(
            sys.modules, f"socksgw.login.stores.{module}", raising=False
        )
    monkeypatch.setitem(sys.modules, "joserfc", None)
    ((path, text),) = checked('kind = "jwt"', 'issuer = "i"')
    assert path == "auth.checker[0]"
    assert text == 'needs joserfc; install it with: pip install "socksgw[jwt]"'
