"""
Python's SOCKS libraries: PySocks, and requests on top of it.
"""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable

import pytest
import requests
import socks

from tests.interop import raw
from tests.interop.conftest import PASSWORD, USER, Shared, needsSix
from tests.interop.servers import (
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("rdns", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize("version", ["socks4", "socks5"])
def test_pysocks(
    shared: Shared,
    destination: Callable[..., Destination],
    version: str,
    rdns: bool,
    host: str,
) -> None:
    """
    SOCKS 4, 4a (with look-up by the gateway) and 5; a name comes to the
    gateway when, and only when, it is to look it up.
    """
    server = destination(echo)
    kind = socks.SOCKS4 if version == "socks4" else socks.SOCKS5
    with socks.socksocket() as client:
        client.settimeout(PATIENCE)
        client.set_proxy(kind, "127.0.0.1", shared.open, rdns, "someone")
        client.connect((host, server.port))
        _exchange(client)
    line = raw.decision(shared.gateway, server.port)
    named = rdns and host == "localhost"
    assert line["name"] == ("localhost" if named else None)
    assert line["protocol"] == version + ("a" if named and version == "socks4" else "")
    ended = raw.end(shared.gateway, server.port)
    assert (ended["sent"], ended["received"]) == (65536, 65536)


@pytest.mark.parametrize("rdns", [False, True], ids=["local", "remote"])
def test_pysocksLogin(
    shared: Shared, destination: Callable[..., Destination], rdns: bool
) -> None:
    """User and password."""
    server = destination(echo)
    with socks.socksocket() as client:
        client.settimeout(PATIENCE)
        client.set_proxy(socks.SOCKS5, "127.0.0.1", shared.login, rdns, USER, PASSWORD)
        client.connect(("127.0.0.1", server.port))
        _exchange(client)
    line = raw.decision(shared.gateway, server.port)
    assert (line["user"], line["method"]) == (USER, "userpass")


@pytest.mark.parametrize(
    ("kind", "user", "password", "error"),
    [
        (socks.SOCKS5, USER, "wrong", socks.SOCKS5AuthError),
        (socks.SOCKS5, "mallory", PASSWORD, socks.SOCKS5AuthError),
        (socks.SOCKS5, None, None, socks.SOCKS5AuthError),
        (socks.SOCKS4, USER, None, socks.SOCKS4Error),
    ],
)
def test_pysocksWrongLogin(
    shared: Shared,
    destination: Callable[..., Destination],
    kind: int,
    user: str | None,
    password: str | None,
    error: type[Exception],
) -> None:
    """A wrong login, or none, is an error of the login to the client."""
    server = destination(echo)
    with socks.socksocket() as client:
        client.settimeout(PATIENCE)
        client.set_proxy(kind, "127.0.0.1", shared.login, True, user, password)
        with pytest.raises(socks.ProxyError) as raised:
            client.connect(("127.0.0.1", server.port))
    assert isinstance(raised.value.socket_err, error)
    assert server.peers == []


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [("127.0.0.9", 80, "0x02"), ("127.0.0.1", 0, "0x01"), ("127.1", 80, "0x01")],
)
def test_pysocksRefused(shared: Shared, host: str, port: int, message: str) -> None:
    """The client can say why it was refused."""
    with socks.socksocket() as client:
        client.settimeout(PATIENCE)
        client.set_proxy(socks.SOCKS5, "127.0.0.1", shared.open, True)
        with pytest.raises(socks.ProxyError, match=message) as raised:
            client.connect((host, port))
    assert isinstance(raised.value.socket_err, socks.SOCKS5Error)


@needsSix
def test_pysocksSix(shared: Shared, destination: Callable[..., Destination]) -> None:
    """An IPv6 destination."""
    server = destination(echo, "::1")
    with socks.socksocket(socket.AF_INET6) as client:
        client.settimeout(PATIENCE)
        client.set_proxy(socks.SOCKS5, "::1", shared.six, True)
        client.connect(("::1", server.port))
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
