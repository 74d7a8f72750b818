"""
Programs that take an HTTP proxy: by CONNECT for https, by an absolute URL for http.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.browser import headless
from tests.live.registries import FileServer, aptSettings, registries
from tests.live.running import Running, running, socksgw
from tests.live.servers import Certificate, Web, missing, package, program
from tests.tools.tokens import Issuer, setOf

CONFIGURATION = """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[http]
reasons = true
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 0, per_source = 0 }   # these tests fail often
[[auth.checker]]
kind = "jwt"
issuer = "https://issuer.example"
audience = "socksgw"
keys = "keys.json"
prefix = "ci:"
[[auth.choose]]
listener = ["login"]
methods = ["userpass"]
[[auth.choose]]
from = ["127.0.0.0/8", "::1"]
methods = ["none"]
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
[[rule]]
id = "open"
allow = ["connect"]
listener = ["open"]
[[rule]]
id = "login"
allow = ["connect"]
who = ["alice", "ci:*"]
listener = ["login"]
[never]
except = ["127.0.0.0/8", "::1"]
"""
#: What people are shown of a denial by the rule "forbidden".
DENIED = 'rule "forbidden"'


class Site(NamedTuple):
    """
    What the programs fetch.

    @ivar plain: over HTTP.
    @ivar secure: over HTTPS.
    """

    plain: FileServer
    secure: FileServer


class Way(NamedTuple):
    """
    One way from a program to the site.

    @ivar scheme: C{http}, by an absolute URL; C{https}, by CONNECT.
    @ivar proxy: the URL of the gateway, with the login where one is wanted.
    @ivar host: with the port, of the site.
    @ivar user: who is to be in the record.
    """

    scheme: str
    proxy: str
    host: str
    user: str

    @property
    def url(self) -> str:
        """The site's address."""
        return f"{self.scheme}://{self.host}"


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One gateway for all: a listener without login, and one with."""
    directory = tmp_path_factory.mktemp("http")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    (directory / "keys.json").write_bytes(setOf(ISSUER))
    (directory / "keys.json").chmod(0o644)
    yield from running(directory, CONFIGURATION)


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Site]:
    """The packages and the repository, over HTTP and HTTPS."""
    folder = tmp_path_factory.mktemp("site")
    registries(folder)
    with ExitStack() as stack:
        plain = stack.enter_context(FileServer(folder))
        secure = stack.enter_context(FileServer(folder, certificate.server()))
        yield Site(plain, secure)


@pytest.fixture(params=["https", "http"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Of the URL that is asked for."""
    scheme: str = request.param
    return scheme


ISSUER = Issuer("RS256")
#: As long as those of a CI system, which SOCKS cannot carry.
TOKEN = ISSUER.token(sub="build", exp=int(time.time()) + 7200, x="x" * 560).decode()


@pytest.fixture(params=["none", "basic", "token"])
def way(
    request: pytest.FixtureRequest, gateway: Running, site: Site, scheme: str
) -> Way:
    """Both schemes, each without login, with a password, and with a token as one."""
    server = site.secure if scheme == "https" else site.plain
    host = f"127.0.0.1:{server.port}"
    first, second = gateway.ports
    if request.param == "basic":
        return Way(scheme, f"http://{USER}:{PASSWORD}@127.0.0.1:{second}", host, USER)
    if request.param == "token":
        # By Basic: few programs know another scheme for proxies.
        assert len(TOKEN) > 1200
        proxy = f"http://token:{TOKEN}@127.0.0.1:{second}"
        return Way(scheme, proxy, host, "ci:build")
    return Way(scheme, f"http://127.0.0.1:{first}", host, "anonymous")


