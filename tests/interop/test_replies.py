"""
The reply for each cause, on the wire, in SOCKS 5, SOCKS 4 and SOCKS 6; and that it
always arrives.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.shared import PASSWORD, USER, Shared
from tests.live import raw
from tests.live.names import KnownNames
from tests.live.running import VERSIONS, Running, running
from tests.live.servers import untilEnd

#: Behind a refused request. (RFC 1928 section 6 wants the reply first, then
#: the end.)
PIPELINED = b"\xa5" * 65536

FAILED4 = b"\0\x5b" + bytes(6)


def failed5(code: int) -> bytes:
    """RFC 1928 section 6; nothing is bound."""
    return bytes([5, code, 0, 1]) + bytes(6)


def failed6(code: int) -> bytes:
    """Let in, and refused (draft-olteanu-intarea-socks-6-11 sections 6 and 7)."""
    return bytes.fromhex("06 00 0000") + bytes((6, code)) + bytes(5) + b"\1" + bytes(4)


#: A request that is none, and a login that failed without another word (section 6).
BROKEN6 = b"\x06\x01\0\0"


@pytest.fixture(scope="module")
def nobody() -> Iterator[int]:
    """A port that nobody listens on, and nobody can have."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that asks a DNS server, which knows one name."""
    with KnownNames({"known.example": "127.0.0.1"}) as names:
        text = f'[resolver]\nservers = ["127.0.0.1:{names.port}"]\n{VERSIONS}'
        yield from running(tmp_path_factory.mktemp("named"), text)


PIPELINING = pytest.mark.parametrize(
    "behind", [b"", PIPELINED], ids=["alone", "pipelined"]
)


def answered(port: int, octets: bytes) -> bytes:
    """
    Everything that comes until the gateway ends: an orderly end, since a
    reset, which may destroy the reply, raises.
    """
    with raw.dial(port) as client:
        client.sendall(octets)
        return untilEnd(client)


@PIPELINING
def test_refused(shared: Shared, nobody: int, behind: bytes) -> None:
    """The destination refuses: 05; SOCKS 4: 91."""
    request = raw.request5("127.0.0.1", nobody)
    got = answered(shared.open, raw.GREETING + request + behind)
    assert got == b"\x05\0" + failed5(5)
    assert answered(shared.open, raw.request4("127.0.0.1", nobody) + behind) == FAILED4
    got = answered(shared.open, raw.request6("127.0.0.1", nobody) + behind)
    assert got == failed6(5)
    assert raw.end(shared.gateway, nobody)["reason"] == "refused"


@PIPELINING
def test_policy(shared: Shared, behind: bytes) -> None:
    """A rule denies it: 02; SOCKS 4: 91."""
    request = raw.request5("127.0.0.9", 80)
    got = answered(shared.open, raw.GREETING + request + behind)
    assert got == b"\x05\0" + failed5(2)
    assert answered(shared.open, raw.request4("127.0.0.9", 80) + behind) == FAILED4
    got = answered(shared.open, raw.request6("127.0.0.9", 80) + behind)
    assert got == failed6(2)


@PIPELINING
def test_noSuchHost(named: Running, behind: bytes) -> None:
    """The name does not exist: 04; SOCKS 4a: 91."""
    name = b"no-such-host.invalid"
    got = answered(named.port, raw.GREETING + raw.request5(name, 80) + behind)
    assert got == b"\x05\0" + failed5(4)
    assert answered(named.port, raw.request4(name, 80) + behind) == FAILED4
    assert answered(named.port, raw.request6(name, 80) + behind) == failed6(4)
    line = named.journal("decision")[-1]
    assert (line["verdict"], line["reason"]) == ("deny", "no-such-host")


def test_knownName(named: Running, nobody: int) -> None:
    """
    A name that the server knows leads to a connection: what it cannot be
    connected to refuses.
    """
    got = answered(named.port, raw.GREETING + raw.request5(b"known.example", nobody))
    assert got == b"\x05\0" + failed5(5)
    got = answered(named.port, raw.request6(b"known.example", nobody))
    assert got == failed6(5)


