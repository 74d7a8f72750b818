"""
Tokens in requests of HTTP (RFC 6750), octet for octet.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from socksgw.errors import AuthenticationFailed, NoAcceptableMethod
from socksgw.interfaces import IAnswering, IAuthMethod, IBearerToken, IForgetful
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.negotiate.methods import OfferedMethod
from socksgw.plugins.auth_token import method
from socksgw.wire.codes import Reply
from tests.fakes.client import CANARY, Client, begun, result
from tests.fakes.gateway import USERPASS

TOKEN = OfferedMethod(
    "token", (), method.build({}, None), capabilities=capabilitiesOf(method)
)


def connect(credentials: str = "") -> bytes:
    field = f"Proxy-Authorization: {credentials}\r\n" if credentials else ""
    return (
        f"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n{field}\r\n".encode()
    )


def denied(client: Client) -> list[bytes]:
    """The challenges of the answer to a login that is not accepted."""
    answer = client.conversation.deny(Reply.NOT_ALLOWED, "bad-token", "the token …")
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 407 ")
    return [line for line in lines if line.startswith(b"Proxy-Authenticate: ")]


def test_declared() -> None:
    assert verifyObject(IAuthMethod, method)
    assert verifyObject(IAnswering, method.build({}, None))
    with pytest.raises(ValueError, match="has no settings"):
        method.build({"a": 1}, None)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_token(scheme: str) -> None:
    """RFC 6750 section 2.1; the scheme's case means nothing (RFC 9110 section 11.1)."""
    client = Client(connect(f"{scheme} {CANARY}"))
    attempt = result(begun(client, TOKEN))
    credentials: Any = attempt.credentials
    assert IBearerToken.providedBy(credentials)
    assert (credentials.token, credentials.username) == (CANARY.encode(), b"")
    # A name that is told would be a part of the token.
    assert attempt.claimed == b""
    assert CANARY not in repr(credentials) + str(credentials)
    assert client.sent == b""
    assert IForgetful.providedBy(credentials)
    credentials.forget()
    assert credentials.token == b""


def test_noToken() -> None:
    """RFC 6750 section 3: a client that shows none is told no error."""
    client = Client(connect(), connect(f"Bearer {CANARY}"))
    attempt = result(begun(client, TOKEN, USERPASS))
    assert attempt.method == "token"
    assert b'Proxy-Authenticate: Bearer realm="socksgw"\r\n' in client.sent
    assert b"Proxy-Authenticate: Basic " in client.sent
    assert b"error" not in client.sent


def test_refused() -> None:
    """RFC 6750 section 3.1: invalid_token, and not why; other challenges stay."""
    client = Client(connect(f"Bearer {CANARY}"))
    result(begun(client, TOKEN, USERPASS))
    assert denied(client) == [
        b'Proxy-Authenticate: Bearer realm="socksgw", error="invalid_token"',
        b'Proxy-Authenticate: Basic realm="socksgw", charset="UTF-8"',
    ]


@pytest.mark.parametrize("answer", ["", "a b", "a,b", 'a"b', "a=b", "é", "="])
def test_malformed(answer: str) -> None:
    client = Client(connect(f"Bearer {answer}"))
    attempt = result(begun(client, TOKEN))
    assert isinstance(attempt.failure, AuthenticationFailed)
    assert attempt.failure.reason == "protocol"
    assert denied(client) == [
        b'Proxy-Authenticate: Bearer realm="socksgw", error="invalid_request"'
    ]


def test_socks() -> None:
    """In SOCKS there is no such method, whatever the client offers."""
    client = Client(b"\x05\xff" + bytes(range(255)))
    refused = result(begun(client, TOKEN))
    assert isinstance(refused, NoAcceptableMethod)
    assert "token = none of SOCKS wanted" in str(refused)
    reading = method.build({}, None).readCredentials(None)
    assert isinstance(result(Deferred.fromCoroutine(reading)), AuthenticationFailed)
