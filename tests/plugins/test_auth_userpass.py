"""
User and password (RFC 1929), octet for octet.
"""

from __future__ import annotations

import pytest
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from socksgw.wire.reader import WireError
from socksgw.wire.server import State
from tests.fakes.client import CANARY, LOGIN, Client, begun, result
from tests.fakes.gateway import USERPASS


@pytest.mark.parametrize(("granted", "status"), [(True, b"\1\0"), (False, b"\1\1")])
@pytest.mark.parametrize("pipelined", [True, False])
def test_userpass(granted: bool, status: bytes, pipelined: bool) -> None:
    """
    RFC 1929 section 2: the credentials of the client, then X'00' for
    success, another status for failure; no word before the outcome is known.
    """
    client = Client(b"\x05\x01\x02" + (LOGIN if pipelined else b""))
    waiting = begun(client, USERPASS)
    if not pipelined:
        for octet in LOGIN:
            assert not waiting.called
            client.receive(bytes((octet,)))
    attempt = result(waiting)
    assert client.sent == b"\x05\x02"
    assert attempt.method == "userpass"
    assert attempt.claimed == b"alice"
    assert IUsernamePassword.providedBy(attempt.credentials)
    assert attempt.credentials.password == CANARY.encode()
    assert attempt.credentials.checkPassword(CANARY.encode())
    assert not attempt.credentials.checkPassword(b"")
    for text in (repr(attempt.credentials), str(attempt.credentials)):
        assert CANARY not in text
    assert result(Deferred.fromCoroutine(attempt.report(granted))) is None
    assert client.sent == b"\x05\x02" + status
    assert client.conversation.state is State.CHOSEN


def test_userpassBroken() -> None:
    """VER is X'01' (RFC 1929 section 2): else the client broke the protocol."""
    client = Client(b"\x05\x01\x02" + b"\x05" + LOGIN[1:])
    with capturedLogs() as events:
        assert isinstance(result(begun(client, USERPASS)), WireError)
    assert not events
    assert client.sent == b"\x05\x02"
    assert client.conversation.failed
