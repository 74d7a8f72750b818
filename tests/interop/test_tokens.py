"""
Tokens, as real clients bring them; keys, as a real server publishes them.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.live import raw
from tests.live.running import LOOPBACK, Running
from tests.live.running import running as started
from tests.live.servers import PATIENCE, Certificate, Destination, Web, echo, program
from tests.tools.tokens import AUDIENCE, ISSUER, Issuer, setOf
from tests.tools.waiting import until

POLICY = (
    """
[groups]
ci = { token = ["k8s:ci"] }
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[auth.throttle]
per_user = 0
per_source = 0
[[auth.choose]]
methods = ["token", "userpass"]
[[rule]]
id = "pods"
allow = ["connect"]
who = ["@ci"]
[[rule]]
id = "short"
allow = ["connect"]
who = ["k8s:build"]
"""
    + LOOPBACK
)
TABLE = f"""
[[auth.checker]]
kind = "jwt"
name = "k8s"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
prefix = "k8s:"
groups_claim = ["kubernetes.io", "namespace"]
"""


def pod(**claims: Any) -> dict[str, Any]:
    """The claims of a projected token of Kubernetes 1.30."""
    return {
        "aud": [AUDIENCE],
        "jti": "e4b1f0c2-5b7d-4a0f-9b61-8f6f7a3c2d10",
        "kubernetes.io": {
            "namespace": "ci",
            "node": {"name": "node-1", "uid": "0b9c7d52-7a34-4a5e-8e2f-6f1b0a4c9d11"},
            "pod": {"name": "build-7", "uid": "7d0f3a51-92c8-4f36-b6aa-1c2e5d8b9f12"},
            "serviceaccount": {
                "name": "builder",
                "uid": "3c6e1b84-1f0d-4d29-a3b7-9e8f7c6d5b13",
            },
            "warnafter": int(time.time()) + 300,
        },
        "sub": "system:serviceaccount:ci:builder",
        **claims,
    }


class KeyServer(ThreadingHTTPServer):
    """
    Publishes keys, or does what a broken server does. Use it as a context.

    @ivar answer: status, content, and the content's type; L{None} for none at all.
    @ivar asked: the Authorization of each request.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, octets: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Keys)
        self.port: int = self.server_address[1]
        self.answer: tuple[int, bytes, str] | None = (200, octets, "application/json")
        self.asked: list[tuple[str, str | None]] = []
        self.over = threading.Event()
        self.socket = tls.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that lost patience."""

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self._thread.join(PATIENCE)
        self.server_close()


class _Keys(BaseHTTPRequestHandler):
    server: KeyServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        answer = self.server.answer
        if answer is None:
            self.server.over.wait(PATIENCE)
            self.close_connection = True
            return
        status, octets, kind = answer
        self.send_response(status)
        if status in (302, 307):
            self.send_header("Location", f"https://localhost:{self.server.port}/moved")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def bearing(port: int, token: bytes, to: int) -> bytes:
    """What a client hears that asks for a tunnel with a token: the answer's head."""
    with closing(raw.dial(port)) as client:
        client.sendall(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Proxy-Authorization: Bearer %b\r\n\r\n" % (to, to, token)
        )
        heard = b""
        while b"\r\n\r\n" not in heard and (came := client.recv(4096)):
            heard += came
        return heard.partition(b"\r\n\r\n")[0]


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as serving:
        yield serving


ISSUERS = [Issuer("RS256", "rsa"), Issuer("ES256", "ec"), Issuer("EdDSA", "ed")]


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that has the keys in a file."""
    directory = tmp_path_factory.mktemp("tokens")
    (directory / "keys.json").write_bytes(setOf(*ISSUERS))
    (directory / "keys.json").chmod(0o644)
    table = f'{TABLE}keys = "{directory}/keys.json"\nalgorithms = ["RS256", "ES256", "EdDSA"]\n'
    yield from started(directory, POLICY + table)


@pytest.mark.parametrize("issuer", ISSUERS, ids=lambda each: each.algorithm)
def test_pod(filed: Running, server: Destination, issuer: Issuer) -> None:
    """A pod's token: longer than SOCKS takes, and who it is, in the record."""
    token = issuer.token(**pod())
    assert len(token) > 255
    assert bearing(filed.port, token, server.port).startswith(b"HTTP/1.1 200 ")
    line = filed.journal("decision")[-1]
    assert (line["user"], line["method"], line["groups"], line["rule"]) == (
        "k8s:system:serviceaccount:ci:builder", "token", ["ci"], "pods"
    )  # fmt: skip
    assert_silent(filed, token)


