"""
Python's SOCKS libraries: python-socks, and requests with PySocks below it.
"""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable

import pytest
import requests
from python_socks import ProxyError, ProxyType
from python_socks.sync import Proxy

from tests.interop.shared import PASSWORD, USER, Shared, needsSix
from tests.live import raw
from tests.live.servers import (
    PATIENCE,
    Certificate,
    Destination,
    Web,
    echo,
    untilEnd,
)

PAYLOAD = random.Random(5).randbytes(1 << 20)


def _exchange(connection: socket.socket) -> None:
    """Send and get back; then the end, both ways."""
    connection.sendall(PAYLOAD[:65536])
    assert raw.exactly(connection, 65536) == PAYLOAD[:65536]
    connection.shutdown(socket.SHUT_WR)
    assert untilEnd(connection) == b""


def _proxy(
    kind: ProxyType,
    port: int,
    rdns: bool,
    user: str | None = None,
    password: str | None = None,
    host: str = "127.0.0.1",
) -> Proxy:
    """A gateway, as python-socks knows it."""
    return Proxy(kind, host, port, username=user, password=password, rdns=rdns)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("rdns", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize("kind", [ProxyType.SOCKS4, ProxyType.SOCKS5])
def test_pythonSocks(
    shared: Shared,
    destination: Callable[..., Destination],
    kind: ProxyType,
    rdns: bool,
    host: str,
) -> None:
    """
    SOCKS 4, 4a (with look-up by the gateway) and 5; a name comes to the
    gateway when, and only when, it is to look it up.
    """
    server = destination(echo)
    proxy = _proxy(kind, shared.open, rdns, "someone")
    with proxy.connect(host, server.port, timeout=PATIENCE) as client:
        _exchange(client)
    line = raw.decision(shared.gateway, server.port)
    named = rdns and host == "localhost"
    assert line["name"] == ("localhost" if named else None)
    version = kind.name.lower()
    assert line["protocol"] == version + ("a" if named and version == "socks4" else "")
    ended = raw.end(shared.gateway, server.port)
    assert (ended["sent"], ended["received"]) == (65536, 65536)


@pytest.mark.parametrize("rdns", [False, True], ids=["local", "remote"])
def test_pythonSocksLogin(
    shared: Shared, destination: Callable[..., Destination], rdns: bool
) -> None:
    """User and password."""
    server = destination(echo)
    proxy = _proxy(ProxyType.SOCKS5, shared.login, rdns, USER, PASSWORD)
    with proxy.connect("127.0.0.1", server.port, timeout=PATIENCE) as client:
        _exchange(client)
    line = raw.decision(shared.gateway, server.port)
    assert (line["user"], line["method"]) == (USER, "userpass")


@pytest.mark.parametrize(
    ("kind", "user", "password", "error"),
    [
        (ProxyType.SOCKS5, USER, "wrong", "authentication failure"),
        (ProxyType.SOCKS5, "mallory", PASSWORD, "authentication failure"),
        (ProxyType.SOCKS5, None, None, "No acceptable authentication methods"),
        (ProxyType.SOCKS4, USER, None, "rejected or failed"),
    ],
)
def test_pythonSocksWrongLogin(
    shared: Shared,
    destination: Callable[..., Destination],
    kind: ProxyType,
    user: str | None,
    password: str | None,
    error: str,
) -> None:
    """A wrong login, or none, is an error of the login to the client."""
    server = destination(echo)
    proxy = _proxy(kind, shared.login, True, user, password)
    with pytest.raises(ProxyError, match=error):
        proxy.connect("127.0.0.1", server.port, timeout=PATIENCE)
    assert server.peers == []


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [("127.0.0.9", 80, 2), ("127.0.0.1", 0, 1), ("127.1", 80, 1)],
)
def test_pythonSocksRefused(shared: Shared, host: str, port: int, code: int) -> None:
    """The client can say why it was refused."""
    proxy = _proxy(ProxyType.SOCKS5, shared.open, True)
    with pytest.raises(ProxyError) as raised:
        proxy.connect(host, port, timeout=PATIENCE)
    assert raised.value.error_code == code


@needsSix
def test_pythonSocksSix(
    shared: Shared, destination: Callable[..., Destination]
) -> None:
    """An IPv6 destination."""
    server = destination(echo, "::1")
    proxy = _proxy(ProxyType.SOCKS5, shared.six, True, host="::1")
    with proxy.connect("::1", server.port, timeout=PATIENCE) as client:
        _exchange(client)
    assert raw.decision(shared.gateway, server.port)["addresses"] == ["::1"]


@pytest.fixture
def session(certificate: Certificate) -> requests.Session:
    """A session without settings from the environment."""
    made = requests.Session()
    made.trust_env = False
    made.verify = str(certificate.file)
    return made


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_requests(
    shared: Shared,
    web: Callable[..., Web],
    session: requests.Session,
    scheme: str,
    secure: bool,
) -> None:
    """Get and post, several requests on one connection."""
    server = web("127.0.0.1", secure)
    proxy = f"{scheme}://127.0.0.1:{shared.open}"
    url = f"{'https' if secure else 'http'}://localhost:{server.port}"
    with session:
        session.proxies = {"http": proxy, "https": proxy}
        assert "served: /requests" in session.get(f"{url}/requests", timeout=30).text
        posted = session.post(f"{url}/digest", data=PAYLOAD, timeout=30)
        assert posted.text == hashlib.sha256(PAYLOAD).hexdigest()
    line = raw.decision(shared.gateway, server.port)
    remote = scheme in ("socks4a", "socks5h")
    assert line["name"] == ("localhost" if remote else None)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_requestsLogin(
    shared: Shared, web: Callable[..., Web], session: requests.Session, secure: bool
) -> None:
    """With the right login it works, with a wrong one it does not."""
    server = web("127.0.0.1", secure)
    url = f"{'https' if secure else 'http'}://localhost:{server.port}/login"
    with session:
        proxy = f"socks5h://{USER}:{PASSWORD}@127.0.0.1:{shared.login}"
        session.proxies = {"http": proxy, "https": proxy}
        assert "served: /login" in session.get(url, timeout=30).text
    with session:
        proxy = f"socks5h://{USER}:wrong@127.0.0.1:{shared.login}"
        session.proxies = {"http": proxy, "https": proxy}
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=30)
