"""
The octets of SOCKS, written by hand: nothing here comes from the gateway's code.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from tests.live.running import Running
from tests.live.servers import PATIENCE
from tests.tools.waiting import until

#: RFC 1928 section 3: one method is offered, no authentication.
GREETING = b"\x05\x01\x00"
#: RFC 1928 section 3: one method is offered, user and password.
GREETING_LOGIN = b"\x05\x01\x02"


def dial(
    port: int, host: str = "127.0.0.1", source: tuple[str, int] | None = None
) -> socket.socket:
    """Connect to the gateway."""
    connection = socket.create_connection((host, port), PATIENCE, source)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def dialPath(path: str) -> socket.socket:
    """Connect to a gateway on a UNIX socket."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def exactly(connection: socket.socket, count: int) -> bytes:
    """Read so many octets; the connection must not end before."""
    octets = b""
    while len(octets) < count:
        came = connection.recv(count - len(octets))
        assert came, f"ended after {octets!r}, {count} octets were due"
        octets += came
    return octets


def request5(host: str | bytes, port: int, command: int = 1) -> bytes:
    """
    Make a request of SOCKS 5 (RFC 1928 section 4).

    @param host: a literal, or octets for the name field.
    """
    if isinstance(host, bytes):
        where = b"\x03" + bytes([len(host)]) + host
    else:
        packed = ipaddress.ip_address(host).packed
        where = (b"\x01" if len(packed) == 4 else b"\x04") + packed
    return bytes([5, command, 0]) + where + port.to_bytes(2, "big")


def request4(
    host: str | bytes, port: int, command: int = 1, userId: bytes = b""
) -> bytes:
    """Make a request of SOCKS 4, or 4a when C{host} is octets for the name field."""
    name = isinstance(host, bytes)
    packed = b"\0\0\0\1" if name else ipaddress.IPv4Address(host).packed
    octets = bytes([4, command]) + port.to_bytes(2, "big") + packed + userId + b"\0"
    return octets + host + b"\0" if isinstance(host, bytes) else octets


def request6(
    host: str | bytes, port: int, command: int = 1, options: bytes = b""
) -> bytes:
    """
    Make a request of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 4).

    @param host: a literal, or octets for the name field.
    """
    if isinstance(host, bytes):
        where = b"\x03" + bytes([len(host)]) + host + bytes(-(len(host) + 1) % 4)
    else:
        packed = ipaddress.ip_address(host).packed
        where = (b"\x01" if len(packed) == 4 else b"\x04") + packed
    head = bytes((6, command)) + len(options).to_bytes(2, "big")
    return head + port.to_bytes(2, "big") + b"\0" + where + options


def login(user: bytes, password: bytes) -> bytes:
    """Make the message of a login with user and password (RFC 1929 section 2)."""
    return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password


#: The answer to a right password in SOCKS 6 (section 9): kind, length, method, status.
LET_IN6 = bytes.fromhex("0004 0008 02 0100 00")


def option6(kind: int, data: bytes) -> bytes:
    """Make an option of SOCKS 6 (section 8)."""
    data += bytes(-len(data) % 4)
    return kind.to_bytes(2, "big") + (len(data) + 4).to_bytes(2, "big") + data


def login6(user: str, password: str) -> bytes:
    """Make the option of SOCKS 6 with user and password (section 9)."""
    return option6(4, b"\x02" + login(user.encode(), password.encode()))


def reply5(connection: socket.socket) -> tuple[int, str, int]:
    """Read a reply of SOCKS 5 (RFC 1928 section 6): REP, BND.ADDR, BND.PORT."""
    version, code, reserved, kind = exactly(connection, 4)
    assert (version, reserved) == (5, 0)
    assert kind in (1, 4)
    packed = exactly(connection, 4 if kind == 1 else 16)
    port = int.from_bytes(exactly(connection, 2), "big")
    return code, str(ipaddress.ip_address(packed)), port


def entered6(connection: socket.socket) -> tuple[int, bytes]:
    """Read an authentication reply of SOCKS 6 (section 6): type, options."""
    version, kind = exactly(connection, 2)
    assert version == 6
    return kind, exactly(connection, int.from_bytes(exactly(connection, 2), "big"))


def replied6(connection: socket.socket) -> tuple[int, str, int, bytes]:
    """Read an operation reply (section 7): code, address, port, options."""
    version, code = exactly(connection, 2)
    assert version == 6
    length = int.from_bytes(exactly(connection, 2), "big")
    port = int.from_bytes(exactly(connection, 2), "big")
    padding, kind = exactly(connection, 2)
    assert padding == 0
    host = ipaddress.ip_address(exactly(connection, 4 if kind == 1 else 16))
    return code, str(host), port, exactly(connection, length)


def reply6(connection: socket.socket) -> int:
    """Read both replies of SOCKS 6, of which the first one lets in."""
    assert entered6(connection) == (0, b"")
    return replied6(connection)[0]


def reply4(connection: socket.socket) -> tuple[int, str, int]:
    """Read a reply of SOCKS 4: CD, DSTIP, DSTPORT."""
    octets = exactly(connection, 8)
    assert octets[0] == 0
    port = int.from_bytes(octets[2:4], "big")
    return octets[1], str(ipaddress.IPv4Address(octets[4:])), port


def asked(
    connection: socket.socket, host: str | bytes, port: int, version: int = 5
) -> int:
    """Ask for a connection in SOCKS 5 or 6 without login; return the reply."""
    if version == 6:
        connection.sendall(request6(host, port))
        return reply6(connection)
    connection.sendall(GREETING)
    assert exactly(connection, 2) == b"\x05\x00"
    connection.sendall(request5(host, port))
    return reply5(connection)[0]


def through(
    connection: socket.socket, host: str | bytes, port: int, version: int = 5
) -> socket.socket:
    """Ask for a connection in SOCKS 5 or 6 without login, and get it."""
    assert asked(connection, host, port, version) == 0
    return connection


def decision(gateway: Running, port: int) -> dict[str, Any]:
    """Wait for the journal's latest decision about a destination port."""
    found: list[dict[str, Any]] = until(
        lambda: [e for e in gateway.journal("decision") if e["port"] == port]
    )
    return found[-1]


def end(gateway: Running, port: int) -> dict[str, Any]:
    """Wait for the end, in the journal, of the latest session with a destination port."""
    session = decision(gateway, port)["session"]
    found: list[dict[str, Any]] = until(
        lambda: [e for e in gateway.journal("end") if e["session"] == session]
    )
    return found[-1]