@PIPELINING
@pytest.mark.parametrize("command", [0, 4, 5, 0x80, 0xF2, 0xF3, 0xFF])
def test_command(shared: Shared, nobody: int, command: int, behind: bytes) -> None:
    """
    A command that is unknown, or off here (UDP inside TCP): 07; SOCKS 4: 91.
    """
    request = raw.request5("127.0.0.1", nobody, command)
    got = answered(shared.open, raw.GREETING + request + behind)
    assert got == b"\x05\0" + failed5(7)
    request = raw.request4("127.0.0.1", nobody, command)
    assert answered(shared.open, request + behind) == FAILED4
    got = answered(shared.open, raw.request6("127.0.0.1", nobody, command) + behind)
    # Its NOOP has no destination (section 4).
    assert got == (failed6(7) if command else BROKEN6)


@PIPELINING
@pytest.mark.parametrize("kind", [0, 2, 5, 0xFF])
def test_addressType(shared: Shared, kind: int, behind: bytes) -> None:
    """An unknown ATYP: 08; in SOCKS 6 nobody knows where the request ends."""
    request = bytes([5, 1, 0, kind]) + bytes(6)
    got = answered(shared.open, raw.GREETING + request + behind)
    assert got == b"\x05\0" + failed5(8)
    request = bytes([6, 1, 0, 0, 0, 80, 0, kind]) + bytes(4)
    assert answered(shared.open, request + behind) == BROKEN6


@PIPELINING
@pytest.mark.parametrize(
    "name",
    [
        b"127.1",
        b"0x7f.0.0.1",
        b"2130706433",
        b"127.0.0.01",
        b"local host",
        b"localhost\0.example",
        b"b\xc3\xbccher.example",
        b"-.example..",
        b"fe80::1%lo",
        b"a" * 64,
        b"a." * 127 + b"a",
    ],
)
def test_badName(shared: Shared, nobody: int, name: bytes, behind: bytes) -> None:
    """
    What is neither a host name nor a strict literal: 01; SOCKS 4a: 91. It is
    not looked up, and not dialled.
    """
    got = answered(shared.open, raw.GREETING + raw.request5(name, nobody) + behind)
    assert got == b"\x05\0" + failed5(1)
    got = answered(shared.open, raw.request6(name, nobody) + behind)
    assert got == failed6(1)
    if b"\0" not in name:
        assert answered(shared.open, raw.request4(name, nobody) + behind) == FAILED4


@PIPELINING
def test_emptyName(shared: Shared, behind: bytes) -> None:
    """A name of no octets: 01; SOCKS 4a: 91."""
    got = answered(shared.open, raw.GREETING + raw.request5(b"", 80) + behind)
    assert got == b"\x05\0" + failed5(1)
    assert answered(shared.open, raw.request4(b"", 80) + behind) == FAILED4
    assert answered(shared.open, raw.request6(b"", 80) + behind) == failed6(1)


@PIPELINING
def test_portZero(shared: Shared, behind: bytes) -> None:
    """Port 0 cannot be connected to: 01; SOCKS 4: 91."""
    got = answered(shared.open, raw.GREETING + raw.request5("127.0.0.1", 0) + behind)
    assert got == b"\x05\0" + failed5(1)
    assert answered(shared.open, raw.request4("127.0.0.1", 0) + behind) == FAILED4
    got = answered(shared.open, raw.request6("127.0.0.1", 0) + behind)
    assert got == failed6(1)


@PIPELINING
@pytest.mark.parametrize(
    "methods",
    [b"", b"\0", b"\x01", b"\0\x01\x80\xfe", b"\xff"],
    ids=lambda m: m.hex() or "none",
)
def test_noMethod(shared: Shared, methods: bytes, behind: bytes) -> None:
    """
    No method that is wanted here: FF (RFC 1928 section 3), then the end. In SOCKS 6
    the same, for a client that takes part in a login by messages (section 8.2).
    """
    greeting = bytes([5, len(methods)]) + methods
    assert answered(shared.login, greeting + behind) == b"\x05\xff"
    said = b"\0\0" + methods
    said += bytes(-len(said) % 4)
    option = b"\0\2" + (4 + len(said)).to_bytes(2, "big") + said
    for octets, told in ((option, "0008 0003 0008 ff 000000"), (b"", "0000")):
        request = raw.request6("127.0.0.1", 80, options=octets)
        got = answered(shared.login, request + behind)
        assert got == bytes.fromhex("06 01" + told)


