"""
Dialogues with HTTP proxies, each of which the test plays.
"""

from __future__ import annotations

from typing import Any

import pytest

from socksgw.client import errors
from socksgw.client.errors import (
    LoginRefused,
    LoginWanted,
    ProtocolBroken,
    ProxyClosed,
    ProxyRefused,
)
from socksgw.client.http import HTTPProxy
from socksgw.client.logins.login import HTTPAttempt, Login
from socksgw.client.logins.password import PasswordLogin
from socksgw.client.proxy import Accepted, Again
from tests.fakes.links import MemoryLink, begun, failed, result

ASKED = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
GRANTED = b"HTTP/1.1 200 OK\r\n\r\n"
BASIC = b"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
LOGIN = PasswordLogin("Aladdin", "open sesame")
CHALLENGE = b'Proxy-Authenticate: Basic realm="x"\r\n'
WANTED = b"HTTP/1.1 407 Login\r\n" + CHALLENGE + b"Content-Length: 5\r\n\r\nlogin"


def asking(proxy: Any) -> tuple[MemoryLink, Any]:
    """A dialogue that has made its request."""
    link = MemoryLink()
    running = begun(proxy.connect(link, "example.com", 443))
    return link, running


def test_granted() -> None:
    """The link is left where the tunnel begins; nothing was sent but the request."""
    link, running = asking(HTTPProxy(LOGIN))
    assert link.taken() == ASKED + b"\r\n"
    link.came(b"HTTP/1.1 100 Continue\r\n\r\n" + GRANTED + b"220 ready")
    assert result(running) == Accepted()
    assert link.surplus == b"220 ready"
    assert link.paused
    assert link.taken() == b""


@pytest.mark.parametrize("count", range(len(GRANTED)))
def test_closedAtEachOctet(count: int) -> None:
    """Without the whole head nothing is granted."""
    link, running = asking(HTTPProxy())
    link.came(GRANTED[:count])
    assert not running.called
    link.close()
    assert isinstance(failed(running), ProxyClosed)


def test_loginOnTheSameConnection() -> None:
    """One answer to 407, where the connection is kept (RFC 9110 section 11.7.1)."""
    link, running = asking(HTTPProxy(LOGIN))
    link.taken()
    for octet in WANTED:
        assert link.taken() == b""
        link.came(bytes((octet,)))
    assert link.taken() == ASKED + BASIC + b"\r\n"
    link.came(GRANTED)
    assert result(running) == Accepted()


@pytest.mark.parametrize(
    "wanted",
    [
        b"HTTP/1.1 407 Login\r\nConnection: close\r\n" + CHALLENGE + b"\r\n",
        b"HTTP/1.0 407 Login\r\n" + CHALLENGE + b"\r\n",
        # tinyproxy's words.
        b"HTTP/1.0 401 Login\r\n" + CHALLENGE + b"\r\n",
        b"HTTP/1.1 407 Login\r\n"
        + CHALLENGE
        + b"Content-Length: 100000\r\n\r\n"
        + bytes(70_000),
    ],
    ids=["close", "HTTP/1.0", "401", "long"],
)
def test_loginOnAnother(wanted: bytes) -> None:
    """Else the answer goes on a new connection, and nowhere twice."""
    link, running = asking(HTTPProxy(LOGIN))
    assert link.taken() == ASKED + b"\r\n"
    link.came(wanted)
    again = failed(running)
    assert isinstance(again, Again)
    assert link.taken() == b""
    link, running = asking(again.proxy)
    assert link.taken() == ASKED + BASIC + b"\r\n"
    link.came(GRANTED)
    assert result(running) == Accepted()


def test_closedInsteadOfKept() -> None:
    """A proxy that closes although it said otherwise is asked again."""
    link, running = asking(HTTPProxy(LOGIN))
    link.came(WANTED[:-1])
    link.close()
    assert isinstance(failed(running), Again)


@pytest.mark.parametrize("status", [b"407", b"401"])
def test_wrongPassword(status: bytes) -> None:
    """A second challenge is the proxy's no (tinyproxy says it by 401)."""
    link, running = asking(HTTPProxy(LOGIN))
    link.came(WANTED)
    link.taken()
    link.came(WANTED.replace(b"407", status))
    failure = failed(running)
    assert isinstance(failure, LoginRefused)
    assert "sesame" not in str(failure)
    assert link.taken() == b""


