"""
The Open Cybersecurity Schema Framework, version 1.5.0.

Requests, flows and their ends are of the class Network Activity (4001), logins that
failed of the class Authentication (3002), both with the profiles C{host} and
C{security_control}, those of the network with C{network_proxy}, too. Events that are not about a client have no class here.
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
    milliseconds,
    placeOf,
    severity,
    succeeded,
    told,
    transport,
)
from socksgw.wire.bounded import document, shortened

__all__ = ["ocsf"]

#: Version of the schema; the classes are the same in later ones of 1.
_VERSION: Final = "1.5.0"
#: Octets of the longest document.
_MOST: Final = 7168
#: Characters of the longest name.
_LONGEST: Final = 255

_AUTHENTICATION, _NETWORK = 3002, 4001
_CLASSES: Final = {
    _AUTHENTICATION: ("Authentication", 3, "Identity & Access Management"),
    _NETWORK: ("Network Activity", 4, "Network Activity"),
}
_PROFILES: Final = {
    _AUTHENTICATION: ["host", "security_control"],
    _NETWORK: ["host", "network_proxy", "security_control"],
}
_OPEN, _CLOSE, _RESET, _FAIL, _REFUSE = 1, 2, 3, 4, 5
_ACTIVITIES: Final = {1: "Open", 2: "Close", 3: "Reset", 4: "Fail", 5: "Refuse"}
_REFUSED: Final = ("refused", "refusals", "denials", "flows-refused")
#: Reasons of refusals that are about the client's login.
_LOGIN: Final = ("no-acceptable-method", "login-wanted", "certificate")
#: C{severity_id} and its word, by that of RFC 5424.
_SEVERITIES: Final = {
    2: (5, "Critical"), 3: (4, "High"), 4: (3, "Medium"), 5: (2, "Low"),
    6: (1, "Informational"),
}  # fmt: skip
#: C{auth_protocol_id} and its word, by our method.
_METHODS: Final = {
    "gssapi": (2, "Kerberos"),
    "userpass": (7, "PAP"),
    "chap": (8, "CHAP"),
}
#: Ours that the classes have attributes for.
_MAPPED: Final = frozenset({
    "v", "n", "time", "event", "client", "user", "name", "port", "verdict", "rule",
    "why", "groups", "address", "bound", "sent", "received", "seconds", "reason",
    "sent_datagrams", "received_datagrams", "count", "claimed", "source",
})  # fmt: skip


def _endpoint(host: str, port: int | None, name: str | None = None) -> dict[str, Any]:
    """Return an endpoint, empty where nothing is known of it."""
    found: dict[str, Any] = {}
    if host:
        found["ip" if ipVersion(host) else "name"] = shortened(host, _LONGEST)
    if name:
        found["hostname"] = shortened(name, _LONGEST)
    if found and port is not None:
        found["port"] = port
    return found


def _user(fields: Fields) -> dict[str, Any]:
    user: dict[str, Any] = {
        "name": shortened(fields.get("user") or fields.get("claimed") or "?", _LONGEST)
    }
    if fields.get("groups"):
        user["groups"] = [{"name": each} for each in fields["groups"]]
    return user


def _activity(fields: Fields) -> int:
    """Return the number of what has happened in the network."""
    event = fields["event"]
    if event in _REFUSED:
        return _REFUSE
    success = succeeded(fields)
    if event in ENDS:
        if not success:
            return _FAIL
        return _RESET if fields.get("reason", "").endswith("-reset") else _CLOSE
    return _OPEN if success else _REFUSE


def _common(fields: Fields, origin: Origin, kind: int, activity: int) -> dict[str, Any]:
    """Return the attributes that events of both classes have."""
    name, category, categoryName = _CLASSES[kind]
    number, word = _SEVERITIES[severity(fields)]
    success = succeeded(fields)
    metadata = {
        "version": _VERSION,
        "product": {
            "name": "socksgw",
            "vendor_name": "socksgw",
            "version": origin.version,
        },
        "profiles": _PROFILES[kind],
        "log_name": "audit",
        "event_code": fields["event"],
        "sequence": fields["n"],
        "original_time": fields["time"],
    }
    if fields.get("hash"):
        metadata["uid"] = fields["hash"]
    if "session" in fields:
        metadata["correlation_uid"] = str(fields["session"])
    event: dict[str, Any] = {
        "class_uid": kind,
        "class_name": name,
        "category_uid": category,
        "category_name": categoryName,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "severity_id": number,
        "severity": word,
        "time": milliseconds(fields["time"]),
        "status_id": 1 if success else 2,
        "status": "Success" if success else "Failure",
        "message": told(fields),
        "metadata": metadata,
        "device": {"type_id": 0, "type": "Unknown", "name": origin.gateway},
    }
    if fields.get("reason"):
        event["status_code"] = fields["reason"]
    if fields.get("why"):
        event["status_detail"] = shortened(fields["why"], 1024)
    if "count" in fields:
        event["count"] = fields["count"]
    return event


def _decided(event: dict[str, Any], fields: Fields) -> None:
    """Add what the policy has decided."""
    allowed = succeeded(fields)
    event["action_id"] = 1 if allowed else 2
    event["action"] = "Allowed" if allowed else "Denied"
    event["disposition_id"] = 1 if allowed else 2
    event["disposition"] = "Allowed" if allowed else "Blocked"
    if fields.get("rule"):
        event["firewall_rule"] = {"uid": fields["rule"]}
        if fields.get("policy"):
            event["firewall_rule"]["version"] = fields["policy"]


def _network(fields: Fields, origin: Origin) -> dict[str, Any]:
    activity = _activity(fields)
    event = _common(fields, origin, _NETWORK, activity)
    event["activity_name"] = _ACTIVITIES[activity]
    event["type_name"] = f"Network Activity: {_ACTIVITIES[activity]}"
    source = _endpoint(*placeOf(fields.get("client") or fields.get("source")))
    host, port = placeOf(fields.get("address"))
    host = addressOf(fields) or host
    name = fields.get("name")
    if not name and fields["event"] in (*REQUESTS, "refused") and not ipVersion(host):
        # It is no name, or was not looked up.
        name = fields.get("asked")
    destination = _endpoint(host, fields.get("port", port), name)
    version = ipVersion(host)
    inbound = fields["event"] == "peer"
    if inbound:
        # Somebody has connected to the listener of a client's BIND.
        source, destination = destination, _endpoint(*placeOf(fields.get("bound")))
    if source or not destination:
        event["src_endpoint"] = source or {"name": "unknown"}
    if destination:
        event["dst_endpoint"] = destination
    udp = transport(fields) == "udp"
    connection: dict[str, Any] = {
        "direction_id": 1 if inbound else 2,
        "direction": "Inbound" if inbound else "Outbound",
        "protocol_num": 17 if udp else 6,
        "protocol_name": "udp" if udp else "tcp",
    }
    if "session" in fields:
        connection["uid"] = str(fields["session"])
    if version:
        connection["protocol_ver_id"] = version
    event["connection_info"] = connection
    if fields.get("user"):
        event["actor"] = {"user": _user(fields)}
    if fields.get("tls_version"):
        # A certificate would need its issuer.
        event["tls"] = {"version": fields["tls_version"].removeprefix("TLSv")}
    if fields["event"] in ENDS:
        _ended(event, fields)
    else:
        _decided(event, fields)
    return event


def _ended(event: dict[str, Any], fields: Fields) -> None:
    """Add how long it was, and how much."""
    sent, received = fields.get("sent", 0), fields.get("received", 0)
    traffic = {"bytes_out": sent, "bytes_in": received, "bytes": sent + received}
    if "sent_datagrams" in fields:
        out, back = fields["sent_datagrams"], fields["received_datagrams"]
        traffic |= {"packets_out": out, "packets_in": back, "packets": out + back}
    event["traffic"] = traffic
    duration = round((fields.get("seconds") or 0) * 1e3)
    event["duration"] = duration
    event["start_time"] = event["time"] - duration
    event["end_time"] = event["time"]
    host, port = placeOf(fields.get("bound"))
    bound = _endpoint(host, port)
    if bound:
        # The gateway's own address towards the destination.
        event["proxy_endpoint"] = bound


def _login(fields: Fields, origin: Origin) -> dict[str, Any]:
    event = _common(fields, origin, _AUTHENTICATION, 1)
    event["activity_name"] = "Logon"
    event["type_name"] = "Authentication: Logon"
    event["user"] = _user(fields)
    event["service"] = {"name": f"socksgw {fields.get('listener', '')}".strip()}
    event["is_remote"] = True
    event["logon_type_id"], event["logon_type"] = 3, "Network"
    method = fields.get("method", "")
    number, word = _METHODS.get(method, (99, method or "none"))
    event["auth_protocol_id"], event["auth_protocol"] = number, word
    source = _endpoint(*placeOf(fields.get("client")))
    if source:
        event["src_endpoint"] = source
    _decided(event, fields)
    return event


def ocsf(fields: Fields, origin: Origin) -> bytes | None:
    """
    Return a line of the journal as an event of OCSF: JSON in ASCII, no line feed.

    It has 7,168 octets at most; texts and lists in it are shortened for that.

    @return: L{None} for a line that is not about a client.
    """
    kind = fields["event"]
    if kind == "login-failed" or (kind == "refused" and fields.get("reason") in _LOGIN):
        event = _login(fields, origin)
    elif succeeded(fields) is None:
        return None
    else:
        event = _network(fields, origin)
    rest = {key: value for key, value in fields.items() if key not in _MAPPED}
    rest.pop("hash", None)
    event["unmapped"] = rest
    return document(event, _MOST)
