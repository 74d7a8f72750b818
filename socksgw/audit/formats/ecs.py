"""
The Elastic Common Schema, version 8.17.

What has no field in it stands below C{socksgw}, as the schema asks of custom fields.
"""

from __future__ import annotations

from typing import Any, Final

from socksgw.audit.formats.facts import (
    ENDS,
    REQUESTS,
    Fields,
    Origin,
    addressOf,
    ipVersion,
    placeOf,
    severity,
    succeeded,
    told,
    transport,
)
from socksgw.wire.bounded import document

__all__ = ["ecs"]

#: Octets of the longest document.
_MOST: Final = 7168
_LEVELS: Final = {2: "critical", 3: "error", 4: "warning", 5: "notice", 6: "info"}
#: Ours that the schema has fields for.
_MAPPED: Final = frozenset({
    "n", "time", "event", "hash", "client", "user", "claimed", "port", "rule",
    "groups", "address", "sent", "received", "seconds", "reason", "application",
    "server_name", "name", "source", "policy", "tls_version", "tls_group", "fingerprint",
    "serial",
})  # fmt: skip


def _side(host: str, port: int | None, name: str | None = None) -> dict[str, Any]:
    """Return one end of a connection; empty where nothing is known of it."""
    side: dict[str, Any] = {}
    if host or name:
        side["address"] = name or host
    if host:
        if ipVersion(host):
            side["ip"] = host
    if name:
        side["domain"] = name
    if side and port is not None:
        side["port"] = port
    return side


def _event(fields: Fields, kind: str) -> dict[str, Any]:
    success = succeeded(fields)
    event: dict[str, Any] = {
        "kind": "event",
        "module": "socksgw",
        "dataset": "socksgw.audit",
        "action": kind,
        "sequence": fields["n"],
        "severity": severity(fields),
    }
    if fields.get("hash"):
        event["id"] = fields["hash"]
    if success is not None:
        event["outcome"] = "success" if success else "failure"
    if fields.get("reason"):
        event["reason"] = fields["reason"]
    if kind == "login-failed":
        event["category"], event["type"] = ["authentication"], ["start"]
    elif success is None:
        event["category"], event["type"] = ["process"], ["info"]
    else:
        event["category"] = ["network"]
        if kind in ENDS:
            event["type"] = ["connection", "end"]
        elif success:
            event["type"] = ["connection", "start", "allowed"]
        else:
            event["type"] = ["connection", "denied"]
    if fields.get("seconds") is not None:
        # By a fraction: a list times a whole number is a longer list.
        event["duration"] = round(fields["seconds"] * 1e9)
    return event


def _ends(fields: Fields, kind: str, document: dict[str, Any]) -> None:
    """Add both ends of a session, and the network between them."""
    source = _side(*placeOf(fields.get("client") or fields.get("source")))
    destination: dict[str, Any] = {}
    if kind in REQUESTS or kind in ENDS or kind == "peer":
        host, port = placeOf(fields.get("address"))
        host = addressOf(fields) or host
        name = fields.get("name")
        destination = _side(host, fields.get("port", port), name)
        document["network"] = {
            "transport": transport(fields),
            "direction": "inbound" if kind == "peer" else "outbound",
        }
        if fields.get("application"):
            document["network"]["protocol"] = fields["application"]
    # Whoever else has written a line may have them in one that has no destination.
    if "sent" in fields and "network" in document:
        sent, received = fields["sent"], fields["received"]
        source["bytes"], destination["bytes"] = sent, received
        document["network"]["bytes"] = sent + received
    if source:
        document["source"] = source
    if destination:
        document["destination"] = destination


def _tls(fields: Fields) -> dict[str, Any]:
    """Return what is known of TLS with the client, or of that which it carries."""
    found: dict[str, Any] = {}
    version = fields.get("tls_version")
    if version:
        found["version_protocol"] = "tls"
        found["version"] = version.removeprefix("TLSv")
    if fields.get("tls_group"):
        found["curve"] = fields["tls_group"]
    client: dict[str, Any] = {}
    if fields.get("server_name") and fields.get("application") != "http":
        client["server_name"] = fields["server_name"]
    if fields.get("fingerprint"):
        client["hash"] = {"sha256": fields["fingerprint"].upper()}
    if fields.get("serial"):
        client["x509"] = {"serial_number": fields["serial"]}
    if client:
        found["client"] = client
    return found


def ecs(fields: Fields, origin: Origin) -> bytes:
    """
    Return a line of the journal as a document of ECS: JSON in ASCII, no line feed.

    It has 7,168 octets at most; texts and lists in it are shortened for that.
    """
    kind = fields["event"]
    event: dict[str, Any] = {
        "@timestamp": fields["time"],
        "ecs": {"version": "8.17.0"},
        "event": _event(fields, kind),
        "message": told(fields),
        "log": {"level": _LEVELS[severity(fields)]},
        "observer": {
            "name": origin.gateway,
            "type": "proxy",
            "product": "socksgw",
            "vendor": "socksgw",
            "version": origin.version,
        },
    }
    _ends(fields, kind, event)
    user = fields.get("user") or fields.get("claimed")
    if user:
        event["user"] = {"name": user}
        if fields.get("groups"):
            event["user"]["group"] = [{"name": each} for each in fields["groups"]]
    rule = {"id": fields.get("rule"), "version": fields.get("policy")}
    if any(rule.values()):
        event["rule"] = {key: value for key, value in rule.items() if value}
    if fields.get("server_name") and fields.get("application") == "http":
        event["url"] = {"domain": fields["server_name"]}
    tls = _tls(fields)
    if tls:
        event["tls"] = tls
    event["socksgw"] = {k: v for k, v in fields.items() if k not in _MAPPED}
    return document(event, _MOST)
