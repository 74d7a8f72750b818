"""
The agent of a workstation in front of gateways that want a login, over TLS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.live.agents import Agent, agent
from tests.live.browser import headless
from tests.live.datagrams import Association, Echo
from tests.live.kerberos import Realm, within
from tests.live.netns import alone
from tests.live.running import Running, environment, running, socksgw, socksgwProcess
from tests.live.servers import Web, package, program
from tests.tools.certificates import Authority, email, pemOf, server
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, setOf

REALM = "CORP.EXAMPLE"
USER, PASSWORD = "alice", "correct-horse"
TLS = 'tls = { certificate = "gw.pem", key = "gw.key" }\n'
#: Listeners by what they want, each over TLS.
LISTENERS = ("tickets", "passwords", "tokens", "certificates")
CONFIGURATION = f"""
[[listen]]
name = "tickets"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
udp = {{ tunnels = ["hev"] }}
{TLS}
[[listen]]
name = "passwords"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
{TLS}
[[listen]]
name = "tokens"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
{TLS}
[[listen]]
name = "certificates"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
client_ca = "ca.pem"
client_certificate = "required"
[auth]
checkers = ["passwd:users"]
strip_realms = ["{REALM}"]
gssapi = {{ keytab = "KEYTAB" }}
[[auth.checker]]
kind = "jwt"
name = "issuer"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
keys = "keys.json"
[[auth.choose]]
listener = ["tickets"]
methods = ["gssapi"]
[[auth.choose]]
listener = ["passwords"]
methods = ["userpass"]
[[auth.choose]]
listener = ["tokens"]
methods = ["token"]
[[auth.choose]]
listener = ["certificates"]
methods = ["certificate"]
[[rule]]
id = "users"
allow = ["connect", "udp"]
who = ["users"]
[never]
except = ["127.0.0.0/8", "::1"]
"""


class Site:
    """
    A gateway, who gives credentials for it, and files of them.

    @ivar directory: where the files are.
    @ivar gateway: it, once it runs.
    """

    gateway: Running

    def __init__(self, directory: Path, realm: Realm) -> None:
        self.directory = directory
        self.realm = realm
        self.root = Authority()
        self.issuer = Issuer()
        server(self.root).write(directory, "gw")
        (directory / "ca.pem").write_bytes(pemOf(self.root.certificate))
        (directory / "other.pem").write_bytes(pemOf(Authority().certificate))
        (directory / "keys.json").write_bytes(setOf(self.issuer))
        made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
        self.secret("password", PASSWORD.encode())
        self.secret("wrong", b"staple")
        self.secret("token", self.issuer.token())
        self.secret("expired", self.issuer.token(exp=1_000_000_000))
        self.root.issue(email("alice@corp.example")).write(directory, "me")
        day = timedelta(days=1)
        self.root.issue(email("alice@corp.example"), before=-2 * day, after=-day).write(
            directory, "old"
        )
        text = CONFIGURATION.replace("KEYTAB", str(realm.keytab))
        self._running = running(directory, text, extra=realm.environment)

    def secret(self, name: str, octets: bytes) -> None:
        """Write a file that nobody else can read."""
        file = self.directory / name
        file.touch(0o600)
        file.write_bytes(octets)

    def start(self) -> Iterator[Site]:
        """Run the gateway."""
        for gateway in self._running:
            self.gateway = gateway
            yield self

    def url(self, listener: str, scheme: str = "socks5+tls") -> str:
        """Return the URL of a listener."""
        return f"{scheme}://localhost:{self.gateway.ports[LISTENERS.index(listener)]}"

    def check(self, listener: str, *options: str, scheme: str = "socks5+tls") -> str:
        """Return the exit status of C{--check}, and its line."""
        ca = [] if "--ca" in options else ["--ca", "ca.pem"]
        done = socksgwProcess(
            "agent",
            self.url(listener, scheme),
            "--check",
            *ca,
            *options,
            cwd=self.directory,
        )
        (line,) = (done.stdout + done.stderr).splitlines()
        assert PASSWORD not in line
        return f"{done.returncode} {line.removeprefix('socksgw agent: ')}"


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A realm with the gateway's services; its KDC runs."""
    package("gssapi")
    made = Realm(tmp_path_factory.mktemp("kerberos") / "realm", REALM)
    made.services(made.keytab, "HTTP/localhost", "rcmd/localhost")
    made.user(USER)
    with made.running():
        yield made


