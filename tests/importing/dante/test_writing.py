"""
What is written of a Dante server's file.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

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


def drafted(text: str) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    draft = draftOf(text, HOST)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def told(draft: Draft) -> dict[str, str]:
    """What is not the same, by what is said."""
    return {each.said: each.why for each in draft.left}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # All of it comes back.
        (
            "socks pass { from: 0/0 to: 0/0 }",
            [(["connect", "udp", "bind"], None, None)],
        ),
        # Answers would come to the client's port.
        ("socks pass { from: 0/0 to: 0/0 port = 443 }", [(["connect"], None, [443])]),
        # A later rule is not asked about datagrams that an earlier one let pass.
        (
            "socks pass { from: 0/0 to: 0/0 port = 53\n command: udpassociate\n}\n"
            "socks block { from: 10.9.0.0/16 to: 0/0\n command: udpreply\n}\n"
            "socks pass { from: 0/0 to: 0/0\n protocol: udp\n}",
            [
                (False, ["10.9.0.0/16"], [53]),
                (["udp"], None, [53]),
                (False, None, [53]),
                (False, ["10.9.0.0/16"], None),
                (["udp"], None, None),
            ],
        ),
    ],
)
def test_datagrams(rules: str, expected: list[Any]) -> None:
    """They may go where answers come back from."""
    made, draft = drafted(HEAD + CLIENTS + rules)
    found = [
        (each.get("allow", False), each.get("to"), each.get("ports"))
        for each in made["rule"]
    ]
    assert found == expected
    assert not draft.isWider


def test_datagramsWithoutAnswers() -> None:
    """They are told."""
    _, draft = drafted(HEAD + CLIENTS + "socks pass { from: 0/0 to: 0/0 port = 443 }")
    assert told(draft)["socks pass"].startswith("udp is left out: no rule lets")


def test_expectations() -> None:
    """
    Who may not come in is tried a few times, whatever the rules of requests say; each
    rule that blocks is tried by somebody whom it is about.
    """
    found, _ = drafted(
        HEAD
        + "client block { from: 10.0.5.0/24 to: 0/0 }\n"
        + CLIENTS
        + "socks block { from: 0/0 to: 10.1.0.0/16 port = 25 }\n"
        + "".join(
            f"socks pass {{ from: 0/0 to: 10.{i}.0.0/16 port = 443 }}\n"
            for i in range(20, 40)
        )
    )
    denied = [
        (each["from"], each["to"])
        for each in found["expect"]
        if each["verdict"] == "deny"
    ]
    assert len([source for source, _ in denied if source == "10.0.5.1"]) <= 6
    assert ("10.0.0.1", "10.1.0.1:25") in denied
    allowed = {each["to"] for each in found["expect"] if each["verdict"] == "allow"}
    assert {f"10.{i}.0.1:443" for i in range(20, 40)} <= allowed
