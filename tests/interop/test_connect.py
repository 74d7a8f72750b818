"""
C{socksgw connect}: standard streams through a real gateway, and as OpenSSH's
ProxyCommand.
"""

from __future__ import annotations

import getpass
import hashlib
import random
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.clientside import LOGIN, PASSWORD, PLAIN, TLS, USER, serving
from tests.live.running import Running, environment
from tests.live.servers import Destination, package, program, untilEnd
from tests.live.sshd import Sshd
from tests.tools.certificates import CLIENT, Authority, email
from tests.tools.waiting import until

UP = random.Random(60).randbytes(700_001)
DOWN = random.Random(61).randbytes(900_001)
COMMAND = [sys.executable, "-m", "socksgw.console.command", "connect"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateway's files are."""
    return tmp_path_factory.mktemp("connect")


@pytest.fixture(scope="module")
def gateway(directory: Path) -> Iterator[Running]:
    """A gateway with a listener of each kind."""
    yield from serving(directory)


#: How the gateway is named, by the scheme: the listener, and the host.
SCHEMES = {
    "socks5": (PLAIN, "127.0.0.1"),
    "socks4a": (PLAIN, "127.0.0.1"),
    "http": (PLAIN, "localhost"),
    "socks5+tls": (TLS, "localhost"),
    "socks4a+tls": (TLS, "localhost"),
    "https": (TLS, "localhost"),
}


def asking(
    gateway: Running, directory: Path, scheme: str, host: str, port: int, *more: str
) -> list[str]:
    """The command line."""
    listener, place = SCHEMES[scheme]
    if "--user" in more:
        listener = LOGIN
    url = f"{scheme}://{place}:{gateway.ports[listener]}"
    trust = ["--ca", str(directory / "ca.pem")] if listener == TLS else []
    return [*COMMAND, host, str(port), "--proxy", url, *trust, *more]


def ran(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end."""
    options.setdefault("input", b"")
    if "stdin" in options:
        del options["input"]
    return subprocess.run(
        command, env=environment(), capture_output=True, timeout=60, check=False,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["socks5", "http", "socks4a+tls"])
def test_inputEndsFirst(
    gateway: Running,
    directory: Path,
    destination: Callable[..., Destination],
    scheme: str,
) -> None:
    """The destination sees the end, and its answer then is written whole."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        arrived.append(untilEnd(connection))
        connection.sendall(DOWN)

    server = destination(serve)
    done = ran(asking(gateway, directory, scheme, "localhost", server.port), input=UP)
    assert (done.returncode, done.stderr) == (0, b"")
    assert arrived == [UP]
    assert done.stdout == DOWN
    line = raw.end(gateway, server.port)
    assert (line["sent"], line["received"]) == (len(UP), len(DOWN))


def test_files(
    gateway: Running,
    directory: Path,
    destination: Callable[..., Destination],
    tmp_path: Path,
) -> None:
    """Standard input and output may be files."""
    server = destination(lambda connection: connection.sendall(untilEnd(connection)))
    (tmp_path / "in").write_bytes(UP)
    command = asking(gateway, directory, "socks5", "localhost", server.port)
    with (tmp_path / "in").open("rb") as read, (tmp_path / "out").open("wb") as written:
        done = subprocess.run(
            command, env=environment(), stdin=read, stdout=written, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "out").read_bytes() == UP


@pytest.mark.parametrize("scheme", ["socks5", "socks5+tls"])
def test_destinationEndsFirst(
    gateway: Running,
    directory: Path,
    destination: Callable[..., Destination],
    scheme: str,
) -> None:
    """Standard output ends, and what is written to standard input then arrives."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(DOWN)
        connection.shutdown(socket.SHUT_WR)
        arrived.append(untilEnd(connection))

    server = destination(serve)
    with subprocess.Popen(
        asking(gateway, directory, scheme, "localhost", server.port),
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read() == DOWN
        process.stdin.write(UP)
        process.stdin.close()
        assert process.wait(30) == 0
    until(lambda: arrived)
    assert arrived == [UP]


def test_nobodyReads(
    gateway: Running, directory: Path, destination: Callable[..., Destination]
) -> None:
    """It ends when its output is closed, and the destination learns that."""
    ended: list[bool] = []

    def serve(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(bytes(65536))
        except OSError:
            ended.append(True)

    server = destination(serve)
    with subprocess.Popen(
        asking(gateway, directory, "socks5", "localhost", server.port),
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.read(100_000)
        process.stdout.close()
        process.wait(30)
    until(lambda: ended)


@pytest.mark.parametrize(("scheme", "how"), [("socks5", "file"), ("http", "env")])
def test_ssh(
    gateway: Running,
    directory: Path,
    tmp_path: Path,
    scheme: str,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenSSH's ProxyCommand through a gateway that wants a login."""
    monkeypatch.setenv("SECRET_OF_MINE", PASSWORD)
    secret = {
        "file": ("--password-file", str(directory / "password")),
        "env": ("--password-env", "SECRET_OF_MINE"),
    }
    asked = asking(gateway, directory, scheme, "%h", 0, "--user", USER, *secret[how])
    asked[asked.index("0")] = "%p"
    sshd = Sshd(tmp_path, environment())
    try:
        sshd.ready()
        command = [program("ssh", "openssh-client"), *sshd.options]
        command += ["-o", f"ProxyCommand={shlex.join(asked)}", "-p", str(sshd.port)]
        command += ["-l", getpass.getuser(), "127.0.0.1", "cat; exit 7"]
        done = ran(command, input=UP)
        assert done.returncode == 7, done.stderr
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(UP).digest()
        line = raw.decision(gateway, sshd.port)
        assert (line["protocol"], line["user"]) == (scheme, USER)
    finally:
        sshd.stop()


#: The options behind host, port and proxy; the status; and what is said.
REFUSED: dict[str, tuple[list[str], int, str]] = {
    "wrong password": (["--user", "bob"], 1, "does not accept the user and password"),
    "no login": ([], 1, "--password-file"),
}


@pytest.mark.parametrize(
    ("scheme", "case"), [("socks5", "wrong password"), ("http", "no login")]
)
def test_loginFails(gateway: Running, directory: Path, scheme: str, case: str) -> None:
    """One line with the remedy, and status 1; the password is not in it."""
    options, status, said = REFUSED[case]
    url = f"{scheme}://127.0.0.1:{gateway.ports[LOGIN]}"
    if options:
        options = [*options, "--password-file", str(directory / "password")]
    done = ran([*COMMAND, "127.0.0.1", "1", "--proxy", url, *options])
    assert done.returncode == status
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("socksgw connect: ")
    assert said in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    ("scheme", "host", "said"),
    [
        ("https", "127.0.0.9", "rules do not allow"),
        ("socks5", "127.0.0.1", "refuses the connection"),
    ],
)
def test_refused(
    gateway: Running, directory: Path, scheme: str, host: str, said: str
) -> None:
    """What the gateway answers is told, and the status is 1."""
    done = ran(asking(gateway, directory, scheme, host, 1))
    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert f"{host} port 1: " in line
    assert said in line


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("socks5://127.0.0.1:1", [], "is the gateway there"),
        ("socks5+tls://localhost:{tls}", [], "its certificate is refused"),
        (
            "https://localhost:{tls}",
            ["--ca", "{ca}", "--server-name", "gw.example"],
            "gw.example",
        ),
    ],
)
def test_notReached(
    gateway: Running, directory: Path, url: str, options: list[str], said: str
) -> None:
    """A proxy that is not there, or not the one that is meant: status 3."""
    ca = str(directory / "ca.pem")
    command = [
        *COMMAND,
        "127.0.0.1",
        "1",
        "--proxy",
        url.format(tls=gateway.ports[TLS]),
    ]
    done = ran([*command, *(each.format(ca=ca) for each in options)])
    assert done.returncode == 3, done.stderr
    [line] = done.stderr.decode().splitlines()
    assert said in line