@pytest.fixture
def run(quiet: dict[str, str], tmp_path: Path, certificate: Certificate) -> Run:
    """C{run(command, **environment)}: a program to its end, in a folder of its own."""

    def ran(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={
                **quiet,
                "SSL_CERT_FILE": str(certificate.file),
                "GIT_SSL_CAINFO": str(certificate.file),
                "NODE_EXTRA_CA_CERTS": str(certificate.file),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return ran


def proxies(proxy: str) -> dict[str, str]:
    """The variables by which most programs are told of a proxy."""
    return {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}


def recorded(gateway: Running, way: Way) -> None:
    """The latest decision for the site is an allow for the right user."""
    line = raw.decision(gateway, int(way.host.rpartition(":")[2]))
    assert (line["protocol"], line["verdict"]) == ("http", "allow")
    assert line["user"] == way.user


def test_curl(gateway: Running, way: Way, run: Run, certificate: Certificate) -> None:
    """curl, which keeps the connection for a second address of the same host."""
    command = [program("curl", "curl"), "-sS", "--cacert", str(certificate.file)]
    command += ["-x", way.proxy, "--noproxy", ""]
    done = run([*command, f"{way.url}/npm/thing", f"{way.url}/simple/thing/"])
    assert done.returncode == 0, done.stderr
    assert '"latest"' in done.stdout
    assert "thing-1.0-py3" in done.stdout
    recorded(gateway, way)


def test_wget(gateway: Running, way: Way, run: Run, certificate: Certificate) -> None:
    """wget, told by the environment."""
    command = [program("wget", "wget"), "-q", "-O-", "--tries=1"]
    command += [f"--ca-certificate={certificate.file}", f"{way.url}/npm/thing"]
    done = run(command, **proxies(way.proxy))
    assert done.returncode == 0, done.stderr
    assert '"latest"' in done.stdout
    recorded(gateway, way)


def test_git(gateway: Running, way: Way, run: Run, tmp_path: Path) -> None:
    """git clones a repository."""
    git = program("git", "git")
    done = run([git, "-c", f"http.proxy={way.proxy}", "clone", f"{way.url}/thing.git"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "thing" / "file").read_text() == "kept\n"
    recorded(gateway, way)


def test_apt(
    gateway: Running, way: Way, run: Run, tmp_path: Path, certificate: Certificate
) -> None:
    """apt updates its lists, and downloads a package."""
    apt = program("apt-get", "apt")
    (tmp_path / "apt.conf").write_text(
        aptSettings(tmp_path, f"{way.url}/apt")
        + f"""
        Acquire::https::CAInfo "{certificate.file}";
        Acquire::http::Proxy "{way.proxy}";
        Acquire::https::Proxy "{way.proxy}";
        """
    )
    configuration = str(tmp_path / "apt.conf")
    for action in (["update"], ["download", "thing"]):
        done = run([apt, "-q", *action], APT_CONFIG=configuration)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "thing_1.0_all.deb").exists()
    recorded(gateway, way)


def test_pip(
    gateway: Running, way: Way, run: Run, tmp_path: Path, certificate: Certificate
) -> None:
    """pip downloads a package from an index."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--isolated"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--retries", "0"]
    command += ["--no-deps", "--cert", str(certificate.file), "--proxy", way.proxy]
    done = run([*command, "-i", f"{way.url}/simple/", "thing"])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "thing-1.0-py3-none-any.whl").exists()
    recorded(gateway, way)


def test_npm(gateway: Running, way: Way, run: Run, tmp_path: Path) -> None:
    """npm installs a package from a registry."""
    command = [program("npm", "npm"), "install", "--prefix", str(tmp_path)]
    command += ["--registry", f"{way.url}/npm/", "--cache", str(tmp_path / "cache")]
    command += ["--no-audit", "--no-fund", "--no-save", "--fetch-retries=0"]
    # npm resolves the tarball's address against the registry's.
    command += ["--proxy", way.proxy, "--https-proxy", way.proxy, "thing"]
    done = run(command, no_proxy="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "node_modules" / "thing" / "package.json").exists()
    recorded(gateway, way)


def test_requests(
    gateway: Running, way: Way, run: Run, certificate: Certificate
) -> None:
    """Python's requests, with a session that keeps its connection."""
    package("requests")
    script = (
        "import requests, sys\n"
        "with requests.Session() as session:\n"
        "    for path in ('npm/thing', 'simple/thing/'):\n"
        "        answer = session.get(f'{sys.argv[1]}/{path}')\n"
        "        answer.raise_for_status()\n"
        "        print(answer.text)\n"
    )
    environment = {
        **proxies(way.proxy),
        "REQUESTS_CA_BUNDLE": str(certificate.file),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    done = run([sys.executable, "-c", script, way.url], **environment)
    assert done.returncode == 0, done.stderr
    assert "thing-1.0-py3" in done.stdout
    recorded(gateway, way)


JAVA = """
import java.io.*;
import java.net.*;

public class Fetch {
    public static void main(String[] all) throws Exception {
        URI gateway = new URI(all[0]);
        String login = gateway.getUserInfo();
        if (login != null) {
            String[] two = login.split(":");
            Authenticator.setDefault(new Authenticator() {
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(two[0], two[1].toCharArray());
                }
            });
        }
        Proxy proxy = new Proxy(Proxy.Type.HTTP,
            new InetSocketAddress(gateway.getHost(), gateway.getPort()));
        URLConnection made = new URL(all[1]).openConnection(proxy);
        made.getInputStream().transferTo(System.out);
    }
}
"""


@pytest.fixture(scope="module")
def java(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> list[str]:
    """The command that runs the program above, which trusts our certificate."""
    folder = tmp_path_factory.mktemp("java")
    (folder / "Fetch.java").write_text(JAVA)
    options = {"check": True, "capture_output": True, "timeout": 120}
    compiler = program("javac", "openjdk-17-jdk-headless")
    subprocess.run([compiler, "-d", str(folder), str(folder / "Fetch.java")], **options)  # type: ignore[call-overload]
    command = [program("keytool", "openjdk-17-jre-headless"), "-importcert"]
    command += ["-noprompt", "-alias", "ours", "-storetype", "PKCS12"]
    command += ["-storepass", "changeit", "-file", str(certificate.file)]
    subprocess.run([*command, "-keystore", str(folder / "trust")], **options)  # type: ignore[call-overload]
    # Java sends no password through CONNECT unless this list is emptied.
    return [
        program("java", "openjdk-17-jre-headless"),
        "-Djdk.http.auth.tunneling.disabledSchemes=",
        f"-Djavax.net.ssl.trustStore={folder}/trust",
        "-Djavax.net.ssl.trustStorePassword=changeit",
        "-cp",
        str(folder),
        "Fetch",
    ]


def test_java(gateway: Running, way: Way, run: Run, java: list[str]) -> None:
    """Java's URLConnection, which logs in when it is asked to."""
    done = run([*java, way.proxy, f"{way.url}/npm/thing"])
    assert done.returncode == 0, done.stderr
    assert '"latest"' in done.stdout
    recorded(gateway, way)


NODE = """
const {ProxyAgent, request} = require('undici');
const [proxy, url] = process.argv.slice(-2);
const {username, password} = new URL(proxy);
const token = username &&
  'Basic ' + Buffer.from(`${username}:${password}`).toString('base64');
const dispatcher = new ProxyAgent({uri: proxy, token: token || undefined});
request(url, {dispatcher})
  .then(answer => answer.body.text())
  .then(text => { process.stdout.write(text); return dispatcher.close(); })
  .catch(error => { process.stderr.write(String(error)); process.exit(9); });
"""
UNDICI = "undici@6.29.1"


@pytest.fixture(scope="module")
def undici(pytestconfig: pytest.Config) -> Path:
    """A directory with undici in it, kept from run to run."""
    program("node", "nodejs")
    directory = pytestconfig.cache.mkdir(UNDICI.replace("@", "-"))
    if not (directory / "installed").exists():
        command = [program("npm", "npm"), "install", "--prefix", str(directory)]
        command += ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", UNDICI]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except subprocess.SubprocessError as e:
            missing(f"{UNDICI} from npm's registry: {e}")
        (directory / "installed").touch()
    return directory


def test_node(gateway: Running, way: Way, run: Run, undici: Path) -> None:
    """Node's undici, which asks for a tunnel also where the URL is http's."""
    command = [program("node", "nodejs"), "-e", NODE, "--", way.proxy]
    done = run(
        [*command, f"{way.url}/npm/thing"], NODE_PATH=str(undici / "node_modules")
    )
    assert done.returncode == 0, done.stderr
    assert '"latest"' in done.stdout
    recorded(gateway, way)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_chromium(
    gateway: Running,
    web: Callable[..., Web],
    run: Run,
    tmp_path: Path,
    scheme: str,
    host: str,
) -> None:
    """A browser shows a page, scripts run, and it came through the gateway."""
    server = web("127.0.0.1", scheme == "https")
    command = [*headless(tmp_path), "--dump-dom", "--ignore-certificate-errors"]
    command += [f"--proxy-server=http://127.0.0.1:{gateway.ports[0]}"]
    command += ["--proxy-bypass-list=<-loopback>"]
    done = run([*command, f"{scheme}://{host}:{server.port}/browser"])
    assert "served: /browser</p>" in done.stdout, done.stderr
    assert "and run" in done.stdout
    line = raw.decision(gateway, server.port)
    assert (line["protocol"], line["asked"]) == ("http", host)
    assert line["verdict"] == "allow"


# Each program shows its user why it was refused.


@pytest.mark.parametrize(
    ("command", "schemes"),
    [
        # Of the answer to CONNECT no program shows the body: some show the words
        # of its first line.
        (["curl", "-sS", "-x", "PROXY", "--noproxy", "", "URL"], ["http"]),
        (["wget", "-O-", "--tries=1", "URL"], ["http", "https"]),
        (["git", "ls-remote", "URL"], ["http"]),
        (
            [
                sys.executable,
                "-c",
                "import sys, urllib.request as u; u.urlopen(sys.argv[1])",
                "URL",
            ],
            ["http", "https"],
        ),
        (
            [
                "npm", "view", "thing", "--registry", "URL", "--fetch-retries=0",
                "--cache", "npm", "--proxy", "PROXY", "--https-proxy", "PROXY",
            ],
            ["http", "https"],
        ),
    ],
    ids=["curl", "wget", "git", "urllib", "npm"],
)  # fmt: skip
def test_theReasonIsShown(
    gateway: Running, run: Run, scheme: str, command: list[str], schemes: list[str]
) -> None:
    """A person who is refused reads which rule it was."""
    if not command[0].startswith("/"):
        command = [program(command[0], command[0]), *command[1:]]
    proxy = f"http://127.0.0.1:{gateway.ports[0]}"
    values = {"PROXY": proxy, "URL": f"{scheme}://127.0.0.9:9/thing"}
    done = run([values.get(word, word) for word in command], **proxies(proxy))
    shown = DENIED in (done.stdout + done.stderr).lower()
    assert shown == (scheme in schemes), (done.stdout, done.stderr)
    # Where there is no word of it, there is the number.
    assert "403" in done.stdout + done.stderr or shown
