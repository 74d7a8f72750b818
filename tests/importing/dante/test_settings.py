"""
What is written besides the rules.
"""

from __future__ import annotations

import tomllib
from typing import Any

from socksgw.importing.dante.writing import draftOf
from socksgw.importing.draft import Draft
from socksgw.importing.host import Host

RULES = """\
client pass { from: 10.0.0.0/8 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
"""
HOST = Host(
    {"eth7": ["10.0.0.1", "fd00::1"], "eth8": ["10.8.0.1", "fd00::8"]}.__getitem__,
    lambda name: None,
    lambda name: None,
)


def drafted(settings: str, rules: str = RULES) -> tuple[dict[str, Any], Draft]:
    """What is written, and the draft."""
    text = f"internal: eth7 port = 1080\n{settings}\nsocksmethod: none\n{rules}"
    draft = draftOf(text, HOST)
    return tomllib.loads("\n".join(draft.lines("x"))), draft


def test_times() -> None:
    """As Dante waits by itself, or as the file says."""
    made, _ = drafted("external: eth8")
    assert made["timeouts"] == {"handshake": "30s", "connect": "30s"}
    made, _ = drafted(
        "external: eth8\ntimeout.io: 90\ntimeout.io.udp: 7\ntimeout.connect: 5\n"
        "timeout.negotiate: 0"
    )
    assert made["timeouts"] == {
        "handshake": "30s",
        "connect": "5s",
        "idle": "90s",
        "udp_idle": "7s",
    }


def test_addresses() -> None:
    """The first of each family, of the families that are wanted."""
    made, _ = drafted("external: eth8")
    assert [each["leave_by"] for each in made["listen"]] == [
        ["10.8.0.1", "fd00::8"]
    ] * 2
    made, _ = drafted(
        "external.protocol: ipv6\nexternal: eth8\ninternal.protocol: ipv4"
    )
    assert [each["leave_by"] for each in made["listen"]] == [["fd00::8"]]
    assert [each["address"] for each in made["listen"]] == [["10.0.0.1:1080"]]
    made, _ = drafted("external: eth8\nexternal.rotation: same-same")
    assert made["listen"][0]["leave_by"] == "same"


def test_logins() -> None:
    """Passwords of the system are PAM's; tickets have a keytab."""
    text = "external: eth8\nsocksmethod: gssapi username rfc931"
    draft = draftOf(
        f"internal: eth7\n{text}\n"
        "client pass { from: 10.0.0.0/8 to: 0/0 }\n"
        "socks pass { from: 0/0 to: 0/0\n gssapi.keytab: FILE:/etc/k\n"
        " pam.servicename: p\n gssapi.enctype: confidentiality\n}\n",
        HOST,
    )
    made = tomllib.loads("\n".join(draft.lines("x")))
    assert made["auth"]["gssapi"] == {"keytab": "/etc/k"}
    assert made["auth"]["kerberos_names"] == "exact"
    assert made["auth"]["checker"] == [{"kind": "pam", "service": "p"}]
    assert made["auth"]["choose"][0]["methods"] == ["gssapi", "userpass"]
    assert made["rule"][0]["secured"] == ["confidentiality"]
    assert any(each.said == "rfc931" for each in draft.left)


def test_limitsOfClients() -> None:
    """One rule of clients that passes limits everybody; more of them cannot."""
    passes = "client pass { from: 10.0.0.0/8 to: 0/0\n session.max: 9\n}\n"
    made, draft = drafted("external: eth8", passes + RULES.partition("\n")[2])
    assert made["limit"] == [{"per": "all", "sessions": 9}]
    assert not draft.isWider
    made, draft = drafted("external: eth8", passes.replace("10.", "11.") + RULES)
    assert "limit" not in made
    assert draft.isWider


def test_protocols() -> None:
    """A listener's, where all rules say the same."""
    rule = "socks pass { from: 0/0 to: 0/0\n proxyprotocol: socks_v5\n}\n"
    made, draft = drafted("external: eth8", RULES.partition("\n")[0] + "\n" + rule)
    assert made["listen"][0]["protocols"] == ["socks5"]
    assert not draft.isWider
    _, draft = drafted("external: eth8", RULES + rule)
    assert draft.isWider


def test_clientMethods() -> None:
    """Nobody can be asked before; rules that want it are left out."""
    made, draft = drafted("external: eth8\nclientmethod: rfc931")
    assert "rule" not in made
    assert "choose" not in made.get("auth", {})
    assert any("before they speak SOCKS" in each.why for each in draft.left)
    assert not draft.isWider
