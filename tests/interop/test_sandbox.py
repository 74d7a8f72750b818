"""
A gateway in sandboxes that refuse system calls and socket options which most
systems have: it serves all the same, and says once what it does without.
"""

from __future__ import annotations

import errno
import hashlib
import random
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from tests.live import raw
from tests.live.datagrams import Association, Echo
from tests.live.running import ALL, HEAD, Running
from tests.live.servers import Destination
from tests.tools.sandbox import Denied, denying
from tests.tools.sockets import RESET

MIB = 1 << 20
OCTETS = random.Random(40).randbytes(4 * MIB)
SO_ATTACH_FILTER = 26
#: O_NONBLOCK and O_CLOEXEC: the relays' own, not the interpreter's.
PIPE_FLAGS = 0o2004000


def option(level: int, number: int) -> Denied:
    """An option of sockets that is denied."""
    return Denied("setsockopt", errno.EPERM, {1: level, 2: number})


def serve(connection: socket.socket) -> None:
    """Send much, and say what came meanwhile."""
    sending = threading.Thread(target=connection.sendall, args=(OCTETS,))
    sending.start()
    came = hashlib.sha256()
    while octets := connection.recv(1 << 18):
        came.update(octets)
    sending.join()
    connection.sendall(came.digest())


def reset(connection: socket.socket) -> None:
    """End with a reset, once the first octet has come."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def served(gateway: Running) -> None:
    """4 MiB each way at once through it, and a datagram there and back."""
    with Destination(serve) as server, closing(raw.dial(gateway.port)) as client:
        raw.through(client, "127.0.0.1", server.port)

        def send() -> None:
            client.sendall(OCTETS)
            client.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        came = bytearray()
        while octets := client.recv(1 << 18):
            came += octets
        sending.join()
    assert came[: len(OCTETS)] == OCTETS
    assert came[len(OCTETS) :] == hashlib.sha256(OCTETS).digest()
    end = raw.end(gateway, server.port)
    assert (end["reason"], end["sent"]) == ("closed", len(OCTETS))
    with Echo() as echo, Association(gateway.port) as association:
        association.echo(echo, b"datagram")


#: Every option and call that the gateway can do without.
STRICT = {
    "splice(2)": (Denied("splice"),),
    "TCP_NODELAY": (option(socket.IPPROTO_TCP, socket.TCP_NODELAY),),
    "SO_KEEPALIVE": (option(socket.SOL_SOCKET, socket.SO_KEEPALIVE),),
    "TCP_KEEPIDLE": (option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),),
    "SO_LINGER": (option(socket.SOL_SOCKET, socket.SO_LINGER),),
    "SO_ATTACH_FILTER": (option(socket.SOL_SOCKET, SO_ATTACH_FILTER),),
    "getrlimit(2)": (Denied("prlimit64"), Denied("getrlimit")),
    "getgroups(2)": (Denied("getgroups"),),
    "netlink": (Denied("socket", errno.EAFNOSUPPORT, {0: socket.AF_NETLINK}),),
}
#: Nothing is said of this one: the system's own size does.
SILENT = option(socket.SOL_SOCKET, socket.SO_RCVBUF)
SANDBOXES: dict[str, dict[str, tuple[Denied, ...]]] = {
    "strict": STRICT,
    "pipes": {"pipe2(2)": (Denied("pipe2", errno.ENOSYS, {1: PIPE_FLAGS}),)},
}


@pytest.mark.parametrize("name", SANDBOXES)
def test_servedInASandbox(gateway: Callable[..., Running], name: str) -> None:
    """Octets and datagrams arrive, and one line says what is refused."""
    sandbox = SANDBOXES[name]
    denied = [each for every in sandbox.values() for each in every]
    started = gateway(HEAD + ALL, preexec=denying(*denied, SILENT))
    served(started)
    # A relay that ends with a reset.
    with Destination(reset) as server, closing(raw.dial(started.port)) as client:
        raw.through(client, "127.0.0.1", server.port)
        client.sendall(b"x")
        with suppress(ConnectionResetError):
            assert not client.recv(1)
    served(started)
    lines = [x for x in started.log.splitlines() if "#warn" in x]
    for what in sandbox:
        assert len([x for x in lines if f"{what} " in x]) == 1, started.log
    assert "Traceback" not in started.log
