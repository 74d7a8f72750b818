"""
Listening: what an address is, what other hosts can reach, what to do when it
cannot be had.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.error import CannotListenError

from socksgw.accept.endpoints import (
    isRoutable,
    isSecured,
    parseListenAddress,
    remedyFor,
)
from tests.certificates import Authority, server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:1080", ("127.0.0.1", 1080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:1080", ("::1", 1080)),
        ("[::]:65535", ("::", 65535)),
        ("[2001:DB8::2]:1", ("2001:db8::2", 1)),
    ],
)
def test_anAddressAndItsPort(text: str, expected: tuple[str, int]) -> None:
    """The two forms."""
    address, port = parseListenAddress(text)
    assert (address.text, port) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "1080",
        ":1080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1080 ",
        "127.0.0.1:１０",
        "127.1:1080",
        "0x7f.1:1080",
        "localhost:1080",
        "::1:1080",
        "[::1]",
        "[::1:1080",
        "::1]:1080",
        "[fe80::1%eth0]:1080",
        "tcp:1080",
        "tcp:1080:interface=127.0.0.1",
    ],
)
def test_whatIsNoAddress(text: str) -> None:
    """Everything else: a name is none."""
    with pytest.raises(ValueError):
        parseListenAddress(text)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:1080", False),
        ("127.0.0.9:1080", False),
        ("[::1]:1080", False),
        ("[::ffff:127.0.0.1]:1080", False),
        ("0.0.0.0:1080", True),
        ("[::]:1080", True),
        ("10.0.0.2:1080", True),
        ("192.168.1.1:1080", True),
        ("169.254.1.1:1080", True),
        ("[fd00::1]:1080", True),
        ("unix:/run/gw.sock", False),
        ("unix:/run/gw.sock:mode=666", False),
        ("tcp:1080", True),
        ("tcp:port=1080", True),
        ("tcp:1080:interface=127.0.0.1", False),
        ("tcp:interface=127.0.0.1:port=1080", False),
        ("tcp:1080:interface=localhost", False),
        ("tcp:1080:interface=", True),
        ("tcp:1080:interface=0.0.0.0", True),
        ("tcp:1080:interface=10.0.0.1", True),
        ("tcp:1080:interface=gw.example", True),
        ("tcp6:1080", True),
        (r"tcp6:1080:interface=\:\:1", False),
        (r"tcp6:1080:interface=\:\:", True),
        ("haproxy:tcp:1080", True),
        ("haproxy:tcp:1080:interface=127.0.0.1", False),
        ("systemd:domain=INET:index=0", True),
        # Twisted takes the last of several.
        ("tcp:1080:interface=127.0.0.1:interface=0.0.0.0", True),
        ("tcp:1080:interface=0.0.0.0:interface=127.0.0.1", False),
        # What cannot be told counts as routable.
        ("something:else", True),
        ("", True),
    ],
)
def test_whatOtherHostsCanReach(listen: str, expected: bool) -> None:
    """Everything but loopback and local paths."""
    assert isRoutable(listen) is expected


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EADDRINUSE, ("taken", "another port")),
        (errno.EACCES, ("permission", "higher port")),
        (errno.EADDRNOTAVAIL, ("no such address", "ip addr")),
        (errno.EAFNOSUPPORT, ("no IPv6", "leave")),
        (errno.EIO, ("Input/output error",)),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_oneLineWithTheRemedy(code: int, words: tuple[str, ...], wrapped: bool) -> None:
    """Port taken, no permission, no IPv6: what it is, and what to do."""
    import os

    cause: Exception = OSError(code, os.strerror(code))
    if wrapped:
        cause = CannotListenError("127.0.0.1", 1080, cause)
    line = remedyFor("127.0.0.1:1080", cause)
    assert "\n" not in line
    for word in ("127.0.0.1:1080", *words):
        assert word in line


@pytest.mark.filterwarnings("ignore:X509.get_:DeprecationWarning")
def test_whichEndpointsAreTLS(tmp_path: Path) -> None:
    """
    As the endpoint itself does it, whatever it is called; what cannot be told
    is clear.
    """
    own = server(Authority())
    own.write(tmp_path, "gw")
    pem = tmp_path / "pems" / "gw.example.pem"
    pem.parent.mkdir()
    pem.write_bytes(
        (tmp_path / "gw.key").read_bytes() + (tmp_path / "gw.pem").read_bytes()
    )
    files = f"privateKey={tmp_path}/gw.key:certKey={tmp_path}/gw.pem"
    secured = [f"tls:{pem.parent}", f"ssl:1443:{files}", f"haproxy:tls:{pem.parent}"]
    clear = ["tcp:1080", "tcp6:1080", "unix:/tmp/x", "haproxy:tcp:1080", "stdio:"]
    assert [x for x in secured + clear if isSecured(x)] == secured
    assert not isSecured("nonsense:tls:1")


def test_lookingAtAnEndpointUsesNothingUp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket that came with the process is not closed by it."""
    with socket.create_server(("127.0.0.1", 0)) as given:

        def fromString(reactor: Any, text: str) -> AdoptedStreamServerEndpoint:
            return AdoptedStreamServerEndpoint(reactor, given.fileno(), socket.AF_INET)

        monkeypatch.setattr("socksgw.accept.endpoints.serverFromString", fromString)
        assert not isSecured("systemd:domain=INET:index=0")
        os.fstat(given.fileno())