def assert_silent(running: Running, token: bytes) -> None:
    """No part of a token is in log or journal."""
    kept = running.log + json.dumps(running.journal())
    for part in filter(None, token.decode().split(".")):
        assert part not in kept
    assert token.decode()[-30:] not in kept


def once(connection: socket.socket) -> None:
    """Send one piece back, and end: curl's telnet lasts as long as the server."""
    connection.sendall(connection.recv(1000))


def test_curl(filed: Running, quiet: dict[str, str]) -> None:
    """curl, by its own option for headers of proxies; and a wrong token of its."""
    token = ISSUERS[0].token(**pod()).decode()

    def run(token: str, server: Destination) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                program("curl", "curl"), "-sS", "-v", "--max-time", "20", "--proxytunnel",
                "--proxy", f"http://127.0.0.1:{filed.port}", "--noproxy", "",
                "--proxy-header", f"Proxy-Authorization: Bearer {token}",
                f"telnet://127.0.0.1:{server.port}",
            ],
            env=quiet, input="through\n", capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    with Destination(once) as server:
        assert run(token, server).stdout == "through\n"
        refused = run(token[:-6] + "AAAAAA", server)
    assert refused.returncode != 0
    assert "407" in refused.stderr
    assert 'Bearer realm="socksgw", error="invalid_token"' in refused.stderr


def test_password(filed: Running, server: Destination) -> None:
    """In SOCKS a token that fits is a password, under any of these names."""
    issuer = ISSUERS[1]
    token = issuer.sign(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "build", "exp": int(time.time()) + 60},
        {"kid": "ec"},
    )
    assert len(token) <= 255
    for name in (b"token", b"k8s:build"):
        with closing(raw.dial(filed.port)) as client:
            client.sendall(raw.GREETING_LOGIN + raw.login(name, token))
            assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
            client.sendall(raw.request5("127.0.0.1", server.port))
            assert raw.reply5(client)[0] == 0
        line = filed.journal("decision")[-1]
        assert (line["user"], line["method"]) == ("k8s:build", "userpass")
        with closing(raw.dial(filed.port)) as client:
            login = raw.login6(name.decode(), token.decode())
            client.sendall(raw.request6("127.0.0.1", server.port, options=login))
            assert raw.entered6(client) == (0, raw.LET_IN6)
            assert raw.replied6(client)[0] == 0
        line = filed.journal("decision")[-1]
        found = line["protocol"], line["user"], line["method"]
        assert found == ("socks6", "k8s:build", "userpass")
    with closing(raw.dial(filed.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"alice", token))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x01"
    line = until(lambda: filed.journal("login-failed"))[-1]
    assert line["claimed"] == "alice"
    assert line["why"].endswith("another user's than the user name beside it says")
    assert_silent(filed, token)


def _unsigned() -> bytes:
    return ISSUERS[0].token({"alg": "none"}, **pod()).rpartition(b".")[0] + b"."


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"hunter2", "wrong-credentials"),
        (lambda: b"e" * 60_000, "wrong-credentials"),
        (_unsigned, "bad-token"),
        (lambda: Issuer("RS256", "rsa", 1).token(**pod()), "bad-token"),
        (lambda: ISSUERS[0].token({"kid": "../../keys"}, **pod()), "bad-token"),
        (lambda: ISSUERS[0].token(**pod(exp=1)), "bad-token"),
        (lambda: ISSUERS[0].token(**pod(aud="other")), "bad-token"),
        (lambda: ISSUERS[0].token(**pod(iss="other")), "wrong-credentials"),
        (lambda: ISSUERS[0].token(**pod(sub="a\nb")), "bad-token"),
    ],
)
def test_oneAnswer(
    filed: Running, server: Destination, make: Callable[[], bytes], reason: str
) -> None:
    """Whatever is wrong with a token, the client hears the same."""
    before = len(filed.journal("login-failed"))
    token = make()
    heard = bearing(filed.port, token, server.port)
    assert heard.startswith(b"HTTP/1.1 407 ")
    assert heard == bearing(filed.port, b"AAAA", server.port)
    line = until(lambda: filed.journal("login-failed")[before:])[0]
    assert (line["reason"], line["method"]) == (reason, "token")
    assert line["claimed"] == ""
    assert_silent(filed, token)


