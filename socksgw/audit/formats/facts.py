"""
What the formats of other programs ask of a line of the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from attrs import frozen

from socksgw.wire.codes import DATAGRAMS

__all__ = [
    "ENDS",
    "NOTICE",
    "REQUESTS",
    "Fields",
    "Origin",
    "addressOf",
    "ipVersion",
    "milliseconds",
    "placeOf",
    "severity",
    "succeeded",
    "told",
    "transport",
]

Fields = Mapping[str, Any]

#: Events that judge a request, and events that end what was allowed.
REQUESTS: Final = ("decision", "flow")
ENDS: Final = ("end", "flow-end")

#: Severities of RFC 5424, section 6.2.1.
CRITICAL, ERROR, WARNING, NOTICE, INFORMATIONAL = 2, 3, 4, 5, 6
_SEVERITIES: Final = {
    "missing": CRITICAL,
    "tls-failed": ERROR,
    "reload-failed": ERROR,
    "groups-failed": ERROR,
    "login-failed": WARNING,
    "recovered": WARNING,
    "resumed": WARNING,
    "refused": NOTICE,
    "refusals": NOTICE,
    "denials": NOTICE,
    "flows-refused": NOTICE,
}
#: Digits of the longest port.
_PORT: Final = 5
#: States of the events that have one, where something is wrong.
_BAD: Final = ("lost", "ejected", "failed", "failing", "missed", "aside")


@frozen
class Origin:
    """
    What writes the records.

    @ivar gateway: name of the gateway.
    @ivar version: version of this program.
    """

    gateway: str
    version: str


@lru_cache(4096)
def ipVersion(text: str) -> int:
    """Return the version of an IP address; 0 where the text is none."""
    try:
        return ip_address(text).version
    except ValueError:
        return 0


def placeOf(text: str | None) -> tuple[str, int | None]:
    """
    Split C{192.0.2.1:80} or C{[2001:db8::1]:80} into address and port.

    @return: the text and L{None} where there is no port in it; an empty text for none.
    """
    if not text:
        return "", None
    host, colon, port = text.rpartition(":")
    if (
        not colon
        or not (port.isascii() and port.isdigit() and len(port) <= _PORT)
        # The user of a program on this machine; an address without a port.
        or host == "uid"
        or (":" in host and not host.endswith("]"))
    ):
        return text.strip("[]"), None
    return host.strip("[]"), int(port)


def addressOf(fields: Fields) -> str:
    """Return the first address that a request may use, or that an end has used."""
    addresses = fields.get("addresses")
    if addresses:
        first: str = addresses[0]
        return first
    # That of a flow has a port, and may be a name.
    host, _ = placeOf(fields.get("address"))
    return host


def milliseconds(time: str) -> int:
    """Return a time of the journal as milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def transport(fields: Fields) -> str:
    """Return the protocol below the application: C{tcp} or C{udp}."""
    udp = fields["event"] in ("flow", "flow-end") or fields.get("command") in DATAGRAMS
    return "udp" if udp else "tcp"


def succeeded(fields: Fields) -> bool | None:
    """
    Tell whether a client got what it wanted.

    @return: L{None} where the line is not about that.
    """
    event = fields["event"]
    if event in REQUESTS:
        return bool(fields["verdict"] == "allow")
    if event == "end":
        return not fields.get("reply")
    if event in ("flow-end", "peer"):
        return True
    if event in ("refused", "refusals", "denials", "flows-refused", "login-failed"):
        return False
    return None


def severity(fields: Fields) -> int:
    """Return how severe an event is, as a number of RFC 5424."""
    event = fields["event"]
    if event in _SEVERITIES:
        return _SEVERITIES[event]
    if succeeded(fields) is False:
        return NOTICE
    if fields.get("problems"):
        return ERROR
    return WARNING if fields.get("state") in _BAD else INFORMATIONAL


def told(fields: Fields) -> str:
    """Return an event in a few words, for people."""
    event: str = fields["event"]
    if event in REQUESTS:
        host = fields.get("name") or fields.get("asked") or "?"
        host = f"[{host}]" if ":" in host else host
        by = f' by rule "{fields["rule"]}"' if fields.get("rule") else ""
        word = "allowed" if fields["verdict"] == "allow" else "denied"
        place = f"{host}:{fields.get('port')}"
        return f"{word} {fields.get('user')} {fields.get('command')} {place}{by}"
    if event in ENDS:
        octets = f"{fields.get('sent', 0)} octets sent, {fields.get('received', 0)}"
        return f"session {fields.get('session')} ended: {fields.get('reason')}; {octets} received"
    if event == "login-failed":
        return f'login of "{fields.get("claimed")}" failed: {fields.get("reason")}'
    if event == "refused":
        return f"refused {fields.get('client')}: {fields.get('reason')}"
    if event in ("refusals", "denials"):
        return f"{fields.get('count')} more {event} of {fields.get('source') or 'many sources'}"
    if event == "admin":
        what = f"{fields.get('act')} {fields.get('what') or ''}".strip()
        return f"admin: {fields.get('who')}: {what}: {fields.get('result')}"
    names = (
        "sink", "grant", "listener", "network", "upstream", "address", "checker",
        "gateway",
    )  # fmt: skip
    what = next((f" {fields[n]}" for n in names if fields.get(n)), "")
    state = f" {fields['state']}" if fields.get("state") else ""
    why = fields.get("why") or ", ".join(map(str, fields.get("problems", ())))
    return f"{event}{what}{state}" + (f": {why}" if why else "")
