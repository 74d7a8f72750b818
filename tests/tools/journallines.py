"""
Lines of a journal, as programs that follow it get them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from socksgw.audit.catalogue import CATALOGUE, COMMON

__all__ = ["LINES", "line", "ofEvery"]

_CLIENT: Final = {
    "session": 7,
    "listener": "lan",
    "client": "192.0.2.7:40000",
    "protocol": "socks5",
}
_DECISION: Final = _CLIENT | {
    "user": "alice",
    "method": "userpass",
    "command": "connect",
    "asked": "db.corp.example",
    "name": "db.corp.example",
    "port": 443,
    "verdict": "allow",
    "rule": "engineers",
    "why": "the rule allows it",
    "addresses": ["198.51.100.3", "2001:db8::3"],
    "groups": ["engineers", "staff"],
}
_DENIED: Final = {"verdict": "deny", "reply": 2, "reason": "policy", "addresses": []}
_LITERAL: Final = {"asked": "2001:db8::9", "name": None, "addresses": ["2001:db8::9"]}
_END: Final = {
    "session": 7,
    "address": "198.51.100.3",
    "bound": "203.0.113.1:50000",
    "sent": 1200,
    "received": 88000,
    "seconds": 2.125,
    "reason": "closed",
    "reply": 0,
}
_FLOWEND: Final = {
    "session": 7,
    "address": "[2001:db8::3]:53",
    "sent": 60,
    "sent_datagrams": 1,
    "received": 120,
    "received_datagrams": 2,
    "seconds": 0.25,
    "reason": "idle",
}


def line(event: str, **fields: Any) -> dict[str, Any]:
    """Return a line of an event with these fields."""
    return {
        "v": 1,
        "n": 17,
        "time": "2026-11-28T02:14:15.003456Z",
        "event": event,
        **fields,
        "hash": "5a" * 32,
    }


#: Lines about clients, one for each case that a format tells apart.
LINES: Final[Mapping[str, Mapping[str, Any]]] = {
    "allowed": line("decision", **_DECISION),
    "in TLS": line(
        "decision",
        **_DECISION,
        policy="0123456789ab",
        secured="confidentiality",
        tls_version="TLSv1.3",
        tls_group="X25519",
        fingerprint="5a" * 32,
        serial="0A1B",
    ),
    "denied": line("decision", **_DECISION | _DENIED | {"rule": None}),
    "literal": line("decision", **_DECISION | _LITERAL),
    "resolve": line("decision", **_DECISION | {"command": "resolve", "port": 0}),
    "closed": line("end", **_END),
    "reset": line("end", **_END | {"reason": "destination-reset"}),
    "failed": line("end", **_END | {"reason": "refused", "reply": 5, "bound": None}),
    "undialled": line(
        "end", **_END | {"reason": "internal", "reply": 1, "address": None}
    ),
    "flow": line("flow", **_DECISION | {"command": "udp", "port": 53}),
    "flow denied": line("flow", **_DECISION | _DENIED | {"command": "udp"}),
    "flow ended": line("flow-end", **_FLOWEND),
    "flow of a name": line("flow-end", **_FLOWEND | {"address": "dns.corp.example:53"}),
    "peer": line(
        "peer",
        **_CLIENT,
        user="alice",
        address="198.51.100.20:20",
        bound="203.0.113.1:50000",
    ),
    "refused": line("refused", **_CLIENT, reason="protocol", why="no SOCKS", wanted=[]),
    "refused at login": line(
        "refused", **_CLIENT, reason="no-acceptable-method", offered=[0], reply=255
    ),
    "login failed": line(
        "login-failed",
        **_CLIENT,
        method="userpass",
        claimed="mallory",
        reason="wrong-credentials",
        why="wrong user or password",
    ),
    "local": line("refused", **_CLIENT | {"client": "127.0.0.1:0"}, reason="tls"),
    "refusals": line("refusals", source="192.0.2.0", count=40, reasons={"tls": 40}),
    "refusals of many": line("refusals", source=None, count=9, reasons={"tls": 9}),
    "refusals of a user": line("refusals", source="uid:1000", count=2, reasons={}),
    "denials": line(
        "denials",
        source="2001:db8:7::/64",
        user="alice",
        rule="web",
        count=3,
        reasons={"policy": 3},
        first="a.example:1",
        last="b.example:2",
    ),
    "flows refused": line("flows-refused", **_CLIENT, why="flows"),
}


def ofEvery() -> list[dict[str, Any]]:
    """
    Return a line of every event of the catalogue, with all fields that it may have.

    Their values are texts, but where programs count with them.
    """
    numbers = {"n", "v", "session", "port", "sent", "received", "seconds", "count"}
    texts = {
        "verdict": "deny",
        "client": "192.0.2.7:40000",
        "address": "198.51.100.3",
        "addresses": ["198.51.100.3"],
        "problems": ["gw.toml:3: wrong"],
        "groups": ["staff"],
        "bound": "203.0.113.1:50000",
        "told": {"alpn": "h2"},
        "reasons": {"tls": 1},
    }
    lines = []
    for event, names in CATALOGUE.items():
        fields = {
            name: texts.get(name, 3 if name in numbers or "datagrams" in name else "x")
            for name in names
            if name not in COMMON
        }
        lines.append(line(event, **fields))
    return lines
