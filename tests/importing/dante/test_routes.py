"""
By which proxies CONNECT leaves: as danted 1.4.2 does it.
"""

from __future__ import annotations

import tomllib
from typing import Any

from socksgw.importing.dante.writing import draftOf
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host

PASSED = """\
internal: 10.0.0.1 port = 1080
external: 10.0.0.1
socksmethod: username none
client pass { from: 10.0.0.0/8 to: 0/0 }
"""
ALL = "socks pass { from: 0/0 to: 0/0 }\n"
HOST = Host(lambda name: [], lambda name: None, lambda name: None)


def drafted(text: str) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    draft = draftOf(PASSED + text, HOST)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def told(draft: Draft) -> dict[str, str]:
    """What is not the same, by what is said."""
    return {each.said: each.why for each in draft.left}


def route(to: str, via: str, *more: str) -> str:
    """A block."""
    return "\n".join([f"route {{ from: 0/0 to: {to} via: {via}", *more, "}\n"])


def test_theOrder() -> None:
    """A direct one first, then SOCKS 4, 5 and HTTP, whatever the order of the file."""
    made, draft = drafted(
        ALL
        + route("0/0", "10.9.0.1 port = 8080", "proxyprotocol: http")
        + route("10.2.0.0/16", "10.9.0.2 port = 1080", "proxyprotocol: socks_v5")
        + route("10.3.0.0/16", "old.example port = 1080", "proxyprotocol: socks_v4")
        + route("10.2.7.0/24", "direct")
    )
    assert [each["url"] for each in made["upstream"]] == [
        "socks4a://old.example:1080",
        "socks5://10.9.0.2:1080",
        "http://10.9.0.1:8080",
    ]
    found = [
        (each.get("to"), each.get("via"))
        for each in made["rule"]
        if "connect" in each["allow"]
    ]
    assert found == [
        (["10.2.7.0/24"], None),
        (["10.3.0.0/16"], ["route-12"]),
        (["10.2.0.0/16"], ["route-9"]),
        (None, ["route-6"]),
    ]
    assert not draft.isWider


def test_whatNoneIsFor() -> None:
    """It is refused; so are datagrams. BIND is not asked about."""
    made, draft = drafted(ALL + route("10.2.0.0/16", "direct"))
    assert {word for each in made["rule"] for word in each.get("allow", ())} == {
        "connect",
        "bind",
    }
    assert [each["to"] for each in made["rule"] if "connect" in each["allow"]] == [
        ["10.2.0.0/16"]
    ]
    assert "so is UDP" in told(draft)["route"]


def test_logins() -> None:
    """What the client has shown is handed on, where the route says so."""
    made, draft = drafted(
        ALL
        + route(
            "0/0",
            "10.9.0.2 port = 1080",
            "proxyprotocol: socks_v5",
            "method: username none gssapi",
            "gssapi.servicename: socks",
        )
    )
    (upstream,) = made["upstream"]
    assert upstream["pass_through"]
    assert upstream["cleartext_passwords"]
    assert {each.said for each in draft.left} >= {
        "route: method",
        "route: gssapi.servicename",
    }


def test_whatIsNoProxyHere() -> None:
    """What it is for is refused: nothing leaves directly instead."""
    made, draft = drafted(ALL + route("0/0", "broadcast", "proxyprotocol: upnp"))
    assert "upstream" not in made
    assert all("connect" not in each.get("allow", ()) for each in made.get("rule", ()))
    assert any("not spoken here" in each.why for each in draft.left)


def test_names() -> None:
    """A rule and a route by names meet where these are the same, or one is for all."""
    made, _ = drafted(
        "socks pass { from: 0/0 to: .a.example }\nsocks pass { from: 0/0 to: 10.0.0.0/8 }\n"
        + route(".a.example", "10.9.0.2 port = 1080")
    )
    found = [
        (each["to"], each.get("via"))
        for each in made["rule"]
        if "connect" in each.get("allow", ())
    ]
    assert found == [([".a.example"], ["route-7"])]
