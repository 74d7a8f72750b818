"""
Which command a request is for.
"""

from __future__ import annotations

import pytest

from socksgw.errors import CommandNotSupported
from socksgw.session.commands import commandFor
from socksgw.wire.server import DIALECTS


@pytest.mark.parametrize(
    ("version", "command", "tunnels", "name"),
    [
        (5, 0x01, (), "connect"),
        (5, 0x02, (), "bind"),
        (5, 0x03, (), "udp"),
        (5, 0xF0, (), "resolve"),
        (5, 0xF1, (), "resolve"),
        (5, 0x04, (), "multicast"),
        (4, 0x01, (), "connect"),
        (4, 0x02, (), "bind"),
        (4, 0xF0, (), "resolve"),
        (5, 0x05, ("hev",), "udp"),
        (5, 0xF3, ("gost",), "udp"),
        (5, 0x05, (), None),
        (5, 0xF3, (), None),
        (5, 0x05, ("gost",), None),
        (5, 0xF3, ("hev",), None),
        (4, 0x05, ("hev", "gost"), None),
        (4, 0xF3, ("hev", "gost"), None),
        (4, 0x03, (), None),
        (4, 0xF1, (), None),
        (6, 0x00, (), "noop"),
        (6, 0x01, (), "connect"),
        (6, 0x02, (), "bind"),
        (6, 0x03, (), "udp"),
        (6, 0x05, ("hev", "gost"), None),
        (6, 0xF0, ("hev", "gost"), None),
        (5, 0x00, ("hev", "gost"), None),
        (6, 0x04, ("hev", "gost"), None),
        (5, 0x10, ("hev", "gost"), None),
        (5, 0xF2, ("hev", "gost"), None),
        (5, 0xFF, ("hev", "gost"), None),
    ],
)
def test_whichCommand(
    version: int, command: int, tunnels: tuple[str, ...], name: str | None
) -> None:
    """By version and number; UDP in TCP only where the listener names it."""
    known = DIALECTS[f"socks{version}"].commands
    if name is None:
        with pytest.raises(CommandNotSupported) as raised:
            commandFor(known, command, frozenset(tunnels))
        assert raised.value.reply == 7
    else:
        assert commandFor(known, command, frozenset(tunnels)).name == name


@pytest.mark.parametrize("tunnels", [(), ("hev", "gost"), ("connect-udp",)])
def test_connectUDP(tunnels: tuple[str, ...]) -> None:
    """Where no listener names it, HTTP has a status of its own for that: 501."""
    known = DIALECTS["http"].commands
    (code,) = [code for code, word in known.items() if word == "connect-udp"]
    if "connect-udp" in tunnels:
        assert commandFor(known, code, frozenset(tunnels)).name == "udp"
    else:
        with pytest.raises(CommandNotSupported) as raised:
            commandFor(known, code, frozenset(tunnels))
        assert raised.value.reason == "not-implemented"