def test_ends(filed: Running, server: Destination) -> None:
    """The session ends with the token, and the token is not remembered beyond."""
    token = ISSUERS[1].token(**pod(exp=int(time.time()) - 28))
    with closing(raw.dial(filed.port)) as client:
        client.sendall(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Proxy-Authorization: Bearer %b\r\n\r\n"
            % (server.port, server.port, token)
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        line = raw.end(filed, server.port)
        assert (line["reason"], line["why"]) == ("revoked", "the login has expired")
    assert bearing(filed.port, token, server.port).startswith(b"HTTP/1.1 407 ")


# Keys that a server publishes.


def published(keys: KeyServer, ca: Path, directory: Path, more: str = "") -> str:
    """The checker that asks it."""
    (directory / "token").touch(0o600)
    (directory / "token").write_text("canary-keys-token")
    return (
        f'{TABLE}keys_url = "https://localhost:{keys.port}/openid/v1/jwks"\n'
        f'ca = "{ca}"\ntoken_file = "{directory / "token"}"\ntimeout = "1s"\n{more}'
    )


def test_rotated(
    gateway: Any, certificate: Certificate, tmp_path: Path, server: Destination
) -> None:
    """
    Keys change while the gateway runs: a new one is found by the first token that
    names it, an old one is believed no longer, and who is in stays.
    """
    old, new = Issuer("ES256", "old"), Issuer("ES256", "new")
    with KeyServer(certificate.server(), setOf(old)) as keys:
        running = gateway(
            POLICY + published(keys, certificate.file, tmp_path, 'refresh = "11s"\n')
        )
        assert not keys.asked
        with closing(raw.dial(running.port)) as living:
            living.sendall(
                b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                b"Proxy-Authorization: Bearer %b\r\n\r\n"
                % (server.port, server.port, old.token(**pod()))
            )
            assert living.recv(4096).startswith(b"HTTP/1.1 200 ")
            assert keys.asked == [("/openid/v1/jwks", "Bearer canary-keys-token")]
            keys.answer = (200, setOf(new), "application/json")
            # Asked a moment ago: not again for each token of a stranger.
            for _ in range(20):
                token = new.token(**pod())
                assert b" 407 " in bearing(running.port, token, server.port)
            assert len(keys.asked) == 1
            time.sleep(10.2)
            token = new.token(**pod())
            assert b" 200 " in bearing(running.port, token, server.port)
            assert len(keys.asked) == 2
            again = old.token(**pod(jti="x"))
            assert b" 407 " in bearing(running.port, again, server.port)
            living.sendall(b"through")
            assert raw.exactly(living, 7) == b"through"
            # A reload asks for nothing that is known.
            running.process.send_signal(signal.SIGHUP)
            until(lambda: running.journal("reloaded"))
            token = new.token(**pod(jti="y"))
            assert b" 200 " in bearing(running.port, token, server.port)
            assert len(keys.asked) == 2
        assert "canary-keys-token" not in running.log + str(running.journal())


MANY = json.dumps({"keys": [Issuer("RS256").public] * 10_000}).encode()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no answer within 1 s"),
        ((302, b"", "text/html"), "status 302"),
        ((307, b"", "text/html"), "status 307"),
        ((500, b"{}", "application/json"), "status 500"),
        (
            (200, b"<!doctype html><title>Log in</title>", "text/html"),
            "not a set of keys",
        ),
        ((200, b"", "application/json"), "not a set of keys"),
        ((200, b'{"keys": []}', "application/json"), "has no key for RS256, ES256"),
        ((200, MANY, "application/json"), "an answer that is too long"),
        ((200, b'{"keys": ' + b"[" * 60_000, "application/json"), "not a set of keys"),
    ],
    ids=["hangs", "302", "307", "500", "html", "empty", "none", "10000", "deep"],
)
def test_badServer(
    gateway: Any, certificate: Certificate, tmp_path: Path, server: Destination,
    answer: tuple[int, bytes, str] | None, why: str,
) -> None:  # fmt: skip
    """
    A server that has no keys to give: nobody gets in, soon, and the operator is told
    why; nothing is asked where it points to.
    """
    issuer = Issuer("ES256")
    with KeyServer(certificate.server(), b"") as keys:
        keys.answer = answer
        running = gateway(POLICY + published(keys, certificate.file, tmp_path))
        began = time.monotonic()
        token = issuer.token(**pod())
        assert b" 407 " in bearing(running.port, token, server.port)
        assert time.monotonic() - began < PATIENCE / 2
        line = until(lambda: running.journal("login-failed"))[-1]
        assert line["reason"] == "store-unavailable"
        assert why in line["why"]
        assert [path for path, _ in keys.asked] == ["/openid/v1/jwks"]
        assert_silent(running, token)
        # What the server says is not the client's fault, and the next one may be in.
        assert why in until(lambda: running.journal("stores"))[-1]["problems"][0]


