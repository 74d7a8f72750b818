"""
From C{[auth]} to checkers (C{socksgw.gateway.examining}): those that are tables, and
what is wrong with them.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.cred.checkers import ICredentialsChecker
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.config.loading import loads
from socksgw.interfaces import IGroupSource
from socksgw.login.discovery import findCheckers
from tests.tools.certificates import Authority, pemOf, server
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
        ((*LDAP, 'url = ["ldaps://h"]', 'timeout = "0s"'), ".timeout", "longer than no"),
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


PLUGIN = """
from twisted.cred.credentials import Anonymous, IUsernamePassword
from zope.interface import implementer
from socksgw.interfaces import IAuthenticator, IAuthMethod, IWrapper

@implementer(IAuthenticator)
class Authenticator:
    async def readCredentials(self, exchange):
        return Anonymous()
    async def writeOutcome(self, exchange, credentials, granted):
        pass

@implementer(IWrapper)
class Wrapper:
    inner = ("plain",)
    async def wrap(self, exchange):
        pass

@implementer(IAuthMethod)
class Method:
    help = "for the test"
    def __init__(self, name, code, built, declared):
        self.name, self.code, self._built = name, code, built
        self.__dict__.update(declared)
    def build(self, settings, reactor):
        return self._built
"""
#: What a module declares, by the method's name.
DECLARED = {
    "plain": "dict(anonymous=False, cleartext=True, credentials=(IUsernamePassword,))",
    "mute": "{}",
    "guest": "dict(anonymous=True, cleartext=False, credentials=())",
    "hidden": "dict(anonymous=False, cleartext=False, credentials=(IUsernamePassword,))",
    "proved": "dict(anonymous=False, cleartext=False, credentials=(), certificate=True)",
    "wrap": "dict(anonymous=False, cleartext=False, credentials=())",
    "sieve": "dict(anonymous=False, credentials=())",
}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods of somebody else, found as ours are."""
    for i, (name, declared) in enumerate(DECLARED.items()):
        built = "Wrapper()" if name in ("wrap", "sieve") else "Authenticator()"
        text = f"{PLUGIN}\nmethod = Method({name!r}, {0x80 + i}, {built}, {declared})\n"
        (tmp_path / f"auth_{name}.py").write_text(text)
        module = f"socksgw.plugins.auth_{name}"
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, module)
    path = [*socksgw.plugins.__path__, str(tmp_path)]
    monkeypatch.setattr(socksgw.plugins, "__path__", path)


OPEN = '[[listen]]\nname = "main"\naddress = ["0.0.0.0:1080"]\n'
ANY = '[[rule]]\nid = "r"\nallow = ["connect"]\n'


def offering(*methods: str, more: str = "") -> str:
    """A configuration that offers these to everybody, and grants everything."""
    names = ", ".join(f'"{name}"' for name in methods)
    return f"{OPEN}[[auth.choose]]\nmethods = [{names}]\n{more}\n{ANY}"


CLEAR = "cleartext_passwords = true"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("method", "said"),
    [
        # Nobody has to log in: an open relay.
        ("guest", 'exposed: "main" can be reached'),
        ("none", 'exposed: "main" can be reached'),
        ("mute", 'exposed: "main" can be reached'),
        # Somebody reads the password on the way.
        ("plain", '"plain" would send passwords in the clear'),
        ("userpass", '"userpass" would send passwords in the clear'),
        ("mute", '"mute" would send passwords in the clear, as far as is declared,'),
        # What wraps hides it, if it says so.
        ("sieve", '"sieve" would send passwords in the clear'),
        # Only where clients show certificates.
        ("proved", '"proved" wants listeners that ask for a certificate'),
    ],
)
def test_whatAMethodDeclaresCounts(method: str, said: str) -> None:
    """
    For each danger, the method that declares it, and the one that declares
    nothing, are refused on a listener that others can reach.
    """
    more = CLEAR if said.startswith("exposed") else ""
    text = offering(method, more=more)
    assert any(each.startswith(said) for _, each in wrong(text)), wrong(text)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("method", ["hidden", "wrap"])
