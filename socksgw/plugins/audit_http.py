"""
The sink that posts batches of lines by HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import AuditSink, Entry, IAuditSink, SinkFailed, SinkSettings
from socksgw.system.blockingtls import clientContext
from socksgw.system.posting import NotPosted, Posted, Poster, placeOf

__all__ = ["sinks"]

_FILES: Final = ("ca", "certificate", "key")
#: Characters of an answer that are told.
_TOLD: Final = 200


def _epoch(entry: Entry) -> float:
    return datetime.fromisoformat(entry.fields["time"]).timestamp()


def _lines(found: Sequence[tuple[Entry, bytes]], _: str) -> bytes:
    return b"".join([text + b"\n" for _, text in found])


def _array(found: Sequence[tuple[Entry, bytes]], _: str) -> bytes:
    return b"[" + b",\n".join([text for _, text in found]) + b"]"


def _splunk(found: Sequence[tuple[Entry, bytes]], gateway: str) -> bytes:
    """Events of the HTTP Event Collector, one after another."""
    source = json.dumps(gateway).encode()
    return b"\n".join([
        b'{"time":%.3f,"host":%b,"source":"socksgw","sourcetype":"socksgw:audit",'
        b'"event":%b}' % (_epoch(entry), source, _member(text))
        for entry, text in found
    ])  # fmt: skip


def _elasticsearch(found: Sequence[tuple[Entry, bytes]], gateway: str) -> bytes:
    """
    Actions of the bulk interface.

    The line's hash is the document's id: what comes twice is there once.
    """
    parts = []
    for entry, text in found:
        name = json.dumps(str(entry.fields.get("hash") or f"{gateway}-{entry.number}"))
        parts.append(b'{"create":{"_id":%b}}\n%b\n' % (name.encode(), _object(text)))
    return b"".join(parts)


def _loki(found: Sequence[tuple[Entry, bytes]], gateway: str) -> bytes:
    """One stream of Loki's push interface, with the gateway as its label."""
    values = [[str(round(_epoch(e) * 1e9)), t.decode()] for e, t in found]
    labels = {"job": "socksgw", "gateway": gateway}
    return json.dumps({"streams": [{"stream": labels, "values": values}]}).encode()


def _member(text: bytes) -> bytes:
    return text if text.startswith(b"{") else json.dumps(text.decode()).encode()


def _object(text: bytes) -> bytes:
    return text if text.startswith(b"{") else b'{"message":%b}' % _member(text)


def _took(_: Posted) -> str:
    return ""