@pytest.fixture(scope="module")
def site(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The gateway."""
    package("joserfc")
    yield from Site(tmp_path_factory.mktemp("site"), realm).start()


@pytest.fixture(scope="module")
def tickets(realm: Realm) -> dict[str, str]:
    """The environment of a user with a cache of tickets of its own."""
    return {**realm.tickets(life="9m")}


@pytest.fixture(scope="module")
def mine(
    site: Site, tickets: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agent]:
    """An agent of a user with a ticket."""
    options = ["--ca", str(site.directory / "ca.pem"), "--listen", "127.0.0.1:0"]
    home = tmp_path_factory.mktemp("mine")
    with agent(home, site.url("tickets"), *options, **tickets) as made:
        made.tells("is reached, by Kerberos")
        yield made


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_curl(
    mine: Agent, site: Site, web: Callable[..., Web], quiet: dict[str, str], scheme: str
) -> None:
    """A program that knows neither TLS nor Kerberos comes as its user."""
    command = [program("curl", "curl"), "-sS", "--max-time", "20", "--noproxy", ""]
    url = f"http://localhost:{web('127.0.0.1').port}/{scheme}"
    done = subprocess.run(
        [*command, "--proxy", f"{scheme}://127.0.0.1:{mine.port}", url],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"served: /{scheme}" in done.stdout, done.stderr
    line = site.gateway.journal("decision")[-1]
    assert (line["user"], line["method"], line["asked"]) == (
        "alice",
        "gssapi",
        "localhost",
    )
    assert line["secured"] == "confidentiality"


def test_chromium(
    mine: Agent,
    site: Site,
    web: Callable[..., Web],
    quiet: dict[str, str],
    tmp_path: Path,
) -> None:
    """A browser reaches a gateway for tickets alone, by its plainest setting."""
    secure = web("127.0.0.1", True)
    command = [*headless(tmp_path), "--dump-dom", "--ignore-certificate-errors"]
    command += [f"--proxy-server=socks5://127.0.0.1:{mine.port}"]
    command += ["--proxy-bypass-list=<-loopback>"]
    done = subprocess.run(
        [*command, f"https://127.0.0.1:{secure.port}/browser"],
        env=quiet,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "served: /browser" in done.stdout, done.stderr
    found = [
        (line["user"], line["method"])
        for line in site.gateway.journal("decision")
        if line["port"] == secure.port
    ]
    assert set(found) == {("alice", "gssapi")}


def test_datagrams(mine: Agent) -> None:
    """Inside the TLS connection, as the user with the ticket."""
    with Echo() as echo, Association(mine.port) as association:
        association.echo(echo, b"hello")
        association.echo(echo, bytes(1400))


def test_ticketGoesAndComes(mine: Agent, realm: Realm, tickets: dict[str, str]) -> None:
    """One line for each: the agent reads the cache for each login."""
    subprocess.run(
        [program("kdestroy", "krb5-user")], env={**os.environ, **tickets}, check=True
    )
    line = mine.tells("there is no Kerberos ticket")
    assert line.endswith("get one with kinit")
    assert tickets["KRB5CCNAME"] in line
    realm.tickets(life="9m")
    mine.tells("works again: localhost")
    assert len(mine.lines) == 4


@pytest.mark.parametrize(
    ("listener", "options", "told"),
    [
        ("passwords", "--user alice --password-file password", "0 "),
        ("passwords", "--user alice --password-file wrong", "1 the gateway refuses"),
        ("passwords", "--login none", "1 the gateway refuses the login"),
        ("passwords", "--user alice --password-file password --ca other.pem", "3 "),
        ("passwords", "--user alice --password-file password --server-name gw", "3 "),
        ("tokens", "--token-file token", "0 "),
        ("tokens", "--token-file expired", "1 the token in"),
        ("certificates", "--certificate me.pem --key me.key", "0 "),
        ("certificates", "--certificate old.pem --key old.key", "1 the certificate"),
    ],
)
def test_logins(site: Site, listener: str, options: str, told: str) -> None:
    """Each that works, and what is said where it does not."""
    # SOCKS has no method for tokens.
    scheme = "https" if listener == "tokens" else "socks5+tls"
    line = site.check(listener, *options.split(), scheme=scheme)
    assert line.startswith(told), line
    if scheme != "https" and ("me.pem" in options or "none" in options):
        # The line is the same in SOCKS 6.
        assert site.check(listener, *options.split(), scheme="socks6+tls") == line
    assert ("is reached, by the" in line) is (told == "0 ")
    if told == "3 ":
        assert "not believed to be itself" in line


#: A desktop's session: its keyring is unlocked by the user's login.
DESKTOP = """
printf sesame | gnome-keyring-daemon --unlock --components=secrets >&2
"$PYTHON" -m socksgw.console.command agent "$@"
printf %s "$PASSWORD" | "$PYTHON" -m keyring set socksgw:localhost alice
"$PYTHON" -m socksgw.console.command agent "$@"
"""


def test_keyring(site: Site, tmp_path: Path) -> None:
    """The password is in a real Secret Service, under the gateway's name."""
    package("secretstorage")
    program("gnome-keyring-daemon", "gnome-keyring")
    session = [program("dbus-run-session", "dbus-daemon"), "--", "sh", "-c", DESKTOP]
    url = site.url("passwords")
    options = ["--user", USER, "--keyring", "--ca", str(site.directory / "ca.pem")]
    done = subprocess.run(
        [*session, "sh", url, "--check", *options],
        env=environment(
            HOME=str(tmp_path),
            XDG_RUNTIME_DIR=str(tmp_path),
            XDG_DATA_HOME="",
            PYTHON=sys.executable,
            PASSWORD=PASSWORD,
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = "the keyring has no password of alice: keyring set socksgw:localhost alice"
    assert f"socksgw agent: {told}\n" in done.stderr
    assert "is reached, by the password\n" in done.stdout, done.stderr
    assert done.returncode == 0


def test_aTokenThatComesLater(site: Site, tmp_path: Path) -> None:
    """An agent that starts before its token waits for it, and says so once."""
    file = tmp_path / "later"
    options = ["--ca", str(site.directory / "ca.pem"), "--listen", "127.0.0.1:0"]
    url = site.url("tokens", "https")
    with agent(tmp_path, url, "--token-file", str(file), *options) as made:
        assert made.tells(str(file)).endswith("put the token there")
        file.touch(0o600)
        file.write_bytes(site.issuer.token())
        made.tells("is reached, by the token")
        assert len(made.lines) <= 4


def test_withoutTickets(site: Site, realm: Realm) -> None:
    """Whoever has none is told so, and the gateway is not asked."""
    with within(realm.environment):
        line = site.check("tickets")
    assert line.startswith("1 there is no Kerberos ticket")


@pytest.mark.parametrize("listener", ["tickets", "passwords"])
def test_overHTTPS(site: Site, realm: Realm, listener: str) -> None:
    """The same logins as Negotiate and Basic."""
    options = {
        "tickets": [],
        "passwords": ["--user", USER, "--password-file", "password"],
    }[listener]
    with within(realm.tickets(life="8m")):
        assert site.check(listener, *options, scheme="https").startswith("0 ")


def test_anotherAddress() -> None:
    """
    A connection whose address has gone is cut at once, and not taken for one that ended
    in order; the next one begins at the new address.
    """
    found = json.loads(alone("tests.interop.roaming"))
    assert (found["before"], found["after"]) == ("hello", "hello")
    assert found["moved"] == "ConnectionResetError"
    assert len(found["lines"]) == 2
