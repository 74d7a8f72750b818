"""
ArcSight's Common Event Format, version 0.

Its text is C{CEF:0|vendor|product|version|event|name|severity|extension}; the extension
is a row of C{key=value}. The keys are those of ArcSight's dictionary ("Implementing
ArcSight Common Event Format", revision 25), where C{in} is what goes from the source to
the destination, and C{out} what comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from socksgw.audit.formats.facts import (
    ENDS,
    REQUESTS,
    Fields,
    Origin,
    addressOf,
    milliseconds,
    placeOf,
    severity,
    succeeded,
    told,
    transport,
)
from socksgw.wire.bounded import document, shortened

__all__ = ["cef"]

#: Characters of the longest value: that of most of the dictionary's texts.
_LONGEST: Final = 1023
#: Octets of the longest record, and of the part that has other fields as JSON.
_MOST: Final = 7168
_REST: Final = 2048

#: Severity by that of RFC 5424: 0 to 10, where 10 is the worst.
_SEVERITIES: Final = {2: 10, 3: 8, 4: 6, 5: 4, 6: 2}
_NAMES: Final = {
    "decision": "Request judged",
    "flow": "Flow judged",
    "end": "Session ended",
    "flow-end": "Flow ended",
    "refused": "Client refused",
    "refusals": "Clients refused",
    "denials": "Requests denied",
    "login-failed": "Login failed",
    "peer": "Peer let in",
}
#: Fields of ours that have a key; the others go into C{msg}, as JSON.
_MAPPED: Final = frozenset({
    "v", "n", "time", "event", "hash", "session", "listener", "client", "protocol",
    "user", "claimed", "method", "command", "asked", "name", "port", "verdict", "rule",
    "addresses", "address", "bound", "sent", "received", "seconds", "reason", "why",
    "tag", "ticket", "via", "path", "count", "source", "application", "server_name",
    "policy", "fingerprint",
})  # fmt: skip
#: Texts of ours that have no key of their own: the key, and its label.
_CUSTOM: Final = (
    ("cs1", "rule", ("rule",)),
    ("cs2", "listener", ("listener",)),
    ("cs3", "method", ("method",)),
    ("cs4", "ticket", ("ticket",)),
    ("cs5", "path", ("path", "via")),
    ("cs6", "tag", ("tag",)),
    ("flexString1", "policy", ("policy",)),
    ("flexString2", "fingerprint", ("fingerprint",)),
)
_LABELS: Final = {
    "c6a2": "Source IPv6 Address",
    "c6a3": "Destination IPv6 Address",
    "cn1": "session",
}

_HEADER: Final = str.maketrans({"\\": "\\\\", "|": "\\|"})
_VALUE: Final = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


def _printable(text: str) -> str:
    """Escape what is no text, but for the ends of lines."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\r\n" else ascii(c)[1:-1] for c in text
    )


def _header(text: str) -> str:
    text = _printable(text).replace("\n", " ").replace("\r", " ")
    return shortened(text, 128).translate(_HEADER)


def _value(value: Any) -> str:
    text = shortened(_printable(str(value)), _LONGEST)
    if "=" in text or "\\" in text or not text.isprintable():
        return text.translate(_VALUE)
    return text


def _address(side: str, custom: str, text: str) -> Iterator[tuple[str, Any]]:
    """Yield an address; the dictionary has other keys for those of version 6."""
    if ":" in text:
        yield custom, text
    elif text.replace(".", "").isdigit():
        yield side, text


def _ends(fields: Fields) -> Iterator[tuple[str, Any]]:
    """Yield who asks for what: both ends of a session."""
    host, port = placeOf(fields.get("client") or fields.get("source"))
    yield from _address("src", "c6a2", host)
    yield "spt", port
    yield "suser", fields.get("user") or fields.get("claimed")
    event = fields["event"]
    if event in REQUESTS or event in ENDS or event == "peer":
        yield from _address("dst", "c6a3", addressOf(fields))
        _, port = placeOf(fields.get("address"))
        yield "dpt", fields.get("port", port)
        yield "proto", transport(fields).upper()
        bound, port = placeOf(fields.get("bound"))
        if ":" not in bound:
            yield "sourceTranslatedAddress", bound
        yield "sourceTranslatedPort", port
    yield "dhost", fields.get("name") or fields.get("server_name")
    yield "app", fields.get("application") or fields.get("protocol")


def _facts(fields: Fields, origin: Origin) -> Iterator[tuple[str, Any]]:
    now = milliseconds(fields["time"])
    yield "rt", now
    yield "dvchost", origin.gateway
    yield "externalId", fields["n"]
    yield "cat", fields["event"]
    yield from _ends(fields)
    yield "act", fields.get("verdict") or fields.get("command")
    success = succeeded(fields)
    if success is not None:
        yield "outcome", "success" if success else "failure"
    yield "reason", fields.get("reason")
    if fields["event"] in ENDS:
        yield "start", now - round((fields.get("seconds") or 0) * 1e3)
        yield "end", now
        yield "in", fields.get("sent")
        yield "out", fields.get("received")
    yield "cnt", fields.get("count")
    yield "cn1", fields.get("session")
    for key, label, names in _CUSTOM:
        for each in names:
            if fields.get(each):
                yield key, fields[each]
                yield f"{key}Label", label
                break
    rest = {k: v for k, v in fields.items() if k not in _MAPPED}
    why = fields.get("why") or told(fields)
    yield "msg", f"{why} {document(rest, _REST).decode()}" if rest else why


def cef(fields: Fields, origin: Origin) -> bytes:
    """
    Return a line of the journal in CEF, in UTF-8 and without a line feed.

    It has 7,168 octets at most: what is too long is left out, from the end on.
    """
    event = fields["event"]
    name = _NAMES.get(event, event)
    head = "|".join([
        "CEF:0|socksgw|socksgw",
        *map(_header, (origin.version, event, name)),
        str(_SEVERITIES[severity(fields)]),
    ])  # fmt: skip
    parts: list[bytes] = []
    left = _MOST - len(head) - 1
    for key, value in _facts(fields, origin):
        if value is None or value == "":
            continue
        text = f"{key}={_value(value)}"
        if key in _LABELS:
            text += f" {key}Label={_LABELS[key]}"
        part = text.encode("utf-8", "replace")
        left -= len(part) + 1
        if left >= 0:
            parts.append(part)
    return f"{head}|".encode() + b" ".join(parts)
