"""
The sink that sends each line as a log record of OpenTelemetry, by OTLP over HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import (
    Answer,
    AuditSink,
    Entry,
    IAuditSink,
    IProbedSink,
    SinkFailed,
    SinkSettings,
)
from socksgw.plugins.audit_http import Parting, answersOf, failureOf, posterOf
from socksgw.system.posting import NotPosted, Poster
from socksgw.wire.bounded import shortened

__all__ = ["sinks"]

#: Characters of the longest value, and members of the longest list.
_LONGEST, _MEMBERS = 4096, 64
#: Characters of an answer that are told.
_TOLD: Final = 200
#: C{SeverityNumber} and its word: WARN for what was denied or has failed, else INFO.
_WARN, _INFO = (13, "WARN"), (9, "INFO")
#: The severity of RFC 5424 (section 6.2.1) that is for information alone.
_INFORMATIONAL: Final = 6
#: Ours whose names the semantic conventions have.
_CONVENTIONS: Final = {
    "user": "user.name",
    "claimed": "user.name",
    "name": "server.address",
    "port": "server.port",
    "rule": "security_rule.name",
}


def _set(value: Any, into: Any) -> None:
    """Fill an C{AnyValue}."""
    if isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        into.int_value = value
    elif isinstance(value, float):
        into.double_value = value
    elif isinstance(value, (list, tuple)):
        into.array_value.SetInParent()
        for each in value[:_MEMBERS]:
            _set(each, into.array_value.values.add())
    elif isinstance(value, Mapping):
        into.kvlist_value.SetInParent()
        for key, each in list(value.items())[:_MEMBERS]:
            member = into.kvlist_value.values.add()
            member.key = _text(key)
            _set(each, member.value)
    else:
        into.string_value = _text(str(value))


def _text(text: str) -> str:
    """Return a text that UTF-8 has: lone surrogates are escaped."""
    return shortened(text, _LONGEST).encode("utf-8", "backslashreplace").decode()


def _fill(record: Any, entry: Entry, text: bytes, now: int) -> None:
    """Fill a C{LogRecord}."""
    fields = entry.fields
    when = datetime.fromisoformat(fields["time"]).timestamp()
    event = str(fields.get("event", ""))
    bad = entry.severity < _INFORMATIONAL
    record.time_unix_nano = round(when * 1_000_000) * 1000
    record.observed_time_unix_nano = now
    record.severity_number, record.severity_text = _WARN if bad else _INFO
    record.event_name = f"socksgw.{event}"
    record.body.string_value = text.decode("utf-8", "replace")
    for key, value in fields.items():
        if value is None or key in ("v", "time", "event"):
            continue
        attribute = record.attributes.add()
        attribute.key = _CONVENTIONS.get(key, f"socksgw.{key}")
        _set(value, attribute.value)


def _rejected(body: bytes) -> tuple[int, str]:
    """
    Return how many records a collector has not taken, and why.

    OTLP 1.3, "Partial Success": it answers 200 all the same.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

    try:
        partial = service.ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        # Something between has answered in its own words: 2xx counts.
        return 0, ""
    return partial.rejected_log_records, _text(partial.error_message)[:_TOLD]


@final
class _Otlp:
    """What sends the records."""

    batch = 500

    def __init__(
        self,
        poster: Callable[[], Poster],
        gateway: str,
        aside: Callable[[Entry, str], None],
    ) -> None:
        self._make = poster
        self._aside = aside
        self._parting = Parting(self._post, aside)
        self._gateway = gateway
        self._poster: Poster | None = None

    def open(self) -> None:
        """Import what is large; the first batch connects."""
        import opentelemetry.proto.collector.logs.v1.logs_service_pb2  # noqa: F401

        self._poster = self._make()

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Send records; an answer 2xx says that they are taken."""
        found = [(e, text) for e in entries if (text := e.formatted) is not None]
        if found:
            self._parting.deliver(found)

    def _post(self, batch: Sequence[tuple[Entry, bytes]]) -> Mapping[int, str]:
        """As of L{Parting}."""
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

        assert self._poster is not None
        request = service.ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        for key, value in (
            ("service.name", "socksgw"),
            ("service.version", version("socksgw")),
            ("service.instance.id", self._gateway),
        ):
            attribute = resource.resource.attributes.add()
            attribute.key, attribute.value.string_value = key, value
        scope = resource.scope_logs.add()
        scope.scope.name = "socksgw.audit"
        now = time.time_ns()
        for entry, text in batch:
            _fill(scope.log_records.add(), entry, text, now)
        try:
            answer = self._poster.post(request.SerializeToString())
        except NotPosted as e:
            raise SinkFailed(str(e)) from None
        if not 200 <= answer.status < 300:
            raise failureOf(answer)
        rejected, why = _rejected(answer.body)
        if rejected:
            # Which ones it does not say, and none may be sent again: all are kept.
            for entry, _ in batch:
                self._aside(entry, f"{rejected} of {len(batch)} lines: {why}")
        return {}

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close the connection."""
        found, self._poster = self._poster, None
        if found is not None:
            found.close()


@final
@implementer(IAuditSink, IProbedSink)
class _OtlpKind:
    kind = "otlp"
    help = "Log records of OpenTelemetry, by OTLP over HTTP (the extra otel)."
    target = "URL"
    format = "native"

    def build(self, settings: SinkSettings) -> AuditSink:
        """
        Return what sends the records.

        @raise ValueError: the target is no URL, or the extra is not installed.
        """
        settings.options.only("ca", "certificate", "key", "token_file", "gzip")
        # The namespace is there with any package of OpenTelemetry's.
        if (
            find_spec("opentelemetry") is None
            or find_spec("opentelemetry.proto") is None
        ):
            raise ValueError(
                'needs opentelemetry-proto; install it with: pip install "socksgw[otel]"'
            )
        return _Otlp(_posterOf(settings), settings.gateway, settings.aside)

    def probe(self, settings: SinkSettings) -> list[Answer]:
        """Ask the collector, and send no record."""
        return answersOf(settings.target, _posterOf(settings)())


def _posterOf(settings: SinkSettings) -> Callable[[], Poster]:
    return posterOf(settings, "application/x-protobuf", "Bearer", "/v1/logs")


sinks = (_OtlpKind(),)
