"""
Whether listeners, methods and checkers go together, and in which order.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from socksgw.config.loading import load, loads
from socksgw.login.passwords import setPassword
from socksgw.login.secrets import setSecret
from tests.tools.certificates import Authority, pemOf, server
from tests.tools.examining import LISTEN, TLS, examined, wrong
from tests.tools.tokens import Issuer, setOf

ANY = '[[rule]]\nid = "r"\nallow = ["connect"]\n'


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


def test_ordersOfSeveral() -> None:
    """What several entries have in common is a warning once, with their names."""
    entry = '[[auth.choose]]\nmethods = ["userpass", "none"]\nfrom = ["10.{}.0.0/16"]\n'
    other = '[[auth.choose]]\nmethods = ["none", "userpass"]\n'
    text = LISTEN + "".join(map(entry.format, range(6))) + other + ANY
    warned = {
        each.path: each.text
        for each in examined(loads(text, "gw.toml")).warnings
        if "comes before" in each.text
    }
    assert set(warned) == {"auth.choose[0].methods", "auth.choose[6].methods"}
    assert warned["auth.choose[0].methods"].endswith(
        "(likewise auth.choose[1], auth.choose[2], auth.choose[3] and 2 more)"
    )


CERTIFICATE = '[[auth.choose]]\nmethods = ["certificate"]\n'


def test_certificateWhereThereCanBeNone(certified: Path) -> None:
    """The method is of no use where nobody is asked for a certificate."""
    asking = TLS + 'client_certificate = "optional"\nclient_ca = "ca.pem"\n'
    other = LISTEN.replace("main", "other").replace("1080", "1081")
    named = CERTIFICATE + 'listener = ["main", "other"]\n'
    for text, missing in (
        (LISTEN + CERTIFICATE, "every listener"),
        (TLS + CERTIFICATE, "every listener"),
        (asking + other + named, '"other"'),
        (asking + other + CERTIFICATE, ""),
    ):
        found = wrong(loads(text, "gw.toml", certified))
        if missing:
            ((path, said),) = found
            assert path == "auth.choose[0].methods"
            assert said.endswith(f"missing on: {missing}")
        else:
            assert found == []


def test_passwordsInsideTLS(certified: Path) -> None:
    """They are not in the clear there, also where others can listen."""
    text = TLS.replace("127.0.0.1", "10.0.0.2")
    text += '[[auth.choose]]\nmethods = ["userpass"]\n'
    assert wrong(loads(text, "gw.toml", certified)) == []
    plain = LISTEN.replace("127.0.0.1", "10.0.0.3").replace("main", "plain")
    ((_, said),) = wrong(loads(plain + text, "gw.toml", certified))
    assert '"plain"' in said


ROUTABLE = '[[listen]]\nname = "main"\naddress = ["10.0.0.2:1080"]\n'


USERPASS = '[[auth.choose]]\nmethods = ["userpass"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LISTEN + USERPASS, False),
        (ROUTABLE + USERPASS, True),
        (ROUTABLE + USERPASS + "cleartext_passwords = true", False),
        (ROUTABLE + USERPASS + "cleartext_passwords = false", True),
        (ROUTABLE + USERPASS + 'from = ["10.0.0.0/8"]', True),
        (ROUTABLE + LISTEN.replace("main", "lo") + USERPASS, True),
        (
            ROUTABLE + LISTEN.replace("main", "lo") + USERPASS + 'listener = ["lo"]',
            False,
        ),
        (ROUTABLE + USERPASS.replace('"userpass"', '"none", "userpass"'), True),
        (ROUTABLE + USERPASS.replace("userpass", "none"), False),
        ('listen = [{ name = "main", endpoint = "tcp:1080" }]\n' + USERPASS, True),
        ('listen = [{ name = "main", endpoint = "unix:/tmp/x" }]\n' + USERPASS, False),
    ],
)
def test_passwordsInTheClearAreAnError(text: str, expected: bool) -> None:
    """
    userpass on a routable listener without TLS is a load error, unless the
    entry says C{cleartext_passwords = true}.
    """
    found = wrong(text)
    assert [path for path, _ in found] == (["auth.choose[0]"] if expected else [])
    if expected:
        assert "cleartext_passwords" in found[0][1]


def test_userpassWithoutACheckerIsAnError() -> None:
    """Nobody could log in."""
    found = wrong(LISTEN + USERPASS, checkers=False)
    assert [path for path, _ in found] == ["auth.choose[0].methods"]


@pytest.mark.parametrize("name", ["hashes", "secrets", "both"])
@pytest.mark.parametrize("method", ["userpass", "chap"])
def test_aMethodNeedsACheckerForItsOwnCredentials(
    tmp_path: Path, name: str, method: str
) -> None:
    """
    A file of hashes cannot check a response, and one of secrets no password;
    other hosts may use chap without TLS.
    """
    setPassword(tmp_path / "hashes", "alice", b"x")
    setSecret(tmp_path / "secrets", "alice", b"x")
    texts = {"hashes": '"passwd:hashes"', "secrets": '"secrets:secrets"'}
    both = ", ".join(texts.values())
    (tmp_path / "gw.toml").write_text(
        f"{ROUTABLE}[auth]\ncheckers = [{texts.get(name, both)}]\n"
        + USERPASS.replace("userpass", method)
        + "cleartext_passwords = true\n" * (method == "userpass")
    )
    config = load(str(tmp_path / "gw.toml"))
    found = examined(config, checkers=False).errors
    if (method, name) in (("userpass", "secrets"), ("chap", "hashes")):
        (error,) = found
        assert error.path == "auth.choose[0].methods"
        assert {"chap": "secrets:", "userpass": "passwd:"}[method] in error.text
    else:
        assert found == []


@pytest.mark.filterwarnings("ignore:X509.get_:DeprecationWarning")
def test_passwordsInsideAnEndpointsTLS(certified: Path) -> None:
    """Twisted's own TLS endpoints hide them, too; others do not."""
    both = (certified / "gw.pem").read_bytes() + (certified / "gw.key").read_bytes()
    (certified / "pems").mkdir()
    (certified / "pems" / "gw.pem").write_bytes(both)
    for endpoint, clear in (
        (f"tls:{certified}/pems:1443", False),
        (f"ssl:1443:privateKey={certified}/gw.key:certKey={certified}/gw.pem", False),
        ("tcp:1443", True),
    ):
        text = f'listen = [{{ name = "main", endpoint = "{endpoint}" }}]\n' + USERPASS
        assert [path for path, _ in wrong(text)] == ["auth.choose[0]"] * clear, endpoint