def test_whatDeclaresNoDangerIsGood(method: str) -> None:
    """By what it declares, not by being ours."""
    assert wrong(offering(method)) == []


@pytest.mark.usefixtures("plugins")
def test_whatItAcceptsIsSaid() -> None:
    """Passwords in the clear may be accepted, for any method."""
    assert wrong(offering("plain", more=CLEAR)) == []
    assert wrong(offering("sieve", more=CLEAR)) == []
    # A rule that wants a method by which somebody logs in grants nobody else.
    rule = 'method = ["plain"]\n'
    assert wrong(offering("guest", "plain", more=CLEAR) + rule) == []
    assert wrong(offering("guest", "plain", more=CLEAR) + 'method = ["guest"]\n')
    found = examined(offering("guest", "plain", more=CLEAR) + rule)
    assert found.exposures == []
    inside = examined(offering("guest", more='from = ["10.0.0.0/8"]'))
    assert inside.errors == []
    (line,) = inside.exposures
    assert line.startswith('anonymous on "main" from 10.0.0.0/8')


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("plain", "there is no checker for it"),
        ("mute", "there is no checker for it"),
        ("wrap", '"plain" is offered, and there is no checker for it'),
        ("guest", ""),
        ("none", ""),
    ],
)
def test_whichNeedAChecker(method: str, expected: str) -> None:
    """Those that declare so, also inside others, and those that are silent."""
    text = offering(method, more=CLEAR).replace("0.0.0.0", "127.0.0.1")
    found = wrong(text, checkers=False)
    assert len(found) == bool(expected)
    assert all(expected in said for _, said in found)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("inside", ["guest", "mute", "none", "proved", "wrap"])
def test_whatMayNotBeInside(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a method that wraps, somebody has to log in."""
    module = import_module("socksgw.plugins.auth_wrap")
    monkeypatch.setattr(module.method._built, "inner", (inside,))
    found = wrong(offering("wrap"))
    # A certificate is the connection's, which is none of its business.
    assert bool(found) == (inside != "proved")
    assert all("has no place inside it" in said for _, said in found)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["userpass", "none"], '"userpass" comes before "none": clients that always'),
        (["none", "userpass"], '"none" comes before "userpass": clients that offer'),
        (["gssapi", "none"], '"gssapi" comes before "none"'),
        (["gssapi", "userpass"], "programs on libcurl"),
        (["userpass", "gssapi"], None),
        (["certificate", "none"], None),
        (["gssapi"], None),
        (["none"], None),
        (["userpass"], None),
    ],
)
@pytest.mark.parametrize("secured", [False, True])
def test_whatAnOrderDoes(
    tmp_path: Path, methods: list[str], said: str | None, secured: bool
) -> None:
    """A warning, since each order is what somebody wants; TLS spares libcurl."""
    root = Authority()
    server(root).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    tls = (
        '[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\nclient_ca = "ca.pem"\n'
        'client_certificate = "optional"\n'
    )
    text = (
        f"{LISTEN}{tls if secured or 'certificate' in methods else ''}"
        f'[[auth.choose]]\nmethods = {json.dumps(methods)}\nfrom = ["127.0.0.1"]\n'
        f'[auth.gssapi]\nmechanism = "stub"\n{ANY}'
    )
    found = examined(evolve(loads(text, "f"), directory=tmp_path))
    assert found.errors == []
    texts = [
        each.text for each in found.warnings if each.path == "auth.choose[0].methods"
    ]
    if said is None or (secured and "libcurl" in said):
        assert texts == []
    else:
        (text,) = texts
        assert said in text


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


GROUP = 'groups = { g = { directory = ["%s"] } }\nrule = [{ id = "r", allow = "any", who = ["@g"] }]\n'


def test_groupsOfADirectory() -> None:
    """
    A directory's group needs a checker that knows groups, and a name that is
    one there.
    """
    plain = examined(GROUP % "cn=x" + LISTEN)
    assert not plain.errors
    assert ("groups.g.directory", "no checker knows groups: this adds nobody") in [
        (each.path, each.text) for each in plain.warnings
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
