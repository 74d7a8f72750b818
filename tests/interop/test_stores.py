"""
Stores that are somebody else's: a decision service over HTTPS, and PAM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, Running
from tests.live.running import running as started
from tests.live.servers import (
    PATIENCE,
    Certificate,
    Destination,
    echo,
    missing,
    program,
)
from tests.tools.waiting import until

TOKEN, CANARY = "token-4711-secret", "canary-password-3f"

POLICY = (
    """
[auth]
groups_refresh = "500ms"
[groups]
staff = { directory = ["Staff"] }
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff"]
[[rule]]
id = "named"
allow = ["connect"]
who = ["sam"]
"""
    + LOOPBACK
)


class Service(ThreadingHTTPServer):
    """
    Decides as the user's name asks it to. Use it as a context.

    @ivar asked: paths, headers and bodies.
    @ivar gone: users that there are no longer.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.port: int = self.server_address[1]
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.gone: set[str] = set()
        self.socket = tls.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refused the certificate, or lost patience."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(PATIENCE)
        self.server_close()


#: What the service answers to a right password, by user.
ANSWERS: dict[str, tuple[int, bytes]] = {
    "alice": (200, b'{"allow": true, "groups": ["Staff"], "user": "Alice"}'),
    "sam": (200, b'{"allow": true}'),
    "denied": (200, b'{"allow": false, "groups": ["Staff"]}'),
    "text": (200, b'{"allow": "true", "groups": ["Staff"]}'),
    "one": (200, b'{"allow": 1, "groups": ["Staff"]}'),
    "list": (200, b"[true]"),
    "empty": (200, b""),
    "html": (200, b"<p>welcome"),
    "deep": (200, b'{"allow": true, "groups": ' + b"[" * 60_000),
    "long": (200, b'{"allow": true, "x": "' + b"x" * 100_000 + b'"}'),
    "groups": (200, b'{"allow": true, "groups": "Staff"}'),
    "name": (200, b'{"allow": true, "user": 7}'),
    "created": (201, b'{"allow": true}'),
    "broken": (500, b'{"allow": true}'),
    "moved": (307, b""),
}


class _Answers(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        user = body["user"]
        status, octets = ANSWERS.get(user, (200, b'{"allow": false}'))
        if self.path == "/groups":
            known = user not in self.server.gone
            groups = ["Staff"] if user == "Alice" else []
            status, octets = (
                200,
                json.dumps({"known": known, "groups": groups}).encode(),
            )
        elif user == "slow":
            time.sleep(3)
        elif body["password"] != CANARY:
            status, octets = 200, b'{"allow": false}'
        self.send_response(status)
        if status == 307:
            self.send_header("Location", f"https://localhost:{self.server.port}/moved")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def service(certificate: Certificate) -> Iterator[Service]:
    """The decision service."""
    with Service(certificate.server()) as serving:
        yield serving


def table(service: Service, ca: Path, directory: Path) -> str:
    """The checker that asks it."""
    (directory / "token").write_text(TOKEN)
    (directory / "token").chmod(0o600)
    return f"""
[[auth.checker]]
kind = "http"
url = "https://127.0.0.1:{service.port}/login"
groups_url = "https://localhost:{service.port}/groups"
ca = "{ca}"
token_file = "{directory / "token"}"
timeout = "1500ms"
"""


@pytest.fixture(scope="module")
def deciding(
    service: Service, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway that asks it."""
    directory = tmp_path_factory.mktemp("http")
    asking = table(service, certificate.file, directory)
    yield from started(directory / "gateway", POLICY + asking)


def cut(connection: socket.socket) -> None:
    """As C{echo}, for clients that are cut off."""
    try:
        echo(connection)
    except ConnectionResetError:
        pass


def tried(port: int, user: bytes, password: bytes) -> bytes:
    """All that a client hears after its password, when it says no more."""
    with closing(raw.dial(port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(user, password))
        assert raw.exactly(client, 2) == b"\x05\x02"
        heard = raw.exactly(client, 2)
        if heard == b"\x01\x00":
            return heard
        while came := client.recv(100):
            heard += came
        return heard


def test_decides(deciding: Running, service: Service) -> None:
    """
    Whom the service lets in is in, by the name and in the groups that it says;
    the password is in the body of its request and nowhere else.
    """
    with Destination(echo) as server, closing(raw.dial(deciding.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"alice", CANARY.encode()))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        client.sendall(b"through")
        assert raw.exactly(client, 7) == b"through"
    line = deciding.journal("decision")[-1]
    assert (line["user"], line["rule"]) == ("Alice", "staff")
    path, headers, body = next(each for each in service.asked if each[0] == "/login")
    assert body == {"user": "alice", "password": CANARY}
    assert CANARY not in path + str(headers)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert CANARY not in deciding.log + str(deciding.journal())
    assert TOKEN not in deciding.log + str(deciding.journal())


@pytest.mark.parametrize(
    "user", [*(each for each in ANSWERS if each not in ("alice", "sam")), "slow"]
)
def test_everythingElseIsNo(deciding: Running, service: Service, user: str) -> None:
    """
    Whatever is not a plain yes gets nobody in, and sounds the same; a password
    is not sent on to where an answer points.
    """
    assert tried(deciding.port, user.encode(), CANARY.encode()) == b"\x01\x01"
    expected = "wrong-credentials" if user in ("denied", "text", "one") else None
    reason = deciding.journal("login-failed")[-1]["reason"]
    assert reason == (expected or "store-unavailable")
    assert not [each for each in service.asked if each[0] == "/moved"]


def test_wrong(deciding: Running) -> None:
    """So does a wrong or an empty password, and what is no text."""
    for user, password in [(b"alice", b"x"), (b"alice", b""), (b"\xff", b"x"), (b"alice", b"\xff")]:  # fmt: skip
        assert tried(deciding.port, user, password) == b"\x01\x01"


def test_userWhoIsGone(deciding: Running, service: Service) -> None:
    """Who is let in by name ends when the service knows them no longer."""
    with Destination(cut) as server, closing(raw.dial(deciding.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"sam", CANARY.encode()))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        service.gone.add("sam")
        line = raw.end(deciding, server.port)
        assert line["why"] == "the user no longer exists"


def test_reloadWithoutGroupsURL(
    service: Service, gateway: Any, tmp_path: Path, certificate: Certificate
) -> None:
    """
    The groups of the last login are those that count, over a reload as well:
    who lives stays, and who comes has them.
    """
    asking = table(service, certificate.file, tmp_path)
    lines = [x for x in asking.splitlines() if not x.startswith("groups_url")]
    running = gateway(POLICY + "\n".join(lines))
    with Destination(cut) as server, closing(raw.dial(running.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"alice", CANARY.encode()))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.journal("reloaded"))
        time.sleep(2.5)
        client.sendall(b"through")
        assert raw.exactly(client, 7) == b"through"
    assert running.journal("decision")[-1]["rule"] == "staff"


def test_wrongCertificate(
    service: Service, gateway: Any, tmp_path: Path, certificate: Certificate
) -> None:
    """A service that cannot prove who it is hears nothing."""
    other = Certificate(tmp_path).file
    running = gateway(POLICY + table(service, other, tmp_path))
    before = len(service.asked)
    assert tried(running.port, b"alice", CANARY.encode()) == b"\x01\x01"
    assert len(service.asked) == before
    until(lambda: "its certificate is refused" in running.log)


# PAM.

#: Lets alice in by her password, which PAM gives it on its standard input.
SCRIPT = f"""#!/bin/sh
password=$(tr -d '\\0')
case "$PAM_USER:$password" in
    "alice:{CANARY}" | "Alice:{CANARY}") exit 0 ;;
    slow:*) sleep 3; exit 0 ;;
    expired:*) exit 0 ;;
