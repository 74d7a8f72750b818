"""
What the rules of a Dante server mean: each case was asked of danted 1.4.2.
"""

from __future__ import annotations

import pytest

from socksgw.importing.dante.file import read
from socksgw.importing.dante.rules import (
    Asked,
    Client,
    Unknown,
    decided,
    placeOf,
    ruleOf,
)

ALL = "client pass { from: 0/0 to: 0/0 }\n"


def passes(
    rules: str,
    command: str,
    host: str,
    port: int = 80,
    *,
    source: str = "10.0.0.7",
    method: str = "none",
    user: str = "",
) -> bool:
    """Whether a request passes."""
    found = [ruleOf(each) for each in read(rules).blocks]
    clients = [each for each in found if each.block.kind == "client"]
    requests = [each for each in found if each.block.kind == "socks"]
    client = Client(source, ("10.0.0.1", 1080), method, user)
    asked = Asked(command, host, port)
    return decided(clients, requests, {}, ["10.0.0.1"], client, asked).passes


@pytest.mark.parametrize(
    ("rules", "command", "port", "expected"),
    [
        # Nobody comes in without a rule of clients.
        ("socks pass { from: 0/0 to: 0/0 }", "connect", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0 }", "connect", 80, True),
        (ALL + "socks pass { from: 0/0 to: 0/0\ncommand: connect\n}", "bind", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0\ncommand: connect\n}", "udp", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0\nprotocol: tcp\n}", "bind", 80, True),
        (ALL + "socks pass { from: 0/0 to: 0/0\nprotocol: tcp\n}", "udp", 80, False),
        # One without answers is of no use.
        (ALL + "socks pass { from: 0/0 to: 0/0\ncommand: udpassociate\n}", "udp", 80, False),
        # A rule whose method is not the client's does not match, also if it blocks.
        (
            ALL + "socks block { from: 0/0 to: 0/0\nsocksmethod: username\n}\n"
            "socks pass { from: 0/0 to: 0/0 }",
            "connect", 80, True,
        ),
        (ALL + "socks pass { from: 0/0 to: 0/0\nuser: root\n}", "connect", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0 port ge 81 }", "connect", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0 port != 80 }", "connect", 80, False),
        (ALL + "socks pass { from: 0/0 to: 0/0 port 80 - 81 }", "connect", 81, True),
        # No method is acceptable.
        (
            "client pass { from: 10.0.0.0/8 to: 0/0 socksmethod: username }\n"
            + ALL + "socks pass { from: 0/0 to: 0/0 }",
            "connect", 80, False,
        ),
        # The first rule of clients decides.
        (
            "client block { from: 10.0.0.0/24 to: 0/0 }\n" + ALL
            + "socks pass { from: 0/0 to: 0/0 }",
            "connect", 80, False,
        ),
        # BIND is about where Dante listens; its peer is another question.
        (ALL + "socks pass { from: 0/0 to: 10.2.0.0/16 }", "bind", 80, False),
        # It listens on a port of the kernel's choice.
        (ALL + "socks pass { from: 0/0 to: 0/0 port = 80 }", "bind", 80, False),
        (
            ALL + "socks block { from: 10.2.0.0/16 to: 0/0\ncommand: bindreply\n}\n"
            "socks pass { from: 0/0 to: 0/0 }",
            "bind", 80, False,
        ),
    ],
)  # fmt: skip
def test_decided(rules: str, command: str, port: int, expected: bool) -> None:
    """As Dante decides."""
    assert passes(rules, command, "10.2.0.9", port) == expected


@pytest.mark.parametrize(
    ("values", "covered", "not_"),
    [
        (["0/0"], [("10.0.0.1", 1), ("fd00::1", 65535)], []),
        (["0.0.0.0/0"], [("10.0.0.1", 1)], [("fd00::1", 1)]),
        (["10.0.0.5/24"], [("10.0.0.9", 1)], [("10.0.1.1", 1)]),
        (["10.0.0.5", "port", "=", "http"], [("10.0.0.5", 80)], [("10.0.0.5", 81)]),
        (["0/0", "port", "<", "2"], [("10.0.0.5", 1)], [("10.0.0.5", 2)]),
    ],
)
def test_places(values: list[str], covered: object, not_: object) -> None:
    """Networks of either version, with conditions of ports."""
    from ipaddress import ip_address

    place = placeOf(values)
    for which, expected in ((covered, True), (not_, False)):
        for host, port in which:  # type: ignore[attr-defined]
            assert place.covers(ip_address(host), port) is expected


@pytest.mark.parametrize(
    "values", [[], ["10.0.0.0/40"], ["0/0", "port"], ["0/0", "port", "=", "no-such"]]
)
def test_noPlaces(values: list[str]) -> None:
    """What is none is told."""
    with pytest.raises(Unknown):
        placeOf(values)


@pytest.mark.parametrize("host", ["10.0.0.2", "0.0.0.0", "fd00::5"])
def test_netmask(host: str) -> None:
    """
    A rule's address without a netmask is none: Dante does not start with it. Those of
    settings need none.
    """
    for pair in (f"from: {host} to: 0/0", f"from: 0/0 to: {host} port = 80"):
        (block,) = read(f"socks pass {{ {pair} }}").blocks
        with pytest.raises(Unknown, match=f"{host} has no netmask"):
            ruleOf(block)
    assert placeOf([host]).networks