def test_hold(
    gateway: Any, certificate: Certificate, tmp_path: Path, server: Destination
) -> None:
    """Known keys go on for a time while the server is down, and no longer."""
    issuer = Issuer("ES256")
    more = 'refresh = "1s"\nhold = "4s"\n'
    with KeyServer(certificate.server(), setOf(issuer)) as keys:
        running = gateway(POLICY + published(keys, certificate.file, tmp_path, more))
        assert b" 200 " in bearing(running.port, issuer.token(**pod()), server.port)
        keys.answer = None
        time.sleep(1.2)
        token = issuer.token(**pod(jti="1"))
        assert b" 200 " in bearing(running.port, token, server.port)
        time.sleep(4)
        token = issuer.token(**pod(jti="2"))
        assert b" 407 " in bearing(running.port, token, server.port)
        line = until(lambda: running.journal("login-failed"))[-1]
        assert line["reason"] == "store-unavailable"


def test_wrongCertificate(
    gateway: Any, certificate: Certificate, tmp_path: Path, server: Destination
) -> None:
    """A server that cannot prove who it is is not believed, nor told a token."""
    issuer = Issuer("ES256")
    with KeyServer(certificate.server(), setOf(issuer)) as keys:
        other = Certificate(tmp_path).file
        running = gateway(POLICY + published(keys, other, tmp_path))
        assert b" 407 " in bearing(running.port, issuer.token(**pod()), server.port)
        assert not keys.asked
        until(lambda: "its certificate is refused" in running.log)


def test_nobodyListens(gateway: Any, tmp_path: Path, server: Destination) -> None:
    """Nor is one that is not there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    table = f'{TABLE}keys_url = "http://127.0.0.1:{port}/keys"\n'
    running = gateway(POLICY + table)
    assert b" 407 " in bearing(running.port, Issuer().token(**pod()), server.port)
    assert until(lambda: running.journal("login-failed"))[-1]["reason"] == (
        "store-unavailable"
    )


def test_keptConnection(filed: Running, web: Callable[..., Web]) -> None:
    """A connection that is kept for more requests ends with its token, too."""
    site = web("127.0.0.1", False)
    token = ISSUERS[1].token(**pod(exp=int(time.time()) - 27))
    request = (
        b"GET http://127.0.0.1:%d/x HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Proxy-Authorization: Bearer %b\r\n\r\n" % (site.port, site.port, token)
    )
    with closing(raw.dial(filed.port)) as client:
        client.settimeout(PATIENCE)
        client.sendall(request)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(4)
        heard = b""
        with suppress(ConnectionError):
            client.sendall(request)
            heard = client.recv(65536)
        assert not heard.startswith(b"HTTP/1.1 200 ")


def test_theManualsTrial(gateway: Any, tmp_path: Path, web: Callable[..., Web]) -> None:
    """A key and a token by the manual's lines, its configuration, and its three ways."""
    trial = (
        chapters()["tokens"].partition("Try it\n------")[2].partition("Kubernetes\n")[0]
    )
    blocks = re.findall(r"(?:::|: \w+)\n\n((?:    .*\n|\n)+)", trial)
    minting, configuration, _, commands = map(dedent, blocks)
    done = subprocess.run(
        [sys.executable, "-c", minting], cwd=tmp_path, check=False, timeout=60
    )
    assert done.returncode == 0
    site = web("127.0.0.1", False)
    configuration = configuration.replace("127.0.0.1:1080", "127.0.0.1:0")
    configuration = configuration.replace("keys.json", f"{tmp_path}/keys.json")
    running = gateway(configuration.replace("80, 443", str(site.port)) + LOOPBACK)
    curl = program("curl", "curl")
    for command in commands.replace("\\\n", " ").strip().splitlines():
        here = (
            command.replace("https_proxy", "http_proxy")
            .replace("https://example.com", f"http://127.0.0.1:{site.port}/x")
            .replace("127.0.0.1:1080", f"127.0.0.1:{running.port}")
            .replace("curl ", f"{curl} -sS -f -o /dev/null ")
        )
        ran = subprocess.run(
            here, shell=True, cwd=tmp_path, capture_output=True, check=False, timeout=30
        )
        assert ran.returncode == 0, (here, ran.stderr)
    told = [(line["user"], line["method"]) for line in running.journal("decision")]
    assert told == [("builder", each) for each in ("token", "userpass", "userpass")]
