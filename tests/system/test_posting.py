"""
POST by HTTP.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import formatdate
from pathlib import Path
from threading import Thread
from time import time

import pytest

from socksgw.system.blockingtls import clientContext
from socksgw.system.posting import NotPosted, Poster, _after, placeOf
from tests.tools.certificates import Authority, pemOf, server


def test_places() -> None:
    """What a URL is made of."""
    assert placeOf("https://logs.example/in?a=b") == (
        True, "logs.example", 443, "/in?a=b",
    )  # fmt: skip
    assert placeOf("http://[::1]:81") == (False, "::1", 81, "/")


def test_addressesWithColons() -> None:
    """The end of an address is not its port."""
    connection = Poster(placeOf("http://[2001:db8::7]/"), {}, None, False)._connection
    assert (connection.host, connection.port) == ("2001:db8::7", 80)


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://h/", "http://h:x/", "http://h/a b", "http://u@h", "http://h#f"],
)
def test_noPlaces(url: str) -> None:
    """What is none is refused."""
    with pytest.raises(ValueError, match=r"^(must be|may have no)"):
        placeOf(url)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("100000", 300.0), ("soon", 0.0), ("", 0.0), (None, 0.0)],
)
def test_retryAfter(text: str | None, seconds: float) -> None:
    """Seconds that a server asks for, within bounds."""
    assert _after(text) == seconds


def test_retryAfterDates() -> None:
    """Or a date."""
    assert 50 < _after(formatdate(time() + 60, usegmt=True)) <= 60
    assert _after(formatdate(0, usegmt=True)) == 0


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """A server with a certificate for localhost; its port, and its authority."""
    authority = Authority()
    file = server(authority).writeTogether(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                with (
                    suppress(OSError),
                    context.wrap_socket(client, server_side=True) as c,
                ):
                    # A body of one octet: what is not read resets the connection.
                    octets = b""
                    while not octets.endswith(b"\r\n\r\nx"):
                        octets += c.recv(65536)
                    c.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = Thread(target=run)
    thread.start()
    with closing(listening):
        yield listening.getsockname()[1], pemOf(authority.certificate)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_names(secure: tuple[int, bytes]) -> None:
    """Over TLS the name of the server is verified."""
    port, ca = secure
    context = clientContext(ca, b"", b"")
    for host, taken in (("localhost", True), ("127.0.0.1", False)):
        poster = Poster(placeOf(f"https://{host}:{port}/"), {}, context, False)
        with closing(poster):
            if taken:
                assert poster.post(b"x").status == 204
            else:
                with pytest.raises(NotPosted, match="certificate is not accepted"):
                    poster.post(b"x")


def test_noHTTP() -> None:
    """An answer that is no HTTP is told."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(65536)
                client.sendall(b"220 mail.example ESMTP\r\n")

        thread = Thread(target=run)
        thread.start()
        port = listening.getsockname()[1]
        poster = Poster(placeOf(f"http://127.0.0.1:{port}/"), {}, None, False)
        with closing(poster), pytest.raises(NotPosted, match="no HTTP"):
            poster.post(b"x")
        thread.join()
