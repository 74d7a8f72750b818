"""
The sink that posts batches.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from socksgw.interfaces import SinkFailed
from socksgw.plugins import audit_http
from socksgw.testing import AuditSinkContract, entriesOf, sinkSettings
from tests.live.posted import PostedServer

(HTTP,) = audit_http.sinks


_servers: dict[Path, PostedServer] = {}


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Whatever listens ends with its test."""
    yield
    for each in _servers.values():
        each.close()
    _servers.clear()


def _server(directory: Path) -> PostedServer:
    return _servers.setdefault(directory, PostedServer())


class TestHTTP(AuditSinkContract):
    """JSON lines, with a token."""

    plugin = HTTP
    secret = "s3cr3t-token"

    @pytest.fixture(autouse=True)
    def token(self, tmp_path: Path) -> None:
        """The token is in a file."""
        _token(tmp_path, self.secret)

    @property
    def options(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"token_file": ".token"}

    def target(self, directory: Path) -> str:
        return _server(directory).url

    def received(self, directory: Path) -> Sequence[int]:
        return self.numbers(b"".join(_server(directory).bodies))

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        return _server(directory).failing()


def _token(directory: Path, token: str) -> None:
    file = directory / ".token"
    file.touch(0o600)
    file.write_text(f"{token}\n")


def _sent(
    directory: Path, form: str = "native", **options: Any
) -> tuple[PostedServer, Mapping[str, str], bytes]:
    """Return the server, and headers and body of ten lines that were posted."""
    server = _server(directory)
    sink = HTTP.build(sinkSettings(HTTP, directory, server.url, options, form))
    sink.open()
    with closing(sink):
        sink.deliver(entriesOf(10, form=form))
    return server, server.asked[0][1], server.bodies[0]


def test_lines(tmp_path: Path) -> None:
    """By default lines are posted as they are, with gzip."""
    _, headers, body = _sent(tmp_path)
    assert headers["Content-Type"] == "application/x-ndjson"
    assert headers["Content-Encoding"] == "gzip"
    assert body == b"".join(each.octets + b"\n" for each in entriesOf(10))


def test_array(tmp_path: Path) -> None:
    """Or as one array."""
    _, _, body = _sent(tmp_path, service="array", gzip=False)
    assert json.loads(body) == [dict(each.fields) for each in entriesOf(10)]


@pytest.mark.parametrize("form", ["native", "cef", "ocsf"])
def test_splunk(tmp_path: Path, form: str) -> None:
    """The event collector wants one object after another, and its own scheme."""
    _token(tmp_path, "key")
    _, headers, body = _sent(tmp_path, form, service="splunk", token_file=".token")
    assert headers["Authorization"] == "Splunk key"
    first = json.loads(body.splitlines()[0])
    assert (first["host"], first["sourcetype"]) == ("edge", "socksgw:audit")
    assert first["time"] == 1772442000.0
    assert isinstance(first["event"], str if form == "cef" else dict)


def test_loki(tmp_path: Path) -> None:
    """Loki wants nanoseconds and texts in a stream."""
    _, _, body = _sent(tmp_path, service="loki")
    (stream,) = json.loads(body)["streams"]
    assert stream["stream"] == {"job": "socksgw", "gateway": "edge"}
    when, text = stream["values"][0]
    assert when == "1772442000000000000"
    assert json.loads(text)["n"] == 1


def test_elasticsearch(tmp_path: Path) -> None:
    """A document's id is the line's hash; what is there already counts as taken."""
    items = [{"create": {"status": 409 if i == 3 else 201}} for i in range(10)]
    _server(tmp_path).answers.append((200, {}, json.dumps({"items": items}).encode()))
    _, _, body = _sent(tmp_path, "ecs", service="elasticsearch")
    actions = [json.loads(each) for each in body.splitlines()]
    assert len(actions) == 20
    assert actions[0]["create"]["_id"] == entriesOf(1)[0].fields["hash"]
    assert actions[1]["ecs"]


def test_elasticsearchRefuses(tmp_path: Path) -> None:
    """What it has not taken is told, and comes again."""
    failed = {"create": {"status": 400, "error": {"type": "mapping_exception"}}}
    body = json.dumps({"errors": True, "items": [failed]}).encode()
    for text, why in ((body, "mapping_exception"), (b"<html>", "none of the bulk")):
        _server(tmp_path).answers.append((200, {}, text))
        with pytest.raises(SinkFailed, match=why):
            _sent(tmp_path, service="elasticsearch")


def test_tooLarge(tmp_path: Path) -> None:
    """A batch that is too large for the server comes in halves."""
    server = _server(tmp_path)
    server.answers.append((413, {}, b""))
    _sent(tmp_path)
    assert [body.count(b"\n") for body in server.bodies] == [5, 5]


def test_batches(tmp_path: Path) -> None:
    """No batch has more octets than configured, but for a single line."""
    server, _, _ = _sent(tmp_path, batch_octets=10_000)
    assert len(server.bodies) > 1
    assert all(len(b) < 11_000 or b.count(b"\n") == 1 for b in server.bodies)
    numbers = [json.loads(x)["n"] for x in b"".join(server.bodies).splitlines()]
    assert numbers == list(range(1, 11))


def test_retryAfter(tmp_path: Path) -> None:
    """How long a server asks to wait is told to whoever asks it again."""
    server = _server(tmp_path)
    server.answers.append((429, {"Retry-After": "60"}, b"slow\x1bdown"))
    sink = HTTP.build(sinkSettings(HTTP, tmp_path, server.url))
    sink.open()
    with pytest.raises(SinkFailed, match=r"^it answers 429: slow down$") as failed:
        sink.deliver(entriesOf(1))
    sink.close()
    assert failed.value.after == 60


def test_aClosedConnection(tmp_path: Path) -> None:
    """A connection that the server has closed meanwhile is no failure."""
    server = _server(tmp_path)
    server.answers.append((200, {"Connection": "close"}, b""))
    sink = HTTP.build(sinkSettings(HTTP, tmp_path, server.url))
    sink.open()
    for entry in entriesOf(3):
        sink.deliver([entry])
    sink.close()
    assert len(server.bodies) == 3


def test_noServer(tmp_path: Path) -> None:
    """Where nobody listens, that is told."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sink = HTTP.build(sinkSettings(HTTP, tmp_path, f"http://127.0.0.1:{port}/"))
    sink.open()
    with pytest.raises(SinkFailed, match="Connection refused"):
        sink.deliver(entriesOf(1))
    sink.close()


@pytest.mark.parametrize(
    ("target", "options", "key"),
    [
        ("https://h", {"service": "kafka"}, "service"),
        ("http://h.example", {"token_file": ".token"}, "token_file"),
        ("https://h", {"ca": ".token"}, "ca"),
        ("https://h", {"batch_octets": 10}, "batch_octets"),
        ("https://h", {"certificate": ".token"}, "key"),
    ],
)
def test_mistakes(
    tmp_path: Path, target: str, options: Mapping[str, Any], key: str
) -> None:
    """Each mistake is told under its key."""
    _token(tmp_path, "key")
    wrong: list[tuple[str, str]] = []
    HTTP.build(sinkSettings(HTTP, tmp_path, target, options, wrong=wrong))
    assert [each for each, _ in wrong] == [key]


@pytest.mark.parametrize("target", ["", "h:80", "ftp://h", "http://", "http://u:p@h/"])
def test_targets(tmp_path: Path, target: str) -> None:
    """What is no URL is an error, which shows no password."""
    with pytest.raises(ValueError, match=r"^(must be|may have no)"):
        HTTP.build(sinkSettings(HTTP, tmp_path, target))