esac
exit 1
"""
ACCOUNT = '#!/bin/sh\n[ "$PAM_USER" != expired ]\n'


@pytest.fixture(scope="module")
def pam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """
    A gateway that asks the real PAM, whose services, for this process alone,
    are those of the test.
    """
    directory = tmp_path_factory.mktemp("pam")
    services = directory / "pam.d"
    services.mkdir()
    for name, text in (("password", SCRIPT), ("account", ACCOUNT)):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    (services / "gate").write_text(
        f"auth required pam_exec.so expose_authtok quiet {directory}/password\n"
        # What a module does that takes a name in any case: it sets PAM_USER.
        "auth optional pam_ftp.so ignore users=alice,Alice\n"
        f"account required pam_exec.so quiet {directory}/account\n"
    )
    prefix = [program("unshare", "util-linux"), "--mount"]
    if os.geteuid() != 0:
        prefix += ["--user", "--map-root-user"]
    prefix += ["sh", "-c", f'mount --bind {services} /etc/pam.d && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        missing("a mount namespace of one's own, and /etc/pam.d")
    checker = '[[auth.checker]]\nkind = "pam"\nservice = "gate"\ntimeout = "1s"\n'
    policy = POLICY.replace('"sam"', '"alice"').replace("staff = {", "unused = {")
    policy = policy.replace('who = ["@staff"]', 'who = ["nobody"]')
    yield from started(directory, policy + checker, prefix=prefix)


def test_pam(pam: Running) -> None:
    """PAM's own yes lets in; its no, whatever the cause, does not."""
    with Destination(echo) as server, closing(raw.dial(pam.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"alice", CANARY.encode()))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
    for user, password in [
        (b"alice", b"wrong"), (b"alice", b""), (b"bob", CANARY.encode()),
        (b"expired", b"x"), (b"alice\0", CANARY.encode()), (b"alice", b"\0"),
    ]:  # fmt: skip
        assert tried(pam.port, user, password) == b"\x01\x01"
        assert pam.journal("login-failed")[-1]["reason"] == "wrong-credentials"
    assert CANARY not in pam.log + str(pam.journal())


def test_nameOfPAM(pam: Running) -> None:
    """The user is called what PAM's modules say, however the client spelled it."""
    with Destination(echo) as server, closing(raw.dial(pam.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"Alice", CANARY.encode()))
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        assert raw.reply5(client)[0] == 0
        assert raw.decision(pam, server.port)["user"] == "alice"


def test_slowPAM(pam: Running) -> None:
    """A module that takes too long lets nobody in, and holds up nobody else."""
    slow = threading.Thread(target=tried, args=(pam.port, b"slow", b"x"))
    slow.start()
    assert tried(pam.port, b"alice", CANARY.encode()) == b"\x01\x00"
    slow.join(PATIENCE)
    assert pam.journal("login-failed")[-1]["reason"] == "store-unavailable"
