"""
The sink to OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

from socksgw.plugins import audit_otlp
from socksgw.testing import AuditSinkContract, entriesOf, sinkSettings
from tests.live.posted import PostedServer

(OTLP,) = audit_otlp.sinks
_servers: dict[Path, PostedServer] = {}


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Whatever listens ends with its test."""
    yield
    for each in _servers.values():
        each.close()
    _servers.clear()


def _records(server: PostedServer) -> list[Any]:
    found = []
    for body in server.bodies:
        request = logs.ExportLogsServiceRequest.FromString(body)
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                found += scope.log_records
    return found


def _attributes(record: Any) -> dict[str, Any]:
    return {each.key: each.value for each in record.attributes}


class TestOTLP(AuditSinkContract):
    """Records as the protocol's own classes read them."""

    plugin = OTLP

    def target(self, directory: Path) -> str:
        server = _servers[directory] = PostedServer()
        return f"http://127.0.0.1:{server.port}"

    def received(self, directory: Path) -> Sequence[int]:
        records = _records(_servers[directory])
        return [_attributes(each)["socksgw.n"].int_value for each in records]

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        return _servers[directory].failing()


def test_record(tmp_path: Path) -> None:
    """A record has time, severity, the line, its members, and who has sent it."""
    server = _servers[tmp_path] = PostedServer()
    target = f"http://127.0.0.1:{server.port}"
    sink = OTLP.build(sinkSettings(OTLP, tmp_path, target))
    sink.open()
    entries = entriesOf(5)
    with closing(sink):
        sink.deliver(entries)
    path, headers = server.asked[0]
    assert path == "/v1/logs"
    assert headers["Content-Type"] == "application/x-protobuf"
    request = logs.ExportLogsServiceRequest.FromString(server.bodies[0])
    resource = {
        each.key: each.value.string_value
        for each in request.resource_logs[0].resource.attributes
    }
    assert resource["service.name"] == "socksgw"
    assert resource["service.instance.id"] == "edge"
    first = _records(server)[0]
    assert first.time_unix_nano == 1772442000 * 10**9
    assert first.event_name == "socksgw.decision"
    assert first.severity_text == "INFO"
    assert first.body.string_value == entries[0].octets.decode()
    found = _attributes(first)
    assert found["user.name"].string_value == "alice"
    assert found["server.port"].int_value == 443
    assert (
        found["socksgw.addresses"].array_value.values[0].string_value == "198.51.100.1"
    )


def test_partialSuccess(tmp_path: Path) -> None:
    """
    Records that a collector rejects with status 200 are kept; it does not say which
    they are, and may not be sent any again.
    """
    server = _servers[tmp_path] = PostedServer()
    answer = logs.ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 2
    answer.partial_success.error_message = "timestamps are too old"
    server.answers += [
        (200, {}, answer.SerializeToString()),
        (200, {}, b"<html>taken</html>"),
    ]
    target = f"http://127.0.0.1:{server.port}"
    aside: list[tuple[int, str]] = []
    sink = OTLP.build(
        sinkSettings(
            OTLP, tmp_path, target,
            aside=lambda entry, why: aside.append((entry.number, why)),
        )
    )  # fmt: skip
    sink.open()
    with closing(sink):
        sink.deliver(entriesOf(5))
        sink.deliver(entriesOf(5, 6))
    why = "2 of 5 lines: timestamps are too old"
    assert aside == [(number, why) for number in range(1, 6)]
    assert len(server.bodies) == 2


def test_refusedForGood(tmp_path: Path) -> None:
    """What is answered with 400 comes in halves, down to the record that is why."""
    server = _servers[tmp_path] = PostedServer()

    def judge(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return (400 if b"socksgw.n\x12\x02\x18\x03" in body else 200), {}, b""

    server.judge = judge
    aside: list[int] = []
    sink = OTLP.build(
        sinkSettings(
            OTLP, tmp_path, f"http://127.0.0.1:{server.port}",
            aside=lambda entry, _: aside.append(entry.number),
        )
    )  # fmt: skip
    sink.open()
    with closing(sink):
        sink.deliver(entriesOf(6))
    assert aside == [3]
    sent = [logs.ExportLogsServiceRequest.FromString(each) for each in server.bodies]
    assert sum(len(x.resource_logs[0].scope_logs[0].log_records) for x in sent) == 5


def test_theExtra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, what to install is told."""
    monkeypatch.setattr(audit_otlp, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"socksgw\[otel\]"):
        OTLP.build(sinkSettings(OTLP, tmp_path, "http://localhost:4318"))
