"""
The sink that posts batches of lines by HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    AuditSink,
    Entry,
    IAuditSink,
    IProbedSink,
    ProbeFailed,
    SinkFailed,
    SinkSettings,
)
from socksgw.system.blockingtls import clientContext
from socksgw.system.posting import NotPosted, Posted, Poster, placeOf

__all__ = ["sinks"]

_FILES: Final = ("ca", "certificate", "key")
#: Characters of an answer that are told.
_TOLD: Final = 200
#: Answers that come again whenever the same is posted (RFC 9110, section 15.5).
_FOR_GOOD: Final = (400, 413, 422)
#: Lines, one after another, that are refused before it is clear that all are.
_HOPELESS: Final = 8


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


def _took(_: Posted, __: int) -> Mapping[int, str]:
    return {}


def _tookBulk(answer: Posted, count: int) -> Mapping[int, str]:
    """
    Return which lines of a batch Elasticsearch refuses, with why.

    @param count: how many there are.
    @raise SinkFailed: some were not taken for now.
    """
    refused: dict[int, str] = {}
    try:
        items = json.loads(answer.body)["items"]
        if len(items) != count:
            raise ValueError
        for i, each in enumerate(items):
            done = each["create"]
            # 409: it is there already.
            if done["status"] in (200, 201, 409):
                continue
            why = done.get("error", {})
            reason = why.get("type") if isinstance(why, dict) else why
            text = f"a line was not taken: {str(reason)[:_TOLD]}"
            if done["status"] not in _FOR_GOOD:
                raise SinkFailed(text)
            refused[i] = text
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SinkFailed("its answer is none of the bulk interface") from None
    return refused


#: By the word for what takes the lines: how a batch is written, its type, and how the
#: answer tells what was not taken.
_SERVICES: Final[
    dict[
        str,
        tuple[Callable[..., bytes], str, Callable[[Posted, int], Mapping[int, str]]],
    ]
] = {
    "lines": (_lines, "application/x-ndjson", _took),
    "array": (_array, "application/json", _took),
    "splunk": (_splunk, "application/json", _took),
    "elasticsearch": (_elasticsearch, "application/x-ndjson", _tookBulk),
    "loki": (_loki, "application/json", _took),
}


class Refused(SinkFailed):
    """A server will never take a batch as it is: some line of it, or its length."""


def failureOf(answer: Posted) -> SinkFailed:
    """Return what an answer means that is none of success."""
    text = answer.body[:_TOLD].decode("ascii", "replace")
    said = "".join(c if c.isprintable() else " " for c in text).strip()
    why = f"it answers {answer.status}" + (f": {said}" if said else "")
    if answer.status in _FOR_GOOD:
        return Refused(why)
    return SinkFailed(why, answer.after)


@final
class Parting:
    """
    Parts lines that a server takes from those that it refuses for good.

    A batch that is refused is posted in halves, down to the lines that are why. These
    are put aside, but only where the server took others since: what refuses everything
    is not set up rightly, and is waited for.
    """

    def __init__(
        self,
        post: Callable[[Sequence[tuple[Entry, bytes]]], Mapping[int, str]],
        aside: Callable[[Entry, str], None],
    ) -> None:
        """
        Post nothing yet.

        @param post: posts lines, each with its text, and returns which of them are
            refused, with why. It raises L{Refused} where it is not known which ones
            are.
        @param aside: as of L{SinkSettings}.
        """
        self._post = post
        self._aside = aside
        self._taken = False

    def deliver(self, batch: Sequence[tuple[Entry, bytes]]) -> None:
        """
        Post lines.

        @raise SinkFailed: they, or some of them, are not taken now.
        """
        refused: list[tuple[Entry, str]] = []
        took = self._part(batch, refused)
        self._taken = self._taken or took
        if not refused:
            return
        # One line alone says nothing of the server, unless it took one before.
        if not (took or (len(batch) == 1 and self._taken)):
            raise SinkFailed(refused[0][1])
        self._taken = took
        for entry, why in refused:
            self._aside(entry, why)

    def _part(
        self,
        batch: Sequence[tuple[Entry, bytes]],
        refused: list[tuple[Entry, str]],
        took: bool = False,
    ) -> bool:
        """Post lines, and note which are refused; return whether any was taken."""
        try:
            found = self._post(batch)
        except Refused as e:
            if len(batch) == 1:
                refused.append((batch[0][0], str(e)))
                if not took and len(refused) >= _HOPELESS:
                    raise SinkFailed(str(e)) from None
                return took
            half = len(batch) // 2
            took = self._part(batch[:half], refused, took)
            return self._part(batch[half:], refused, took)
        refused += [(batch[i][0], why) for i, why in found.items()]
        return took or len(found) < len(batch)


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
        aside: Callable[[Entry, str], None],
    ) -> None:
        self._make = poster
        self._parting = Parting(self._post, aside)
        self._write, _, self._took = _SERVICES[service]
        self._gateway = gateway
        self._most = most
        self.poster: Poster | None = None

    def open(self) -> None:
        """Connect at the first batch."""
        self.poster = self._make()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Post lines; any answer 2xx says that they are taken."""
        found = [(e, text) for e in entries if (text := e.formatted) is not None]
        batch: list[tuple[Entry, bytes]] = []
        held = 0
        for each in found:
            if batch and held + len(each[1]) > self._most:
                self._parting.deliver(batch)
                batch, held = [], 0
            batch.append(each)
            held += len(each[1])
        if batch:
            self._parting.deliver(batch)

    def _post(self, batch: Sequence[tuple[Entry, bytes]]) -> Mapping[int, str]:
        """As of L{Parting}."""
        assert self.poster is not None
        try:
            answer = self.poster.post(self._write(batch, self._gateway))
        except NotPosted as e:
            raise SinkFailed(str(e)) from None
        if not 200 <= answer.status < 300:
            raise failureOf(answer)
        return self._took(answer, len(batch))

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the connection."""
        found, self.poster = self.poster, None
        if found is not None:
            found.close()


def answersOf(url: str, poster: Poster) -> list[Answer]:
    """
    Ask a server by GET, which changes nothing (RFC 9110, section 9.2.1).

    @raise ProbeFailed: it is not reached, or refuses the token.
    """
    place = placeOf(url)
    try:
        status = poster.look()
    except NotPosted as e:
        said = str(e).removeprefix(f"{place.server}: ")
        raise ProbeFailed(said, "check the URL, and ca where it is https") from None
    finally:
        poster.close()
    # The path may hold a secret.
    what = f"{'https' if place.secure else 'http'}://{place.server}"
    if status in (401, 403):
        said = f"refuses the token, or its lack (status {status})"
        raise ProbeFailed(said, "correct token_file")
    if status >= 500:
        raise ProbeFailed(f"it answers with status {status}", "see its own log")
    return [Answer(what, f"answers (status {status} to GET; lines are sent by POST)")]


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
@implementer(IAuditSink, IProbedSink)
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
        return _Http(poster, service, settings.gateway, most, settings.aside)

    def probe(self, settings: SinkSettings) -> list[Answer]:
        """Ask the server, and post nothing."""
        found = self.build(settings)
        found.open()
        assert isinstance(found, _Http)
        assert found.poster is not None
        return answersOf(settings.target, found.poster)


sinks = (_HttpKind(),)
