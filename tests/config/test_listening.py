"""
Addresses and endpoints that listeners listen at.
"""

from __future__ import annotations

import pytest

from socksgw.config.listening import (
    isRoutable,
    parseListenAddress,
    parseUnixAddress,
)


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
    "name", ["/run/gw.sock", "/" + "x" * 106, "@gw", "@" + "x" * 106]
)
def test_aUnixSocket(name: str) -> None:
    """A path, or an abstract name; no other host reaches either."""
    assert parseUnixAddress(f"unix:{name}") == name
    assert not isRoutable(f"unix:{name}")


@pytest.mark.parametrize(
    "text",
    [
        "/run/gw.sock",
        "unix:",
        "unix:gw.sock",
        "unix:/",
        "unix:@",
        "unix:/run/",
        "unix:/run/\n",
        "unix:/" + "x" * 107,
        "unix:@" + "é" * 60,
    ],
)
def test_noUnixSocket(text: str) -> None:
    """Neither, or one that sun_path of unix(7) has no room for."""
    with pytest.raises(ValueError, match=r"must be|cannot be|is longer"):
        parseUnixAddress(text)