@pytest.mark.parametrize(
    ("listeners", "missing"),
    [
        ("", ["every listener"]),
        ('listener = ["main"]\n', ['"main"']),
        ('listener = ["local"]\n', []),
        ('listener = ["local", "main"]\n', ['"main"']),
    ],
)
def test_programsWantAUnixSocket(listeners: str, missing: list[str]) -> None:
    """Where none can come in, the method is an error that names the remedy."""
    lan = LISTEN.replace("127.0.0.1", "10.0.0.1")
    text = f'{lan}[[auth.choose]]\nmethods = ["peer"]\n{listeners}{ANY}'
    if "local" in listeners:
        text += '[[listen]]\nname = "local"\naddress = ["unix:/run/x"]\n'
    found = wrong(loads(text, "f"))
    assert [path for path, _ in found] == ["auth.choose[0].methods"] * len(missing)
    for (_, said), name in zip(found, missing, strict=True):
        assert 'address = ["unix:/path"]' in said
        assert said.endswith(f"missing on: {name}")


@pytest.mark.parametrize(
    ("protocols", "method", "said"),
    [
        ('"http"', "chap", "is not for clients of HTTP"),
        ('"http"', "tls", "is not for clients of HTTP"),
        ('"http"', "userpass", ""),
        ('"http"', "none", ""),
        ('"socks5", "http"', "chap", ""),
    ],
)
def test_whatHttpCannotUse(
    protocols: str, method: str, said: str, tmp_path: Path
) -> None:
    """A method that no client of its listeners could choose."""
    (tmp_path / "users").touch(0o600)
    text = (
        f'[[listen]]\nname = "a"\naddress = ["127.0.0.1:1"]\nprotocols = [{protocols}]\n'
        '[auth]\ncheckers = ["passwd:users", "secrets:users"]\n'
        f'[[auth.choose]]\nmethods = ["{method}"]\n'
    )
    found = dict(wrong(loads(text, "f", tmp_path)))
    assert said in found.get("auth.choose[0].methods", "")
    assert bool(said) == (
        "not for clients of HTTP" in found.get("auth.choose[0].methods", "")
    )


@pytest.mark.parametrize(
    ("protocols", "method", "wrongly"),
    [
        ('"socks6"', "gssapi", False),
        ('"socks6"', "tls", True),
        ('"socks6"', "userpass", False),
        ('"socks5", "socks6"', "gssapi", False),
    ],
)
def test_whatProtectsTooLate(
    protocols: str, method: str, wrongly: bool, tmp_path: Path
) -> None:
    """A method that protects what is behind the login, where the request is before it."""
    server(Authority()).write(tmp_path, "gw")
    (tmp_path / "users").touch(0o600)
    text = (
        f'[[listen]]\nname = "a"\naddress = ["127.0.0.1:1"]\nprotocols = [{protocols}]\n'
        '[auth]\ncheckers = ["passwd:users"]\ngssapi = { mechanism = "stub" }\n'
        '[auth.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n'
        f'[[auth.choose]]\nmethods = ["{method}"]\n'
    )
    found = dict(wrong(loads(text, "f", tmp_path)))
    said = found.get("auth.choose[0].methods", "")
    assert ("have their requests before it" in said) is wrongly, found


