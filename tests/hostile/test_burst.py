"""
A burst of right logins: everybody comes back at once.
"""

from __future__ import annotations

import base64
import hashlib
import os
import selectors
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.live.clients import descriptorsFor, opened
from tests.live.raw import GREETING_LOGIN, exactly, login, login6, request5, request6
from tests.live.running import LOOPBACK, Running, withPlugins
from tests.tools.waiting import until

#: How many log in, from how many sources.
CLIENTS, SOURCES = 1000, 4
PASSWORD = b"correct-horse"

#: From where one comes last, whom nobody else of the crowd is like.
LATE = "127.0.0.20"

CONFIGURATION = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks6", "http"]
[auth]
checkers = ["{checker}"]
{throttle}
[[auth.choose]]
methods = ["userpass"]
[timeouts]
handshake = "{handshake}"
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)
#: A port where nobody listens: what is allowed ends at once.
NOBODY = 1
#: The choice of the method, and the status of a right login (RFC 1929 section 2).
CHOSEN, LET_IN = b"\x05\x02", b"\x01\x00"
#: That, and a reply that tells of a destination where nobody listens (RFC 1928 section 6).
REFUSED = CHOSEN + LET_IN + b"\x05\x05"


def _users() -> str:
    """A file of users, all with one hash: some 3 ms for each check."""
    salt = bytes(16)
    derived = hashlib.scrypt(PASSWORD, salt=salt, n=1 << 10, r=8, p=1, dklen=32)
    parts = (base64.b64encode(each).decode().rstrip("=") for each in (salt, derived))
    known = "$scrypt$ln=10,r=8,p=1$" + "$".join(parts)
    return "".join(f"user{number}:{known}\n" for number in range(CLIENTS + 1))


def _connected(gateway: Running, number: int) -> socket.socket:
    """A client that has sent its greeting."""
    source = LATE if number == CLIENTS else f"127.0.0.{10 + number % SOURCES}"
    client = opened(gateway.port, source)
    client.sendall(GREETING_LOGIN)
    client.setblocking(False)
    return client


@contextmanager
def _stopped(gateway: Running) -> Iterator[None]:
    """Meanwhile it does nothing, and what is sent to it waits in its sockets."""
    processes = gateway.processes
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            os.kill(each, signal.SIGCONT)


def test_everybodyIsLetIn(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    A thousand users from four sources, all at once: each waits for its turn, and nobody
    is refused. One of another source, who comes last, is let in long before the last.
    """
    with ExitStack() as stack:
        stack.enter_context(descriptorsFor(2 * CLIENTS + 500))
        users = tmp_path / "users"
        users.touch(0o600)
        users.write_text(_users())
        started = gateway(
            CONFIGURATION.format(
                checker=f"passwd:{users}", throttle="", handshake="60s"
            )
        )
        selector = stack.enter_context(selectors.DefaultSelector())
        clients = []
        for number in range(CLIENTS + 1):
            client = stack.enter_context(closing(_connected(started, number)))
            selector.register(client, selectors.EVENT_READ, number)
            clients.append(client)
        answers = dict.fromkeys(range(CLIENTS + 1), b"")

        def heard(octets: int) -> None:
            """Wait until each has that many."""

            def all_() -> bool:
                for key, _ in selector.select(0.05):
                    came = key.fileobj.recv(64)  # type: ignore[union-attr]
                    answers[key.data] += came
                    if not came:
                        selector.unregister(key.fileobj)
                return all(
                    len(each) >= octets or clients[number] not in selector.get_map()
                    for number, each in answers.items()
                )

            until(all_, 120, lambda: None)

        heard(len(CHOSEN))
        assert set(answers.values()) == {CHOSEN}
        with _stopped(started):
            # It finds them all at once, in this order.
            for number, client in enumerate(clients):
                said = login(b"user%d" % number, PASSWORD)
                client.sendall(said + request5("127.0.0.1", NOBODY))
        heard(len(REFUSED) + 8)
        assert {each[: len(REFUSED)] for each in answers.values()} == {REFUSED}
        assert started.journal("login-failed") == []
        # Of whoever is let in the request is decided at once.
        order = [each["user"] for each in started.journal("decision")]
        assert len(order) == CLIENTS + 1
        waiting = CLIENTS - order.index(f"user{CLIENTS}")
        assert waiting >= CLIENTS // 10


#: A store of another project, whose threads and queue are those of the file of users. It
#: says no word about those who are called C{slow…} until there is a file.
SLOW = """
import time
from pathlib import Path

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet import reactor
from twisted.plugin import IPlugin
from zope.interface import implementer

from socksgw.login.checkers import HashingPool

PASSWORD = b"correct-horse"


class Hash:
    cost = ()

    def __init__(self, gate):
        self._gate = gate

    def verify(self, password):
        while self._gate is not None and not self._gate.exists():
            time.sleep(0.01)
        return password == PASSWORD


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, gate):
        self._gate = gate
        self._pool = HashingPool(reactor)

    def requestAvatarId(self, credentials):
        name = credentials.username
        known = Hash(self._gate if name.startswith(b"slow") else None)

        def verified(right):
            if not right:
                raise UnauthorizedLogin
            return name

        checked = self._pool.verify(credentials.password, known)
        return checked.addCallback(verified)