@PIPELINING
def test_socks4WhereLoginIsWanted(shared: Shared, nobody: int, behind: bytes) -> None:
    """SOCKS 4 has no login: 91."""
    request = raw.request4("127.0.0.1", nobody, userId=USER.encode())
    assert answered(shared.login, request + behind) == FAILED4


@PIPELINING
@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, "wrong"), ("nobody", PASSWORD), (USER, ""), ("", PASSWORD), ("", "")],
)
def test_wrongLogin(
    shared: Shared, nobody: int, user: str, password: str, behind: bytes
) -> None:
    """
    RFC 1929 section 2: a status that is not 0, then the end, with the same
    octets whatever was wrong; the request behind it is not answered.
    """
    login = raw.login(user.encode(), password.encode())
    octets = raw.GREETING_LOGIN + login + raw.request5("127.0.0.1", nobody) + behind
    assert answered(shared.login, octets) == b"\x05\x02" + b"\x01\x01"
    option = raw.login6(user, password)
    got = answered(
        shared.login, raw.request6("127.0.0.1", nobody, options=option) + behind
    )
    assert got == bytes.fromhex("06 01 0008 0004 0008 02 01 01 00")


def test_fails5AfterLogin(shared: Shared, nobody: int) -> None:
    """After a login the reply is as without."""
    login = raw.login(USER.encode(), PASSWORD.encode())
    octets = raw.GREETING_LOGIN + login + raw.request5("127.0.0.1", nobody)
    got = answered(shared.login, octets + PIPELINED)
    assert got == b"\x05\x02" + b"\x01\0" + failed5(5)
    option = raw.login6(USER, PASSWORD)
    request = raw.request6("127.0.0.1", nobody, options=option)
    got = answered(shared.login, request + PIPELINED)
    assert got == bytes.fromhex("06 00 0008") + raw.LET_IN6 + failed6(5)[4:]


def _alone() -> None:
    """
    Into a network of its own that leads nowhere (in the new process).
    """
    newUser, newNetwork = 0x10000000, 0x40000000
    flags = newNetwork if os.geteuid() == 0 else newUser | newNetwork
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")
    path = {**os.environ, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    for line in (
        "link set lo up",
        "route add unreachable 198.18.0.0/16",
        "route add prohibit 198.19.0.0/16",
    ):
        subprocess.run(["ip", *line.split()], check=True, env=path)


def _canBeAlone() -> bool:
    try:
        subprocess.run(["true"], preexec_fn=_alone, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@pytest.mark.skipif(
    shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") is None
    or not _canBeAlone(),
    reason="needs ip (Debian's package iproute2) and leave to make a network namespace",
)
@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [
        # No route leads there: ENETUNREACH.
        ("9.9.9.9", 3, "network-unreachable"),
        ("2620:fe::fe", 3, "network-unreachable"),
        # A router says that the host cannot be reached: EHOSTUNREACH.
        ("198.18.0.1", 4, "host-unreachable"),
        # This host's own configuration forbids it: EACCES.
        ("198.19.0.1", 2, "forbidden-by-kernel"),
    ],
)
def test_unreachable(isolated: Running, address: str, code: int, reason: str) -> None:
    """Nothing leads there: 03 or 04, as the kernel says; SOCKS 4: 91."""
    path = str(isolated.directory / "s")
    with raw.dialPath(path) as client:
        client.sendall(raw.GREETING + raw.request5(address, 1234) + PIPELINED)
        assert untilEnd(client) == b"\x05\0" + failed5(code)
    assert raw.end(isolated, 1234)["reason"] == reason
    with raw.dialPath(path) as client:
        client.sendall(raw.request6(address, 1234) + PIPELINED)
        assert untilEnd(client) == failed6(code)
    if "." in address:
        with raw.dialPath(path) as client:
            client.sendall(raw.request4(address, 1234) + PIPELINED)
            assert untilEnd(client) == FAILED4


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """
    A gateway in a network of its own, which clients reach through a UNIX
    socket.
    """
    directory: Path = tmp_path_factory.mktemp("alone")
    text = VERSIONS.replace(
        'address = ["127.0.0.1:0"]', f'endpoint = "unix:{directory}/s"'
    )
    text = text.replace("[never]", "[never]\nto = []").replace(
        'except = ["127.0.0.0/8", "::1"]', ""
    )
    assert "endpoint" in text
    yield from running(directory, text, preexec=_alone)