@pytest.mark.parametrize("tls", [True, False])
def test_whatProtectsNothing(tls: bool, tmp_path: Path) -> None:
    """GSSAPI in SOCKS 6: where no TLS does either, there is a warning."""
    server(Authority()).write(tmp_path, "gw")
    text = (
        '[[listen]]\nname = "a"\naddress = ["127.0.0.1:1"]\nprotocols = ["socks6"]\n'
        + 'tls = { certificate = "gw.pem", key = "gw.key" }\n' * tls
        + '[auth]\ngssapi = { mechanism = "stub" }\n'
        '[[auth.choose]]\nmethods = ["gssapi"]\n'
    )
    found = examined(loads(text, "f", tmp_path)).warnings
    said = [each.text for each in found if each.path == "auth.choose[0].methods"]
    assert any("protects nothing" in each for each in said) is not tls


@pytest.mark.parametrize(
    ("listen", "good"),
    [
        ('address = ["127.0.0.1:1"]', True),
        ('address = ["[::1]:1"]', True),
        ('address = ["10.0.0.1:1", "0.0.0.0:1"]', True),
        ('address = ["[::]:1"]', True),
        ('address = ["10.0.0.1:1"]', False),
        ('endpoint = "unix:/run/x"', False),
        ('address = ["unix:/run/x"]\nproxy_protocol_from = ["127.0.0.1"]', False),
        ('address = ["127.0.0.1:1"]\nproxy_protocol_from = ["127.0.0.1"]', False),
    ],
)
def test_whereProgramsAreKnown(listen: str, good: bool) -> None:
    """Where the other end of a connection may be one of this machine's programs."""
    text = f'[[listen]]\nname = "main"\n{listen}\n[[auth.choose]]\nmethods = ["peer"]\n'
    found = [path for path, said in wrong(loads(text + ANY, "f")) if "peer" in said]
    assert found == ([] if good else ["auth.choose[0].methods"])


def tokens(tmp_path: Path, methods: str, listen: str, more: str = "") -> str:
    """A configuration that takes tokens."""
    (tmp_path / "keys.json").write_bytes(setOf(Issuer("ES256")))
    (tmp_path / "keys.json").chmod(0o644)
    return (
        f'[[listen]]\nname = "main"\n{listen}\n'
        f"[[auth.choose]]\nmethods = {methods}\n{more}"
        '[[auth.checker]]\nkind = "jwt"\nissuer = "i"\naudience = "a"\n'
        f'keys = "{tmp_path}/keys.json"\n{ANY}'
    )


LOCAL = 'address = ["127.0.0.1:0"]\n'
HTTP = 'protocols = ["socks5", "http"]\n'


def test_tokensNeedHTTP(tmp_path: Path) -> None:
    """SOCKS has no method for them: that is an error with the remedy."""
    text = tokens(tmp_path, '["token"]', LOCAL)
    ((path, said),) = wrong(text, checkers=False)
    assert path == "auth.choose[0].methods"
    assert 'protocols = ["socks5", "http"]' in said
    assert "255 octets" in said
    assert not wrong(tokens(tmp_path, '["token"]', LOCAL + HTTP), checkers=False)


def test_tokensNeedAChecker() -> None:
    """Which one is told."""
    text = (
        f'[[listen]]\nname = "a"\n{LOCAL}{HTTP}[[auth.choose]]\nmethods = ["token"]\n'
    )
    ((_, said),) = wrong(text + ANY, checkers=False)
    assert 'installed for it are: kind = "jwt"' in said


def test_tokensInClear(tmp_path: Path) -> None:
    """A token that is read on its way can be used by who reads it."""
    listen = f'address = ["0.0.0.0:1080"]\n{HTTP}'
    text = tokens(tmp_path, '["token"]', listen)
    ((path, said),) = wrong(text, checkers=False)
    assert path == "auth.choose[0]"
    assert '"token" would send passwords in the clear to "main"' in said
    accepted = tokens(tmp_path, '["token"]', listen, "cleartext_passwords = true\n")
    assert not wrong(accepted, checkers=False)


@pytest.mark.parametrize(
    ("methods", "http", "warned"),
    [
        ('["userpass"]', True, False),
        ('["userpass"]', False, True),
        ('["token", "userpass"]', True, False),
        ('["token", "none"]', True, False),
        ('["gssapi", "token"]', True, False),
        ('["gssapi"]', True, True),
        ('["none"]', True, True),
    ],
)
def test_tokensThatDoNotFit(
    tmp_path: Path, methods: str, http: bool, warned: bool
) -> None:
    """
    Where they can come as passwords of SOCKS only, most do not; Basic has room. Orders
    mean nothing here.
    """
    stub = '[auth.gssapi]\nmechanism = "stub"\n' if "gssapi" in methods else ""
    listen = LOCAL + (HTTP if http else "")
    found = examined(tokens(tmp_path, methods, listen) + stub, checkers=False)
    assert not found.errors
    said = [each.text for each in found.warnings if each.path.startswith("auth.choose")]
    assert bool(said) is warned
    assert all("255 octets" in each for each in said)
