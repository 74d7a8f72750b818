"""
Which lines are wanted.
"""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from socksgw.records.criteria import EVERYTHING, Criteria

WHO = {"session": 4, "listener": "lan", "client": "10.1.2.3:4000", "protocol": "socks5"}
LINES: dict[str, dict[str, Any]] = {
    "allowed": {
        "event": "decision", **WHO, "user": "alice", "method": "userpass",
        "command": "connect", "asked": "WWW.Example.COM", "name": "www.example.com",
        "port": 443, "verdict": "allow", "rule": "web", "why": "",
        "addresses": ["192.0.2.1", "192.0.2.2"], "groups": ["staff"],
        "rules": ["web", "two"], "tag": "job-7", "ticket": "T-1", "via": "a, b1|b2",
        "policy": "0123456789ab", "fingerprint": "5a" * 32, "serial": "0A",
    },
    "denied": {
        "event": "decision", **WHO, "session": 41, "user": "bob", "method": "none",
        "command": "connect", "asked": "10.9.8.7", "name": None, "port": 22,
        "verdict": "deny", "rule": "default", "why": "no rule allows it",
        "addresses": ["10.9.8.7"], "reply": 2, "reason": "policy",
    },
    "six": {
        "event": "flow", **WHO, "client": "[2001:db8::5]:9", "listener": "six",
        "user": "carol", "method": "none", "command": "udp", "asked": "2001:db8::7",
        "name": None, "port": 53, "verdict": "allow", "rule": "dns", "why": "",
        "addresses": ["2001:db8::7"],
    },
    "failed": {
        "event": "login-failed", **WHO, "method": "userpass", "claimed": "alice",
        "reason": "wrong-credentials", "why": "x",
    },
    "refused": {
        "event": "refused", **WHO, "client": "127.0.0.1:0", "uid": 1000, "pid": 7,
        "reason": "protocol", "why": "", "command": "connect",
        "asked": "WWW.EXAMPLE.COM", "port": 80, "reply": 0,
    },
    "refusals": {
        "event": "refusals", "source": "10.1.2.9", "count": 3,
        "reasons": {"throttled": 3},
    },
    "denials": {
        "event": "denials", "source": "2001:db8::/64", "user": "dave", "rule": "web",
        "count": 5, "reasons": {"policy": 5}, "first": "udp a.example:53",
        "last": "[2001:db8::7]:22",
    },
    "end": {
        "event": "end", "session": 4, "address": "192.0.2.1", "bound": None, "sent": 1,
        "received": 2, "seconds": 0.1, "reason": "closed", "reply": 0,
        "path": "a, b2", "application": "tls", "server_name": "www.example.com",
    },
    "upstream": {
        "event": "upstream", "upstream": "a", "state": "ejected", "why": "3 in a row",
    },
    "problem": {"event": "stores", "problems": ['users:3: "*" is no hash']},
}  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [*LINES]),
        ({"user": ("alice",)}, ["allowed", "failed"]),
        ({"user": ("alice", "bob")}, ["allowed", "denied", "failed"]),
        ({"user": ("*ar*",)}, ["six"]),
        ({"user": ("ALICE",)}, []),
        ({"group": ("staff",)}, ["allowed"]),
        ({"client": ("10.1.2.3",)}, ["allowed", "denied", "failed"]),
        ({"client": ("10.1.0.0/16",)}, ["allowed", "denied", "failed", "refusals"]),
        ({"client": ("10.1.2.8/30",)}, ["refusals"]),
        ({"client": ("2001:db8::/32",)}, ["six", "denials"]),
        ({"client": ("0.0.0.0/0",)}, ["allowed", "denied", "failed", "refusals"]),
        ({"client": ("uid:1000",)}, ["refused"]),
        ({"client": ("127.0.0.1",)}, []),
        ({"listener": ("six",)}, ["six"]),
        ({"rule": ("web",)}, ["allowed", "denials"]),
        ({"rule": ("two",)}, ["allowed"]),
        ({"tag": ("job-*",)}, ["allowed"]),
        ({"ticket": ("T-1",)}, ["allowed"]),
        ({"policy": ("0123*",)}, ["allowed"]),
        ({"fingerprint": ("5a" * 32,), "serial": ("0A", "0B")}, ["allowed"]),
        ({"serial": ("0B",)}, []),
        ({"upstream": ("b2",)}, ["allowed", "end"]),
        ({"upstream": ("a",)}, ["allowed", "end", "upstream"]),
        ({"reason": ("throttled",)}, ["refusals"]),
        ({"application": ("tls",)}, ["end"]),
        ({"server_name": ("*.example.com",)}, ["end"]),
        ({"to": ("www.example.com",)}, ["allowed", "refused"]),
        ({"to": ("WWW.example.com.",)}, ["allowed", "refused"]),
        ({"to": ("www.example.com:443",)}, ["allowed"]),
        ({"to": ("*.example",)}, ["denials"]),
        ({"to": ("a.example:53",)}, ["denials"]),
        ({"to": (":22",)}, ["denied", "denials"]),
        ({"to": ("10.9.8.7",)}, ["denied"]),
        ({"to": ("10.0.0.0/8",)}, ["denied"]),
        ({"to": ("192.0.2.2",)}, ["allowed"]),
        ({"to": ("192.0.2.1",)}, ["allowed", "end"]),
        ({"to": ("2001:db8::7",)}, ["six", "denials"]),
        ({"to": ("2001:DB8:0::7",)}, ["six", "denials"]),
        ({"to": ("[2001:db8::7]:53",)}, ["six", "denials"]),
        ({"to": ("2001:db8::/32",)}, ["six", "denials"]),
        ({"verdict": "allow"}, ["allowed", "six"]),
        ({"verdict": "deny"}, ["denied", "failed", "refused", "refusals", "denials"]),
        ({"user": ("alice",), "verdict": "deny"}, ["failed"]),
        ({"event": ("end", "stores")}, ["end", "problem"]),
        ({"session": 4}, ["allowed", "six", "failed", "refused", "end"]),
        ({"where": (("port", "22"),)}, ["denied"]),
        ({"where": (("name", "null"), ("port", "5*"))}, ["six"]),
        ({"text": 'is "*"'}, []),
        ({"text": '"*" is'}, ["problem"]),
        ({"text": "in a row"}, ["upstream"]),
        ({"method": ("none",), "command": ("udp",)}, ["six"]),
        ({"since": "2026-11-28T00:00:00.000Z"}, []),
        ({"until": "2026-11-27T00:00:00.000Z"}, []),
    ],
)  # fmt: skip
def test_wanted(wanted: dict[str, Any], found: list[str]) -> None:
    """
    By what the line says; and the octets are in each line that is wanted, since others
    are not read.
    """
    matcher = Criteria(**wanted).matcher()
    for each in (matcher, pickle.loads(pickle.dumps(matcher))):
        matching = []
        for name, fields in LINES.items():
            line = {"n": 1, "time": "2026-11-27T00:00:00.000Z", **fields}
            octets = json.dumps(line, separators=(",", ":")).encode("ascii")
            if each.matches(line):
                matching.append(name)
                for kind in each.needles:
                    assert any(needle in octets for needle in kind), (name, kind)
        assert matching == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"client": ("10.1",)}, "neither an address"),
        ({"client": ("host.example",)}, "neither an address"),
        ({"to": ("10.0.0.0/33",)}, "not a network"),
        ({"to": ("a.example:70000",)}, "65535"),
    ],
)
def test_whatCannotBe(wanted: dict[str, Any], said: str) -> None:
    """It is told before anything is read."""
    with pytest.raises(ValueError, match=said):
        Criteria(**wanted).matcher()


def test_everything() -> None:
    """Nobody looks for octets then."""
    matcher = EVERYTHING.matcher()
    assert matcher.everything
    assert not matcher.needles
    assert not Criteria(since="2026").matcher().everything
