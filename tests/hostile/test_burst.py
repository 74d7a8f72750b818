"""
A burst of right logins: everybody comes back at once.
"""

from __future__ import annotations

import base64
import hashlib
import selectors
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from tests.live.clients import descriptorsFor
from tests.live.running import Running
from tests.tools.waiting import until

#: How many log in, from how many sources.
CLIENTS, SOURCES = 1000, 4
PASSWORD = b"correct-horse"

CONFIGURATION = """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:{users}"]
[[auth.choose]]
methods = ["userpass"]
[timeouts]
handshake = "60s"
"""


def _users() -> str:
    """A file of users, all with one hash: some 3 ms for each check."""
    salt = bytes(16)
    derived = hashlib.scrypt(PASSWORD, salt=salt, n=1 << 10, r=8, p=1, dklen=32)
    parts = (base64.b64encode(each).decode().rstrip("=") for each in (salt, derived))
    known = "$scrypt$ln=10,r=8,p=1$" + "$".join(parts)
    return "".join(f"user{number}:{known}\n" for number in range(CLIENTS + 1))


def _begun(gateway: Running, number: int) -> socket.socket:
    """A client that connects, and sends its greeting and its login (RFC 1929)."""
    client = socket.socket()
    client.bind((f"127.0.0.{10 + number % SOURCES}", 0))
    client.connect(("127.0.0.1", gateway.port))
    name = b"user%d" % number
    login = b"\x01" + b"".join(bytes((len(f),)) + f for f in (name, PASSWORD))
    client.sendall(b"\x05\x01\x02" + login)
    client.setblocking(False)
    return client


def test_everybodyIsLetIn(gateway: Callable[..., Running], tmp_path: Path) -> None:
    """
    A thousand users from four sources, all at once: each waits for its turn, nobody
    is refused, and one of another source that comes last does not come last.
    """
    with ExitStack() as stack:
        stack.enter_context(descriptorsFor(2 * CLIENTS + 500))
        users = tmp_path / "users"
        users.touch(0o600)
        users.write_text(_users())
        started = gateway(CONFIGURATION.format(users=users))
        selector = stack.enter_context(selectors.DefaultSelector())
        answers: dict[int, bytes] = {}
        for number in range(CLIENTS):
            client = stack.enter_context(closing(_begun(started, number)))
            selector.register(client, selectors.EVENT_READ, number)
        late = stack.enter_context(closing(_begun(started, CLIENTS)))
        late.settimeout(60)
        greeted = b""
        while len(greeted) < 4:
            greeted += late.recv(4 - len(greeted))

        def answered() -> bool:
            for key, _ in selector.select(0.05):
                came = key.fileobj.recv(16)  # type: ignore[union-attr]
                so = answers[key.data] = answers.get(key.data, b"") + came
                if len(so) >= 4 or not came:
                    selector.unregister(key.fileobj)
            return sum(len(each) >= 4 for each in answers.values()) == CLIENTS

        until(answered, 60, lambda: None)
        assert set(answers.values()) == {b"\x05\x02\x01\x00"}
        assert greeted == b"\x05\x02\x01\x00"
        assert started.journal("login-failed") == []
