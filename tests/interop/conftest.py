"""
What the interoperability tests share: one gateway, a certificate, servers.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.live.running import Running, running, socksgw
from tests.live.servers import Certificate, Destination, Web

#: The user that may log in.
USER, PASSWORD = "alice", "correct-horse"

#: Listeners in this order: open, login; six, where there is IPv6.
SHARED = """
[[listen]]
name = "open"
address = ["127.0.0.1:0"]
[[listen]]
name = "login"
address = ["127.0.0.1:0"]
%s
[auth]
checkers = ["passwd:users"]
throttle = { per_user = 0, per_source = 0 }   # these tests fail often
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
listener = ["open"%s]
[[rule]]
id = "login"
allow = ["connect"]
who = ["alice"]
listener = ["login"]
[never]
except = ["127.0.0.0/8", "::1"]
"""
SIX = '[[listen]]\nname = "six"\naddress = ["[::1]:0"]'


def _hasSix() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


HAS_SIX = _hasSix()

#: For what cannot be done without IPv6 on loopback.
needsSix = pytest.mark.skipif(not HAS_SIX, reason="this machine has no ::1")


class Shared:
    """
    The gateway that most tests use, and its ports.

    @ivar gateway: it.
    @ivar open: serves without login.
    @ivar login: wants user and password.
    @ivar six: serves without login, on C{::1}; 0 where there is none.
    """

    def __init__(self, gateway: Running) -> None:
        self.gateway = gateway
        self.open, self.login, self.six = (*gateway.ports, 0)[:3]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """
    One gateway for all; stopped at the end, when it must have been well.
    """
    directory = tmp_path_factory.mktemp("shared")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    six = (SIX, ', "six"') if HAS_SIX else ("", "")
    for gateway in running(directory, SHARED % six):
        yield Shared(gateway)


@pytest.fixture(scope="session")
def web(certificate: Certificate) -> Iterator[Callable[..., Web]]:
    """
    C{web(host, secure)}: the HTTP or HTTPS server on that address.
    """
    servers: dict[tuple[str, bool], Web] = {}
    with ExitStack() as stack:

        def at(host: str = "127.0.0.1", secure: bool = False) -> Web:
            if (host, secure) not in servers:
                tls = certificate.server() if secure else None
                servers[host, secure] = stack.enter_context(Web(host, tls))
            return servers[host, secure]

        yield at


@pytest.fixture
def destination() -> Iterator[Callable[..., Destination]]:
    """
    C{destination(serve, host)}: a server of one's own, for one test.
    """
    with ExitStack() as stack:

        def start(*arguments: Any) -> Destination:
            return stack.enter_context(Destination(*arguments))

        yield start


@pytest.fixture
def quiet(tmp_path: Path) -> dict[str, str]:
    """
    An environment in which no client finds settings of its own.
    """
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }
