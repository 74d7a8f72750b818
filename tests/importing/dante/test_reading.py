"""
What a Dante server's file says of its host.
"""

from __future__ import annotations

import tomllib
from typing import Any

from socksgw.importing.dante.writing import draftOf
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host

HEAD = "internal: 10.0.0.1 port = 1080\nexternal: 10.0.0.1\nsocksmethod: none\n"
CLIENTS = "client pass { from: 10.0.0.0/8 to: 0/0 }\n"
HOST = Host(
    lambda name: ["10.0.0.1", "fd00::1"] if name == "eth7" else [],
    {"staff": ["alice"]}.get,
    lambda name: None,
)


def drafted(text: str, host: Host = HOST) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    draft = draftOf(text, host)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def told(draft: Draft) -> dict[str, str]:
    """What is not the same, by what is said."""
    return {each.said: each.why for each in draft.left}


def test_interfaces() -> None:
    """Their addresses are those of this host; one that is not there is told."""
    text = "internal: eth7 port = 1085\nexternal: eth8\nsocksmethod: none\n"
    made, draft = drafted(text + CLIENTS)
    assert [each["address"] for each in made["listen"]] == [
        ["10.0.0.1:1085"], ["[fd00::1]:1085"],
    ]  # fmt: skip
    assert "external: eth8" in told(draft)


def test_linkLocal() -> None:
    """Such an address is listened on at its interface alone, which is told."""
    host = HOST._replace(interface=lambda _: ["10.0.0.1", "fe80::1"])
    text = "internal: eth7 port = 1085\nexternal: eth7\nsocksmethod: none\n"
    made, draft = drafted(text + CLIENTS, host)
    assert [each["address"] for each in made["listen"]] == [["10.0.0.1:1085"]]
    assert made["listen"][0]["leave_by"] == ["10.0.0.1"]
    assert 'device = "eth7"' in told(draft)["internal: eth7"]


def test_groups() -> None:
    """Their members are those of this host."""
    rules = "socks pass { from: 0/0 to: 0/0\n group: staff\n}\n"
    made, draft = drafted(HEAD.replace("none", "username") + CLIENTS + rules)
    assert made["groups"] == {"staff": ["alice"]}
    assert made["rule"][0]["who"] == ["@staff"]
    assert told(draft)["group: staff"] == "its members are those of today"
