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
    isSecured,
    remedyFor,
)
from tests.tools.certificates import Authority, server


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
