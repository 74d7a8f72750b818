"""
Real servers on loopback for the clients to reach through the gateway, and
what they need: certificates, programs, a DNS server.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.tools.waiting import until

#: Seconds after which a server's or a client's socket gives up.
PATIENCE = 30.0
#: Ports that the kernel gives to nobody who has not asked for them: they are below
#: net.ipv4.ip_local_port_range.
_PORTS = range(15000, 32000)
#: Seconds in which a client may say nothing: a busy machine installs a package meanwhile.
_REST = 240.0


def missing(what: str) -> NoReturn:
    """Skip the test, or in CI fail it: something from outside is not there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


def program(name: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, in CI it fails."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} (Debian's package {package})")
    assert found is not None
    return found


def package(name: str) -> None:
    """Require a Python package; without it the test is skipped, in CI it fails."""
    if importlib.util.find_spec(name) is None:
        missing(f"the Python package {name}")


#: What ports are free for, if nothing is said.
_BOTH = (socket.SOCK_DGRAM, socket.SOCK_STREAM)


def freePort(host: str = "127.0.0.1", kind: int | None = None) -> int:
    """
    Return a port that is free; what is opened anywhere gets no such port meanwhile.

    @param kind: of sockets; L{None} for UDP and TCP.
    """
    return _row(host, 1, _BOTH if kind is None else (kind,))


def freePorts(count: int) -> int:
    """Return the first of some ports in a row that are free, for UDP and TCP."""
    return _row("127.0.0.1", count, _BOTH)


def _row(host: str, count: int, kinds: Sequence[int]) -> int:
    for first in random.sample(_PORTS, 1000):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                for kind in kinds:
                    probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
                    probe.bind((host, port))
            return first
    raise AssertionError(f"no ports are free at {host}")