@pytest.mark.parametrize(
    ("logins", "challenge"),
    [
        ((), CHALLENGE),
        ((LOGIN,), b"Proxy-Authenticate: Negotiate\r\n"),
        ((LOGIN,), b'Proxy-Authenticate: Digest realm="Basic realm=x"\r\n'),
        ((LOGIN,), b""),
    ],
)
def test_anotherLogin(logins: tuple[Login, ...], challenge: bytes) -> None:
    """No credentials go to a proxy that asks for others."""
    link, running = asking(HTTPProxy(*logins))
    link.taken()
    link.came(b"HTTP/1.1 407 Login\r\n" + challenge + b"Content-Length: 0\r\n\r\n")
    assert isinstance(failed(running), LoginWanted)
    assert link.taken() == b""


class Rounds(Login):
    """A login of so many rounds."""

    scheme = "rounds"
    called = "rounds"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def http(self) -> HTTPAttempt:
        login = self

        class Attempt(HTTPAttempt):
            async def answer(self, challenge: str) -> str:
                login.heard.append(challenge)
                return f"Rounds {len(login.heard)}"

            def concluded(self, challenge: str) -> None:
                login.heard.append(challenge)

        return Attempt()


def test_rounds() -> None:
    """A login may take several rounds, and hears how it ended."""
    login = Rounds()
    link, running = asking(HTTPProxy(login))
    for number in (1, 2):
        link.taken()
        link.came(
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Rounds %d\r\n"
            b"Content-Length: 0\r\n\r\n" % number
        )
        assert b"Proxy-Authorization: Rounds %d\r\n" % number in link.taken()
    link.came(b"HTTP/1.1 200 OK\r\nProxy-Authenticate: Rounds 3\r\n\r\n")
    assert result(running) == Accepted()
    assert login.heard == ["1", "2", "3"]


def test_endlessRounds() -> None:
    """A proxy that asks again and again is left."""
    link, running = asking(HTTPProxy(Rounds()))
    for _ in range(20):
        if running.called:
            break
        link.came(
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Rounds x\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
    assert isinstance(failed(running), LoginRefused)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        # squid 5.7: a port that it does not allow, no name, a destination that refuses.
        ("403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0", errors.NotAllowed),
        (
            "500 Internal Server Error\r\nX-Squid-Error: ERR_CANNOT_FORWARD 0",
            errors.GeneralFailure,
        ),
        (
            "503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111",
            errors.ConnectionRefused,
        ),
        (
            "503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 101",
            errors.NetworkUnreachable,
        ),
        # tinyproxy 1.11, privoxy 3.0.34.
        ("500 Unable to connect", errors.GeneralFailure),
        ("404 No such domain", errors.HostUnreachable),
        # socksgw.
        ("403 Forbidden", errors.NotAllowed),
        (
            "502 Bad Gateway\r\nProxy-Status: socksgw; error=connection_refused",
            errors.ConnectionRefused,
        ),
        ("504 Gateway Timeout", errors.HostUnreachable),
        ("405 Method Not Allowed", errors.CommandNotSupported),
        # Tor's SOCKS port.
        ("501 Tor is not an HTTP Proxy", errors.CommandNotSupported),
        ("302 Found\r\nLocation: https://portal/", errors.GeneralFailure),
        ("599 Odd", errors.GeneralFailure),
    ],
)
def test_refused(head: str, kind: type[ProxyRefused]) -> None:
    """A refusal has the class of the reply that says the same, and the proxy's words."""
    link, running = asking(HTTPProxy())
    link.came(f"HTTP/1.1 {head}\r\n\r\n".encode())
    failure = failed(running)
    assert type(failure) is kind
    assert isinstance(failure, ProxyRefused)
    assert failure.code == int(head[:3])
    assert failure.told.startswith(head.partition("\r\n")[0])


@pytest.mark.parametrize(
    "octets", [b"\x05\x00\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/3 200 OK\r\n\r\n"]
)
def test_broken(octets: bytes) -> None:
    """What is no answer of HTTP/1 ends the dialogue."""
    link, running = asking(HTTPProxy())
    link.came(octets)
    assert isinstance(failed(running), ProtocolBroken)


def test_answeredAhead() -> None:
    """An answer to a request that was not made yet is none."""
    link, running = asking(HTTPProxy(LOGIN))
    link.taken()
    link.came(WANTED + GRANTED)
    assert isinstance(failed(running), ProtocolBroken)
    assert link.taken() == b""


def test_noLoginOfHTTP() -> None:
    """A login that HTTP does not have is refused before anything is sent."""
    with pytest.raises(ValueError, match="HTTP"):
        HTTPProxy(Login())
