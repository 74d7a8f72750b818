"""
The sink that posts batches.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from socksgw.interfaces import SinkFailed
from socksgw.plugins import audit_http
from socksgw.testing import AuditSinkContract, entriesOf, sinkSettings
from tests.live.posted import PostedServer
from tests.live.servers import freePort

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
    """What it has not taken is told, and comes again, where it took none, or may."""

    def answer(*statuses: int) -> bytes:
        items = [
            {"create": {"status": each, "error": {"type": f"error-{each}"}}}
            for each in statuses
        ]
        return json.dumps({"errors": True, "items": items}).encode()

    for text, why in (
        (answer(*[400] * 10), "error-400"),
        (answer(*[201] * 4, 400, *[201] * 4, 429), "error-429"),
        (answer(201), "none of the bulk"),
        (b"<html>", "none of the bulk"),
    ):
        _server(tmp_path).answers.append((200, {}, text))
        with pytest.raises(SinkFailed, match=why):
            _sent(tmp_path, service="elasticsearch")
    _server(tmp_path).answers.append((200, {}, answer(*[201] * 4, 400, *[409] * 5)))
    aside: list[tuple[int, str]] = []
    sink = HTTP.build(
        sinkSettings(
            HTTP, tmp_path, _server(tmp_path).url, {"service": "elasticsearch"}, "ecs",
            aside=lambda entry, why: aside.append((entry.number, why)),
        )
    )  # fmt: skip
    sink.open()
    with closing(sink):
        sink.deliver(entriesOf(10, form="ecs"))
    assert aside == [(5, "a line was not taken: error-400")]


class Choosy:
    """A sink whose server refuses some lines for good."""

    def __init__(self, directory: Path, refused: set[int], status: int = 400) -> None:
        self.server, self.aside = _server(directory), list[tuple[int, str]]()
        self.refused = refused
        self.status = status
        self.server.judge = self.judge
        self.sink = HTTP.build(
            sinkSettings(
                HTTP, directory, self.server.url,
                aside=lambda entry, why: self.aside.append((entry.number, why)),
            )
        )  # fmt: skip
        self.sink.open()

    def judge(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self.refused & {json.loads(line)["n"] for line in body.splitlines()}:
            return self.status, {}, b"mapping: no such field"
        return 200, {}, b""

    @property
    def taken(self) -> list[int]:
        return [
            json.loads(line)["n"]
            for body in self.server.bodies
            for line in body.splitlines()
        ]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_aLineThatIsRefused(tmp_path: Path, status: int) -> None:
    """It is found, and put aside; all others come, in their order, and once."""
    choosy = Choosy(tmp_path, {7, 40}, status)
    with closing(choosy.sink):
        choosy.sink.deliver(entriesOf(64))
    why = f"it answers {status}: mapping: no such field"
    assert choosy.aside == [(7, why), (40, why)]
    assert choosy.taken == [n for n in range(1, 65) if n not in {7, 40}]
    assert len(choosy.server.asked) < 30


def test_aServerThatRefusesEverything(tmp_path: Path) -> None:
    """Its lines wait; few requests are enough to know, and none is put aside."""
    choosy = Choosy(tmp_path, set(range(1, 1000)))
    with closing(choosy.sink):
        for count in (200, 1):
            with pytest.raises(SinkFailed, match="answers 400: mapping"):
                choosy.sink.deliver(entriesOf(count))
    assert (choosy.aside, choosy.taken) == ([], [])
    assert len(choosy.server.asked) < 30


def test_oneLineAlone(tmp_path: Path) -> None:
    """It is put aside where the server took others since the last one was."""
    choosy = Choosy(tmp_path, {2, 3})
    sink = choosy.sink
    with closing(sink):
        sink.deliver(entriesOf(1))
        sink.deliver(entriesOf(1, 2))
        with pytest.raises(SinkFailed):
            sink.deliver(entriesOf(1, 3))
        sink.deliver(entriesOf(2, 3))
    assert [number for number, _ in choosy.aside] == [2, 3]
    assert choosy.taken == [1, 4]


@pytest.mark.parametrize("status", [401, 403, 404, 415, 429, 500, 503])
def test_whatIsWaitedFor(tmp_path: Path, status: int) -> None:
    """Answers that may become others cost no line, and the batch is not cut."""
    choosy = Choosy(tmp_path, {2}, status)
    with closing(choosy.sink), pytest.raises(SinkFailed, match=f"answers {status}"):
        choosy.sink.deliver(entriesOf(4))
    assert (choosy.aside, len(choosy.server.asked)) == ([], 1)


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
    port = freePort(kind=socket.SOCK_STREAM)
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


def test_anAnswerThatComesForEver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each octet of it comes in time, and the whole does not: it is given up."""
    monkeypatch.setattr("socksgw.system.posting._WHOLE", 0.2)
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        with listening.accept()[0] as client:
            while not over.wait(0.02):
                try:
                    client.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=drip, args=(listening,))
        server.start()
        try:
            port = listening.getsockname()[1]
            settings = sinkSettings(HTTP, tmp_path, f"http://127.0.0.1:{port}/")
            sink = HTTP.build(settings)
            with closing(sink):
                sink.open()
                with pytest.raises(SinkFailed, match="no answer in time"):
                    sink.deliver(entriesOf(1))
        finally:
            over.set()
            server.join(10)
