"""
A line of the journal, for tests of what people read.
"""

from __future__ import annotations

from typing import Any

DECISION: dict[str, Any] = {
    "event": "decision",
    "n": 17,
    "session": 1,
    "listener": "lan",
    "client": "127.0.0.1:4000",
    "protocol": "socks5",
    "user": "anonymous",
    "method": "none",
    "command": "connect",
    "asked": "192.168.1.1",
    "name": None,
    "port": 80,
    "verdict": "deny",
    "rule": "no-private",
    "why": "a rule denies it",
    "addresses": [],
}