def _tookBulk(answer: Posted) -> str:
    """Return why Elasticsearch has not taken everything; empty where it has."""
    try:
        found = json.loads(answer.body)
        failed = [
            each["create"] for each in found["items"]
            # 409: it is there already.
            if each["create"]["status"] not in (200, 201, 409)
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return "its answer is none of the bulk interface"
    if not failed:
        return ""
    why = failed[0].get("error", {})
    reason = why.get("type") if isinstance(why, dict) else why
    return f"{len(failed)} lines were not taken: {str(reason)[:_TOLD]}"


#: By the word for what takes the lines: how a batch is written, its type, and how the
#: answer tells what was not taken.
_SERVICES: Final[
    dict[str, tuple[Callable[..., bytes], str, Callable[[Posted], str]]]
] = {
    "lines": (_lines, "application/x-ndjson", _took),
    "array": (_array, "application/json", _took),
    "splunk": (_splunk, "application/json", _took),
    "elasticsearch": (_elasticsearch, "application/x-ndjson", _tookBulk),
    "loki": (_loki, "application/json", _took),
}


@final
class _Http:
    """What posts the lines."""

    batch = 500

    def __init__(
        self,
        poster: Callable[[], Poster],
        service: str,
        gateway: str,
        most: int,
    ) -> None:
        self._make = poster
        self._write, _, self._took = _SERVICES[service]
        self._gateway = gateway
        self._most = most
        self._poster: Poster | None = None

    def open(self) -> None:
        """Connect at the first batch."""
        self._poster = self._make()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Post lines; any answer 2xx says that they are taken."""
        found = [(e, text) for e in entries if (text := e.formatted) is not None]
        batch: list[tuple[Entry, bytes]] = []
        held = 0
        for each in found:
            if batch and held + len(each[1]) > self._most:
                self._post(batch)
                batch, held = [], 0
            batch.append(each)
            held += len(each[1])
        if batch:
            self._post(batch)

    def _post(self, batch: Sequence[tuple[Entry, bytes]]) -> None:
        assert self._poster is not None
        try:
            answer = self._poster.post(self._write(batch, self._gateway))
        except NotPosted as e:
            raise SinkFailed(str(e)) from None
        if answer.status == 413 and len(batch) > 1:
            # Too large: a half may not be.
            half = len(batch) // 2
            self._post(batch[:half])
            self._post(batch[half:])
            return
        if not 200 <= answer.status < 300:
            text = answer.body[:_TOLD].decode("ascii", "replace")
            said = "".join(c if c.isprintable() else " " for c in text).strip()
            raise SinkFailed(
                f"it answers {answer.status}" + (f": {said}" if said else ""),
                answer.after,
            )
        why = self._took(answer)
        if why:
            raise SinkFailed(why)

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the connection."""
        found, self._poster = self._poster, None
        if found is not None:
            found.close()


def posterOf(
    settings: SinkSettings, kind: str, scheme: str, path: str = ""
) -> Callable[[], Poster]:
    """
    Return what makes a connection of a sink's settings.

    @param kind: the type of what is posted.
    @param scheme: of C{Authorization}, before the token.
    @param path: the path where the URL has none.
    @raise ValueError: the target is no URL.
    """
    options = settings.options
    place = placeOf(settings.target)
    if place.path == "/" and path:
        place = place._replace(path=path)
    ca, certificate, key = (
        options.content(each, secret=each == "key") if each in options else b""
        for each in _FILES
    )
    headers: dict[str, Any] = {"Content-Type": kind, "User-Agent": "socksgw"}
    if "token_file" in options:
        token = options.secret("token_file").decode("latin-1")
        if not token.isascii() or not token.isprintable():
            options.wrong("token_file", "has no token: it is not printable ASCII")
        else:
            headers["Authorization"] = f"{scheme} {token}"
        if not place.secure and place.host not in ("127.0.0.1", "::1", "localhost"):
            options.wrong(
                "token_file", "would cross the network in the clear: use https"
            )
    context = None
    if bool(certificate) != bool(key):
        options.wrong("key", "certificate and key go together")
    elif place.secure:
        try:
            context = clientContext(ca, certificate, key)
        except ValueError as e:
            name, _, why = str(e).partition(": ")
            options.wrong(name, why)
    packed = options.flag("gzip", True)
    return lambda: Poster(place, headers, context, packed)


@final
@implementer(IAuditSink)
class _HttpKind:
    kind = "http"
    help = "Batches by POST: JSON lines, or what Splunk, Elasticsearch and Loki take."
    target = "URL"
    format = "native"

    def build(self, settings: SinkSettings) -> AuditSink:
        """
        Return what posts the lines.

        @raise ValueError: the target is no URL.
        """
        options = settings.options
        options.only(*_FILES, "token_file", "service", "gzip", "batch_octets")
        service = options.word("service", "lines")
        if service not in _SERVICES:
            options.wrong("service", f"must be one of {', '.join(_SERVICES)}")
            service = "lines"
        if service == "array" and settings.format == "cef":
            options.wrong("service", "CEF is no JSON, which an array has")
        most = options.octets("batch_octets", 1_000_000, 10_000)
        scheme = {"splunk": "Splunk", "elasticsearch": "ApiKey"}.get(service, "Bearer")
        poster = posterOf(settings, _SERVICES[service][1], scheme)
        return _Http(poster, service, settings.gateway, most)


sinks = (_HttpKind(),)
