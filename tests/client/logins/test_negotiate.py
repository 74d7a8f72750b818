"""
Negotiate in HTTP, with the stub mechanism and a proxy that the test plays.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.client.errors import LoginRefused, ProtocolBroken, ProxyError
from socksgw.client.http import HTTPProxy
from socksgw.client.logins.negotiate import NegotiateLogin
from socksgw.plugins.gssapi_stub import StubContext
from tests.fakes.gssapi import StubTickets
from tests.fakes.links import MemoryLink, begun, failed, result


def asking(rounds: int = 1) -> tuple[MemoryLink, Any]:
    """A dialogue that has made its first request."""
    link = MemoryLink()
    proxy = HTTPProxy(NegotiateLogin(StubTickets(rounds=rounds), "HTTP@gw2.example"))
    return link, begun(proxy.connect(link, "example.com", 443))


def wanted(token: str = "") -> bytes:
    challenge = f"Negotiate {token}".strip()
    return (
        f"HTTP/1.1 407 x\r\nProxy-Authenticate: {challenge}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def tokenIn(request: bytes) -> bytes:
    """The token of a request; empty for none."""
    _, found, rest = request.partition(b"Proxy-Authorization: Negotiate ")
    return b64decode(rest.partition(b"\r\n")[0]) if found else b""


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_granted(rounds: int) -> None:
    """No token is sent ahead of the challenge; then one for each."""
    link, running = asking(rounds)
    assert tokenIn(link.taken()) == b""
    context = StubContext(bytes(16))
    challenge = ""
    for _ in range(rounds):
        link.came(wanted(challenge))
        answers: list[bytes] = []
        token = tokenIn(link.taken())
        assert token
        Deferred.fromCoroutine(context.step(token)).addCallback(answers.append)
        challenge = b64encode(answers[0]).decode()
    assert context.complete
    proof = f"Proxy-Authenticate: Negotiate {challenge}\r\n".encode()
    link.came(b"HTTP/1.1 200 OK\r\n" + proof + b"\r\n")
    result(running)
    assert context.name == b"alice"


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (wanted(), LoginRefused),
        (wanted("!!!"), ProtocolBroken),
        (b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n", LoginRefused),
        (
            b'HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm="x"\r\n'
            b"Content-Length: 0\r\n\r\n",
            LoginRefused,
        ),
    ],
)
def test_refused(second: bytes, kind: type[ProxyError]) -> None:
    """A login that begins anew has failed; no other credentials follow."""
    link, running = asking()
    link.came(wanted())
    link.taken()
    link.came(second)
    assert isinstance(failed(running), kind)
    assert link.taken() == b""


def test_aTokenThatNobodyAskedFor() -> None:
    """The first challenge is bare."""
    link, running = asking()
    link.taken()
    link.came(wanted("eA=="))
    assert isinstance(failed(running), LoginRefused)
    assert link.taken() == b""


def test_withoutEnd() -> None:
    """A proxy that goes on for ever is left."""
    link, running = asking(100)
    for _ in range(12):
        link.came(wanted("YWdhaW4=" if tokenIn(link.taken()) else ""))
        if running.called:
            break
    assert isinstance(failed(running), LoginRefused)
