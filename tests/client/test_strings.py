"""
Endpoint strings of proxies, as any Twisted program parses them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.endpoints import clientFromString
from twisted.internet.testing import MemoryReactorClock

from socksgw.client import HTTPClientEndpoint, SocksClientEndpoint
from tests.fakes.endpoints import Carrier

PROXY = r"proxy=tcp\:127.0.0.1\:1080"


class Reactor(MemoryReactorClock):
    """Opens connections in memory."""

    def opened(self) -> Carrier:
        _, _, factory, *_ = self.tcpClients[-1]
        protocol: Any = factory.buildProtocol(None)
        carrier = Carrier(protocol)
        protocol.makeConnection(carrier)
        return carrier


def asked(text: str, octets: bytes = b"") -> bytes:
    """Connect by a string, and return what the proxy hears, behind its answer."""
    from twisted.internet.protocol import Factory, Protocol

    reactor = Reactor()
    clientFromString(reactor, text).connect(Factory.forProtocol(Protocol))
    assert reactor.tcpClients[0][:2] == ("127.0.0.1", 1080)
    carrier = reactor.opened()
    if octets:
        carrier.taken()
        carrier.tell(octets)
    return carrier.taken()


def test_socks() -> None:
    """SOCKS 5 without more."""
    text = f"socks:www.example.com:443:{PROXY}"
    assert isinstance(clientFromString(Reactor(), text), SocksClientEndpoint)
    assert asked(text) == b"\x05\x01\x00"
    assert asked(text, b"\x05\x00") == b"\x05\x01\x00\x03\x0fwww.example.com\x01\xbb"


def test_socks4() -> None:
    """Version 4 is 4a for a name."""
    text = f"socks:www.example.com:443:{PROXY}:version=4:userId=fred"
    assert asked(text).startswith(b"\x04\x01\x01\xbb\0\0\0\1fred\0www.example.com\0")


def test_address() -> None:
    """An IPv6 address has its colons escaped."""
    text = rf"socks:2001\:db8\:\:7:443:{PROXY}"
    assert asked(text, b"\x05\x00")[:5] == b"\x05\x01\x00\x04\x20"


def test_http() -> None:
    """The same through an HTTP proxy."""
    text = f"httpproxy:www.example.com:443:{PROXY}"
    assert isinstance(clientFromString(Reactor(), text), HTTPClientEndpoint)
    assert asked(text).startswith(b"CONNECT www.example.com:443 HTTP/1.1\r\n")


def test_login(tmp_path: Path) -> None:
    """The password is in a file, and nowhere in the string."""
    file = tmp_path / "password"
    file.write_text("canary-1\n")
    file.chmod(0o600)
    text = f"socks:www.example.com:443:{PROXY}:user=alice:passwordFile={file}"
    assert asked(text) == b"\x05\x01\x02"
    assert asked(text, b"\x05\x02") == b"\x01\x05alice\x08canary-1"
    assert "canary" not in repr(clientFromString(Reactor(), text))


def test_chain() -> None:
    """The proxy's string may be one of a proxy."""
    inner = r"proxy=socks\:second.example\:1081\:proxy\=tcp\\\:127.0.0.1\\\:1080"
    text = f"socks:www.example.com:443:{inner}"
    assert asked(text, b"\x05\x00").endswith(b"\x0esecond.example\x04\x39")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("socks:www.example.com:443", "proxy="),
        (f"socks:www.example.com:{PROXY}", "HOST"),
        (f"socks:www.example.com:https:{PROXY}", "port is a number"),
        (f"socks:www.example.com:0:{PROXY}", "port"),
        (f"socks:a b:80:{PROXY}", "host"),
        (f"socks:a:80:{PROXY}:version=7", "versions"),
        (f"socks:a:80:{PROXY}:password=x", "options are"),
        (f"socks:a:80:{PROXY}:user=alice", "needs a user"),
        (f"socks:a:80:{PROXY}:login=gssapi", "service"),
        (f"socks:a:80:{PROXY}:login=token", "token"),
        (f"socks:a:80:{PROXY}:login=magic", "login is one of"),
        (f"socks:a:80:{PROXY}:login=none:user=x", "login=none"),
        (f"socks:a:80:{PROXY}:timeout=-1", "timeout is a number"),
        (f"httpproxy:a:80:{PROXY}:version=5", "SOCKS alone"),
        (f"socks:a:80:{PROXY}:user=alice:passwordFile=/nonexistent", "/nonexistent"),
    ],
)
def test_wrong(text: str, why: str) -> None:
    """What cannot be used is told in one line, with no secret in it."""
    with pytest.raises(ValueError, match=why) as caught:
        clientFromString(Reactor(), text)
    assert "\n" not in str(caught.value)