def _taken(port: int) -> bool:
    """Whether a UDP port, or a listening TCP port, of 127/8 is in use."""
    for table, state in (("udp", "07"), ("tcp", "0A")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == state:
                return True
    return False


class Daemon:
    """
    A server program that stays in the foreground. Use it as a context: it
    serves from the beginning to the end, and with it go the processes that
    it started.

    @ivar port: where it serves.
    """

    def __init__(
        self, command: list[str], port: int, log: Path, environment: dict[str, str]
    ) -> None:
        self.port = port
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Daemon:
        try:
            until(lambda: self._process.poll() is not None or _taken(self.port), 30)
            assert self._process.poll() is None, self.log
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


class Socksify:
    """
    Runs programs under Dante's C{socksify}: their connections, datagrams and
    listeners go through a SOCKS server, and they do not know.
    """

    def __init__(
        self,
        directory: Path,
        environment: dict[str, str],
        port: int,
        protocol: str = "socks_v5",
        login: tuple[str, str] | None = None,
        gssapi: str = "",
    ) -> None:
        """
        @param port: the SOCKS server's, on 127.0.0.1.
        @param protocol: or C{socks_v4}.
        @param login: user and password.
        @param gssapi: the protection level, in Dante's words; who logs in with
            it has tickets in C{environment}.
        """
        self.directory = directory
        log = directory / "socksify.log"
        configuration = directory / "socks.conf"
        # Names, and addresses that are text, are left to the server ("fake").
        said = f"logoutput: {log}\nresolveprotocol: fake\n"
        for to in (".", "0.0.0.0/0"):
            # The name of the host is in the service's.
            server = "localhost" if gssapi else "127.0.0.1"
            said += f"route {{\n from: 0.0.0.0/0 to: {to} via: {server} port = {port}"
            said += f"\n proxyprotocol: {protocol}"
            if gssapi:
                said += f"\n method: gssapi\n gssapi.enctype: {gssapi}\n}}\n"
            else:
                said += f"\n method: {'none' if login is None else 'username'}\n}}\n"
        configuration.write_text(said)
        self.environment = {
            **environment,
            "SOCKS_CONF": str(configuration),
            # Else it goes to what is on this machine's networks directly.
            "SOCKS_AUTOADD_LANROUTES": "no",
        }
        if login is not None:
            user, password = login
            self.environment |= {"SOCKS_USERNAME": user, "SOCKS_PASSWORD": password}

    def __call__(
        self, *command: str, stdin: str = "", prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """
        Run C{command} to its end.

        @param prefix: a command that runs C{socksify}.
        """
        return subprocess.run(
            [*prefix, program("socksify", "dante-client"), *command],
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


class Certificate:
    """
    A self-signed certificate for this machine's names and addresses.

    @ivar file: PEM, for servers and as the authority of clients.
    @ivar key: its private key.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / "cert.pem"
        self.key = directory / "key.pem"
        command = [program("openssl", "openssl"), "req", "-x509", "-nodes"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"]
        command += ["-keyout", str(self.key), "-out", str(self.file)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def server(self) -> ssl.SSLContext:
        """For a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """For a client that trusts it, and nothing else."""
        return ssl.create_default_context(cafile=str(self.file))


class Full:
    """
    A destination that does not take connections: its backlog is full, so the
    kernel leaves the SYN unanswered. Use it as a context.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listening.getsockname()[1]
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Full:
        for _ in range(64):
            filler = socket.socket()
            filler.setblocking(False)
            self._waiting.append(filler)
            filler.connect_ex(("127.0.0.1", self.port))
            if not select.select([], [filler], [], 0.2)[1]:
                return self
        missing("a kernel that lets a backlog be full")

    def drain(self) -> None:
        """Take what waits, and everybody who comes."""
        self._listening.settimeout(0.2)
        self._listening.listen(64)
        for _ in range(len(self._waiting)):
            try:
                self._waiting.append(self._listening.accept()[0])
            except TimeoutError:
                return

    def __exit__(self, *_: object) -> None:
        for each in (*self._waiting, self._listening):
            each.close()


class Destination:
    """
    A TCP server; C{serve} has each connection in a thread of its own. Use it
    as a context.

    @ivar port: where it listens.
    @ivar peers: who connected: addresses and ports.
    """

    def __init__(
        self, serve: Callable[[socket.socket], None], host: str = "127.0.0.1"
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._serve = serve
        self._listening = socket.create_server((host, 0), family=family, backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.peers: list[tuple[str, int]] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listening.accept()
            except OSError:
                return
            self.peers.append(peer[:2])
            thread = threading.Thread(
                target=self._have, args=(connection,), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _have(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_REST)
            self._serve(connection)

    def __enter__(self) -> Destination:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a server's thread does not end"


def echo(connection: socket.socket) -> None:
    """
    Send everything back, until the peer has ended or reset: the gateway resets the
    destinations of sessions that it cuts off.
    """
    with suppress(ConnectionResetError):
        while octets := connection.recv(1 << 16):
            connection.sendall(octets)


def untilEnd(connection: socket.socket) -> bytes:
    """Everything until the peer ends its side."""
    parts = []
    while octets := connection.recv(1 << 18):
        parts.append(octets)
    return b"".join(parts)


class Recorder:
    """
    Keeps every octet that came, and answers C{answer} after as many as
    C{expected}, or after the peer's end when that is 0.

    @ivar received: the octets of each connection.
    """

    def __init__(self, answer: bytes = b"", expected: int = 0) -> None:
        self._answer = answer
        self._expected = expected
        self.received: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        octets = b""
        while not self._expected or len(octets) < self._expected:
            came = connection.recv(1 << 16)
            if not came:
                break
            octets += came
        connection.sendall(self._answer)
        if self._expected:
            # Whatever comes in excess shows a doubled delivery.
            connection.shutdown(socket.SHUT_WR)
            octets += untilEnd(connection)
        self.received.append(octets)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        """C{/hello}, or a page, which says what it is for."""
        self.server.seen.append((self.path, self.client_address[:2]))
        self._answer(
            b"<!DOCTYPE html><title>t</title><p id=a>served: %s</p>"
            b"<script>document.body.append('and ' + 'run')</script>"
            % self.path.encode()
        )

    def do_POST(self) -> None:
        """Return the digest of what was sent."""
        self.server.seen.append((self.path, self.client_address[:2]))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(hashlib.sha256(body).hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


class Web(ThreadingHTTPServer):
    """
    An HTTP server, or an HTTPS one with C{tls}. Use it as a context.

    @ivar port: where it listens.
    @ivar seen: the paths asked for, each with the peer.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, tls: ssl.SSLContext | None = None) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)
        self._tls = tls
        self.port: int = self.server_address[1]
        self.seen: list[tuple[str, tuple[str, int]]] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def server_bind(self) -> None:
        """Without a look-up of our own name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the request's own thread: TLS first, where it is spoken."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)
            try:
                # An orderly end, with what the client still had to say.
                secured.unwrap()
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(PATIENCE)
        self.server_close()


class Sink:
    """
    Reads to the end in a thread of its own, or as many octets as are
    expected.

    @ivar octets: how many came.
    """

    def __init__(self, connection: socket.socket, expected: int = 1 << 62) -> None:
        self._connection = connection
        self._expected = expected
        self._hash = hashlib.sha256()
        self.octets = 0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while self.octets < self._expected:
            octets = self._connection.recv(1 << 18)
            if not octets:
                return
            self._hash.update(octets)
            self.octets += len(octets)

    @property
    def digest(self) -> str:
        """The hash of everything, when the end has come."""
        self._thread.join(PATIENCE * 2)
        assert not self._thread.is_alive(), f"no end after {self.octets} octets"
        return self._hash.hexdigest()


def sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()
