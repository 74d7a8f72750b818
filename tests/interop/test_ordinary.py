"""
From the server's side the gateway is an ordinary client: nothing of its own
client shows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.interop.shared import PASSWORD, USER, Shared
from tests.live import raw
from tests.live.servers import Destination, Recorder, untilEnd
from tests.tools.waiting import until

PAYLOAD = b"only this \x00\xff\x05\x01\x00" * 500
#: Another address of this machine than the one the gateway dials from.
SOURCE = "127.0.0.5"
USER_ID = b"canary-user-id"


@pytest.mark.parametrize("kind", ["none", "userpass", "socks4", "socks4a"])
def test_nothingLeaks(
    shared: Shared, destination: Callable[..., Destination], kind: str
) -> None:
    """
    The server gets the client's octets and not one besides: no user id, user
    name or password; and it sees the gateway's address and port, not the
    client's.
    """
    recorder = Recorder(b"answer")
    server = destination(recorder)
    port = shared.login if kind == "userpass" else shared.open
    with raw.dial(port, source=(SOURCE, 0)) as client:
        own = client.getsockname()
        if kind == "userpass":
            login = raw.login(USER.encode(), PASSWORD.encode())
            client.sendall(raw.GREETING_LOGIN + login)
            assert raw.exactly(client, 4) == b"\x05\x02\x01\0"
        elif kind == "none":
            client.sendall(raw.GREETING)
            assert raw.exactly(client, 2) == b"\x05\0"
        if kind.startswith("socks4"):
            host = "127.0.0.1" if kind == "socks4" else b"localhost"
            client.sendall(raw.request4(host, server.port, userId=USER_ID))
            code, *bound = raw.reply4(client)
            assert code == 90
        else:
            client.sendall(raw.request5("127.0.0.1", server.port))
            code, *bound = raw.reply5(client)
            assert code == 0
        client.sendall(PAYLOAD)
        client.shutdown(socket.SHUT_WR)
        assert untilEnd(client) == b"answer"
    until(lambda: recorder.received)
    assert recorder.received == [PAYLOAD]
    assert server.peers == [tuple(bound)]
    assert server.peers[0][0] == "127.0.0.1"
    assert server.peers[0][1] != own[1]
    # The journal knows what the server does not.
    line = raw.decision(shared.gateway, server.port)
    assert line["client"] == f"{SOURCE}:{own[1]}"


def test_refusedDialsNobody(
    shared: Shared, destination: Callable[..., Destination]
) -> None:
    """
    Who is not logged in makes the gateway connect to nobody: the only
    connection that the server sees is the one that was granted.
    """
    recorder = Recorder()
    server = destination(recorder)
    request = raw.request5("127.0.0.1", server.port)
    wrong = raw.login(USER.encode(), b"wrong")
    right = raw.login(USER.encode(), PASSWORD.encode())
    for octets in (
        raw.GREETING_LOGIN + wrong + request,
        raw.GREETING + request,
        raw.GREETING_LOGIN + request,
        raw.request4("127.0.0.1", server.port),
    ):
        with raw.dial(shared.login) as client:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            untilEnd(client)
    with raw.dial(shared.login) as client:
        client.sendall(raw.GREETING_LOGIN + right + request + b"granted")
        client.shutdown(socket.SHUT_WR)
        untilEnd(client)
    until(lambda: recorder.received)
    assert recorder.received == [b"granted"]
    assert len(server.peers) == 1
