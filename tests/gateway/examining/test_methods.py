"""
What methods declare counts, and what they do not counts as the worst case.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

import socksgw.plugins
from socksgw.config.loading import loads
from socksgw.config.schema import Checker
from tests.tools.examining import LISTEN, examined, problems, wrong

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
    assert all("cannot be used inside it" in said for _, said in found)


def test_tablesOfPlugins() -> None:
    """What is the plug-in's own business is handed on as it stands."""
    text = (
        'auth = { token = { a = 1, b = [2] }, checker = [{ kind = "k", url = ["u"] }] }'
    )
    auth = loads(text, "f").auth
    assert auth.settings == {"token": {"a": 1, "b": [2]}}
    assert auth.checker == (Checker("k", "", {"url": ["u"]}),)
    assert problems("auth = { token = 1 }") == [("auth.token", "unknown key")]
    ((path, said),) = wrong(LISTEN + "[auth]\nthrotle = { per_user = 1 }\n")
    assert path == "auth.throtle"
    assert 'did you mean "throttle"' in said


INSIDE = '[[auth.choose]]\nmethods = ["tls"]\n[auth.tls]\n'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "needs a certificate"),
        ('certificate = "nowhere.pem"', "No such file"),
        ('certificate = "gw.pem"', "others can read it"),
        ('certificate = "gw.pem"\nkey = "ca.pem"', "others can read it"),
        ('certificate = "ca.pem"\nkey = "gw.key"', "not that of"),
        ('certificate = "gw.pem"\nkey = "gw.key"\nport = 1', "unknown key"),
        ('certificate = "gw.pem"\nkey = "gw.key"\nmethods = []', "no user could"),
        *(
            (f'certificate = "gw.pem"\nkey = "gw.key"\nmethods = ["{name}"]', said)
            for name, said in (
                ("none", "cannot be used inside"),
                ("certificate", "cannot be used inside"),
                ("tls", "cannot be used inside"),
                ("nothing", "there is no method"),
            )
        ),
    ],
)
def test_tlsInsideSOCKS(certified: Path, table: str, said: str) -> None:
    """What is wrong with its table is said there."""
    found = wrong(loads(LISTEN + INSIDE + table + "\n", "gw.toml", certified))
    assert [path for path, _ in found] == [
        "auth.tls" if table else "auth.choose[0].methods[0]"
    ]
    assert said in found[0][1]


def test_loginInsideTLS(certified: Path) -> None:
    """A checker is wanted as outside; passwords are not in the clear."""
    text = LISTEN.replace("127.0.0.1", "10.0.0.2") + INSIDE
    text += 'certificate = "gw.pem"\nkey = "gw.key"\n'
    assert wrong(loads(text, "gw.toml", certified)) == []
    ((path, said),) = wrong(loads(text, "gw.toml", certified), checkers=False)
    assert path == "auth.choose[0].methods"
    assert "there is no checker" in said


STUB = LISTEN + '[auth]\ngssapi = { mechanism = "stub"%s }\n'


@pytest.mark.parametrize(
    ("own", "narrowed", "place"),
    [
        ("", '["integrity"]', None),
        ("", '["integrity", "confidentiality"]', None),
        (', protection = ["clear", "integrity"]', '["clear"]', None),
        # Nothing can be added to what the method accepts.
        ("", '["clear"]', "auth.choose[0].protection"),
        ("", '["integrity", "clear"]', "auth.choose[0].protection"),
        (', protection = ["clear"]', '["integrity"]', "auth.choose[0].protection"),
        ("", '["strong"]', "auth.choose[0].protection"),
        ("", "[]", "auth.choose[0].protection"),
        (', protection = "clear"', '["clear"]', "auth.gssapi"),
    ],
)
def test_anEntryNarrowsProtection(own: str, narrowed: str, place: str | None) -> None:
    """What C{[[auth.choose]]} says of protection only takes away."""
    found = wrong(
        STUB % own + f'[[auth.choose]]\nmethods = ["gssapi"]\nprotection = {narrowed}\n'
    )
    assert [path for path, _ in found] == ([place] if place else [])


def test_protectionOfMethodsWithoutLevels() -> None:
    """It would be without effect, and nobody would know."""
    entry = '[[auth.choose]]\nmethods = ["%s"]\nprotection = ["integrity"]\n'
    ((path, said),) = wrong(LISTEN + entry % "none")
    assert path == "auth.choose[0].protection"
    assert "no method of this entry" in said
    both = entry.replace('"%s"', '"gssapi", "none"')
    assert wrong(STUB % "" + both) == []


def test_theStubIsForThisMachine() -> None:
    """It believes everybody: no listener may be reached by other hosts."""
    text = (STUB % "").replace("127.0.0.1", "10.0.0.2")
    text += '[[listen]]\nname = "lo"\naddress = ["127.0.0.1:1081"]\n'
    text += '[[auth.choose]]\nlistener = ["lo"]\nmethods = ["gssapi"]\n'
    ((path, said),) = wrong(text)
    assert path == "auth.gssapi"
    assert "loopback" in said


@pytest.mark.parametrize(
    ("word", "meant"),
    [("basic", "userpass"), ("Bearer", "token"), ("negotiate", "gssapi")],
)
def test_whatOthersCallThem(word: str, meant: str) -> None:
    """The words of HTTP and of other proxies are told what they are here."""
    choose = f'[[auth.choose]]\nmethods = ["{word}"]\n'
    ((path, said),) = wrong(LISTEN + choose)
    assert path == "auth.choose[0].methods[0]"
    assert said.endswith(f'it is called "{meant}" here')
