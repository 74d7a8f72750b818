"""
The catalogue of the journal's events, and of the fields that each may have.

Every line is a JSON object in ASCII. C{socksgw/manual/records.rst} says what events
and fields mean; a test compares it with L{CATALOGUE}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["CATALOGUE", "COMMON", "EVENTS"]

#: Fields of every line, and of every line about a client.
COMMON: Final = ("v", "n", "time", "event", "worker", "hash")
_CLIENT: Final = (
    "session", "listener", "network", "client", "protocol", "uid", "pid",
)  # fmt: skip
#: Of a client in TLS.
_TLS: Final = ("tls_version", "tls_group", "fingerprint", "serial")
#: Of a client of whom a PROXY header tells.
_PROXIED: Final = ("sender", "sender_to", "told")
_DECISION: Final = (
    *_CLIENT, "user", "method", "command", "asked", "name", "port", "verdict", "rule",
    "why", "policy", "addresses", "groups", "rules", "struck", "user_id", "secured", *_TLS, "tag",
    "ticket", "grant", "inspect", "via", "judged", "decider", "said", "reports", "hint", "reply",
    "reason", *_PROXIED,
)  # fmt: skip
#: What a session was found to carry.
_FOUND: Final = (
    "application", "server_name", "ech", "alpn", "http_method", "detail", "mismatch",
    "reports",
)  # fmt: skip

#: The fields that the lines of each event may have.
CATALOGUE: Final[Mapping[str, Sequence[str]]] = {
    "start": ("gateway", "pid", "policy"),
    "handover": ("gateway", "pid", "before", "sessions", "policy"),
    "stop": ("gateway",),
    "decision": _DECISION,
    "refused": (
        *_CLIENT, "reason", "why", "wanted", "offered", "user", "method", "command",
        "claimed", "asked", "port", "user_id", "reply", "tag", *_TLS, *_PROXIED,
    ),
    "refusals": ("source", "user", "count", "reasons"),
    "denials": ("source", "user", "rule", "count", "reasons", "first", "last"),
    "login-failed": (
        *_CLIENT, "method", "claimed", "reason", "why", "tag", *_TLS, *_PROXIED,
    ),
    "groups-failed": ("checker", "user", "reason"),
    "end": (
        "session", "address", "bound", "sent", "received", "seconds", "reason", "reply",
        "strangers", "rule", "path", "path_tls", *_FOUND, "why", "ticket", "grant",
    ),
    "inspected": ("session", *_FOUND, "verdict", "rule", "why", "ticket", "grant", "decider", "said"),
    "peer": (*_CLIENT, "user", "address", "bound", "rule", "ticket", "grant"),
    "flow": (*_DECISION, "direction", "interface", "ttl", "senders"),
    "flow-end": (
        "session", "address", "sent", "sent_datagrams", "received",
        "received_datagrams", "seconds", "reason", "limited", "path", "why", "ticket", "grant",
    ),
    "flows-refused": (*_CLIENT, "why"),
    "reloaded": ("rules", "ended", "policy"),
    "reload-failed": ("problems",),
    "admin": ("who", "act", "what", "result"),
    "tls-read": ("listener", "files"),
    "tls-failed": ("listener", "problems"),
    "stores": ("problems",),
    "network": ("network", "state", "why"),
    "upstream": (
        "upstream", "network", "state", "why", "sessions", "opened", "failed",
    ),
    "grant": ("grant", "act", "by", "ticket", "allows", "until", "why"),
    "checkpoint": ("gateway", "head", "key", "signature"),
    "leave-by": ("address", "state"),
    "worker": ("state", "pid", "why"),
    "sink": ("sink", "kind", "state", "position", "behind", "missed", "aside", "why"),
    "recovered": ("octets",),
    "missing": ("from", "to"),
    "resumed": ("refused", "lost"),
}  # fmt: skip
EVENTS: Final = frozenset(CATALOGUE)