@implementer(ICheckerFactory, IPlugin)
class Factory:
    authType = "gated"
    authHelp = argStringFormat = "The file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, text):
        return Checker(Path(text))


gated = Factory()
"""
#: What counts as a failure ends all logins of that user, and of that source.
STRICT = "throttle = { per_user = 1, per_source = 1 }"
#: Who waits for the store, of one source; more than it asks about when they have gone.
WAITING = 40


def _asking(number: int) -> bytes:
    """A login with a request: by SOCKS 5, SOCKS 6 and HTTP in turn."""
    name = f"slow{number}"
    if number % 3 == 0:
        return GREETING_LOGIN + login(name.encode(), PASSWORD)
    if number % 3 == 1:
        options = login6(name, PASSWORD.decode())
        return request6("127.0.0.1", NOBODY, options=options)
    basic = base64.b64encode(f"{name}:{PASSWORD.decode()}".encode()).decode()
    return (
        f"CONNECT 127.0.0.1:{NOBODY} HTTP/1.1\r\nHost: 127.0.0.1:{NOBODY}\r\n"
        f"Proxy-Authorization: Basic {basic}\r\n\r\n"
    ).encode()


def _end(client: socket.socket) -> tuple[bytes, str]:
    """Everything that a client hears, and how that ends."""
    heard = b""
    try:
        while octets := client.recv(4096):
            heard += octets
    except ConnectionResetError:
        return heard, "reset"
    return heard, "closed"


def _loggedIn(gateway: Running, name: bytes) -> bytes:
    """What one hears who logs in from the crowd's source, up to the reply's code."""
    with closing(opened(gateway.port, "127.0.0.10", 120)) as client:
        said = GREETING_LOGIN + login(name, PASSWORD)
        client.sendall(said + request5("127.0.0.1", NOBODY))
        return exactly(client, len(REFUSED) + 8)[: len(REFUSED)]


def test_theStoreIsSlower(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    Right logins wait for the store as long as the handshake may take, and no longer.
    They end for that reason, which is no failed login: the same are let in right after.
    """
    gate = tmp_path / "gate"
    started = gateway(
        CONFIGURATION.format(checker=f"gated:{gate}", throttle=STRICT, handshake="8s"),
        extra=withPlugins(tmp_path, "twisted.plugins", gated_cred=SLOW),
    )
    assert _loggedIn(started, b"quick") == REFUSED
    with ExitStack() as stack:
        clients = []
        for number in range(WAITING):
            client = stack.enter_context(closing(opened(started.port, "127.0.0.10")))
            client.settimeout(120)
            client.sendall(_asking(number))
            clients.append(client)
        ends = [_end(client) for client in clients]
    for number, (heard, end) in enumerate(ends):
        if number % 3 == 2:
            # RFC 9110 section 15.5.9.
            assert heard.startswith(b"HTTP/1.1 408 ")
        else:
            # No status of a login, which has no word for what came too late.
            assert (heard, end) == ((CHOSEN, b"")[number % 3], "reset")

    def reasons() -> Counter[str]:
        lines = started.journal("refused") + started.journal("login-failed")
        return started.summed + Counter(each["reason"] for each in lines)

    until(lambda: reasons().total() >= WAITING, seen=reasons)
    assert reasons() == {"handshake-timeout": WAITING}
    assert started.journal("login-failed") == []
    gate.touch()
    for number in range(WAITING):
        assert _loggedIn(started, b"slow%d" % number) == REFUSED