def test_certificateNotAskedFor(
    gateway: Running, directory: Path, tmp_path: Path
) -> None:
    """A certificate is a login only where the proxy asks for it."""
    mine = Authority().issue(email("alice@example"), usage=(CLIENT,))
    file = mine.writeTogether(tmp_path, "alice")
    options = ("--login", "certificate", "--certificate", str(file))
    done = ran(asking(gateway, directory, "socks5+tls", "127.0.0.1", 1, *options))
    assert done.returncode == 1
    assert b"has not asked for a certificate" in done.stderr


KEYRING = """
from keyring.backend import KeyringBackend


class Fixed(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        asked = (service, username)
        return {password!r} if asked == ("socksgw:127.0.0.1", "alice") else None

    def set_password(self, service, username, password): ...

    def delete_password(self, service, username): ...
"""


def test_keyring(
    gateway: Running,
    destination: Callable[..., Destination],
    tmp_path: Path,
) -> None:
    """The password of the gateway's own name is taken from the keyring."""
    package("keyring")
    (tmp_path / "fixedkeyring.py").write_text(KEYRING.format(password=PASSWORD))
    surroundings = environment(PYTHON_KEYRING_BACKEND="fixedkeyring.Fixed")
    surroundings["PYTHONPATH"] += f":{tmp_path}"
    server = destination(lambda connection: connection.sendall(untilEnd(connection)))
    url = f"socks5://127.0.0.1:{gateway.ports[LOGIN]}"
    command = [*COMMAND, "127.0.0.1", str(server.port), "--proxy", url, "--keyring"]
    for user, status in ((USER, 0), ("bob", 2)):
        done = subprocess.run(
            [*command, "--user", user], env=surroundings, input=b"hello",
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert done.stdout == (b"" if status else b"hello")
        assert (b"keyring set socksgw:127.0.0.1 bob" in done.stderr) == (status == 2)
