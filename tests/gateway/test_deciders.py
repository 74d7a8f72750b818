"""
Questions to a decider and its answers; what is no answer is decided as configured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport

from socksgw.config.convert import Duration
from socksgw.config.schema import Decider
from socksgw.gateway.deciders import deciderFor
from socksgw.policy.deciders import Opinion

URL = "http://127.0.0.1:8181/v1/data/socksgw/allow"


class Transport(StringTransport):
    """Knows that it was cut."""

    def abortConnection(self) -> None:
        self.disconnecting = True


class Service:
    """
    A decider, and its connections to the service.

    @ivar connections: protocols and transports.
    """

    def __init__(self, directory: Path = Path(), **keys: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.wrong: dict[str, str] = {}
        table = Decider("opa", keys.pop("url", URL), **keys)
        self.decider = deciderFor(
            table, directory, self.reactor, self.wrong.__setitem__
        )
        self.connections: list[tuple[Any, Transport]] = []

    def ask(self, **question: Any) -> list[Any]:
        """Ask: what comes of it."""
        results: list[Any] = []
        asking = Deferred.fromCoroutine(self.decider.ask(question))
        asking.addBoth(lambda r: results.append(getattr(r, "value", r)))
        for clients in (self.reactor.tcpClients, self.reactor.unixClients):
            while clients:
                made = clients.pop(0)
                factory = made[2] if clients is self.reactor.tcpClients else made[1]
                protocol, transport = factory.buildProtocol(None), Transport()
                self.connections.append((protocol, transport))
                protocol.makeConnection(transport)
        return results

    def answer(self, body: object, status: int = 200) -> None:
        """Answer on the newest connection."""
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(octets)}\r\n\r\n"
        self.connections[-1][0].dataReceived(head.encode() + octets)

    @property
    def said(self) -> bytes:
        """What the newest connection was told."""
        octets: bytes = self.connections[-1][1].value()
        return octets


def asked(octets: bytes) -> Any:
    """The body of a request."""
    return json.loads(octets.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        ({"result": True}, Opinion(True)),
        ({"result": False}, Opinion(False)),
        ({"result": {"allow": True}}, Opinion(True)),
        ({"result": {"allow": False, "reason": "no\nway"}}, Opinion(False, "no way")),
        ({"result": {"allow": False, "reason": 7}}, Opinion(False)),
        ({"result": True, "decision_id": "4ca6"}, Opinion(True)),
        ({}, Opinion(False, "no result: its policy says nothing of it")),
    ],
)
def test_answers(answer: Mapping[str, Any], opinion: Opinion) -> None:
    """As an Open Policy Agent gives them; also where a rule there is undefined."""
    service = Service()
    results = service.ask(user="alice")
    assert asked(service.said) == {"input": {"user": "alice"}}
    assert service.said.startswith(b"POST /v1/data/socksgw/allow HTTP/1.1\r\n")
    service.answer(answer)
    assert results == [opinion]


@pytest.mark.parametrize("onFailure", ["deny", "allow"])
@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"result": "yes"}, 200, "neither true nor false"),
        ({"result": 1}, 200, "neither true nor false"),
        ({"result": {"reason": "x"}}, 200, "neither true nor false"),
        ({"result": None}, 200, "neither true nor false"),
        ([True], 200, "no object"),
        (b"true", 200, "no object"),
        (b"<html>", 200, "no JSON"),
        (b'{"result": false, "result": true}', 200, "no JSON"),
        (b'{"result": {"allow": false, "allow": true}}', 200, "no JSON"),
        ({"result": True}, 500, "status 500"),
        ({"result": True}, 302, "status 302"),
    ],
)
def test_noAnswer(onFailure: str, body: object, status: int, why: str) -> None:
    """What cannot be understood is no yes, and no no."""
    service = Service(on_failure=onFailure)
    results = service.ask()
    service.answer(body, status)
    (opinion,) = results
    assert (opinion.allowed, opinion.failed) == (onFailure == "allow", True)
    assert why in opinion.why
    assert service.decider.failed == 1


def test_silence() -> None:
    """So is no answer in time; the connection is not kept."""
    service = Service(timeout=Duration(2))
    results = service.ask()
    service.reactor.advance(1.9)
    assert results == []
    service.reactor.advance(0.2)
    assert results == [Opinion(False, "no answer in time", failed=True)]


def test_connectionsAreKept() -> None:
    """Questions one after the other have one connection."""
    service = Service()
    for _ in range(3):
        results = service.ask()
        service.answer({"result": True})
        assert results == [Opinion(True)]
    assert len(service.connections) == 1


def test_atMost() -> None:
    """So many questions at a time, 256 that wait or are asked; then none."""
    service = Service(connections=2)
    results = [service.ask() for _ in range(258)]
    assert len(service.connections) == 2
    found = Counter(each[0].why for each in results if each)
    assert found == {"too many are being asked for already": 2}
    # Some get their turn so late that no connection is made in time.
    service.reactor.advance(2.1)
    assert {each[0].why for each in results} == {*found, "no answer in time"}


def test_aSocket() -> None:
    """It is connected to in place of the URL's host, also without TLS."""
    service = Service(url="http://opa/v1/data/x", socket="opa.sock")
    assert service.wrong == {}
    results = service.ask()
    assert service.said.startswith(b"POST /v1/data/x HTTP/1.1\r\n")
    service.answer({"result": True})
    assert results == [Opinion(True)]


def test_theToken(tmp_path: Path) -> None:
    """It goes with each question, and only a private file may hold it."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("canary-90b1\n")
    service = Service(tmp_path, token_file="token")
    service.ask()
    assert b"Authorization: Bearer canary-90b1\r\n" in service.said
    assert service.decider.problems() == []
    file.chmod(0o644)
    service = Service(tmp_path, token_file="token")
    assert "token_file" in service.wrong
    assert "canary" not in service.wrong["token_file"]


def test_theCache() -> None:
    """The same question is answered from before, for its time; failures are not."""
    service = Service(cache=Duration(10))
    results = service.ask(user="alice")
    service.answer({"result": {"allow": False, "reason": "no"}})
    assert results == [Opinion(False, "no")]
    service.reactor.advance(9)
    assert service.ask(user="alice") == [Opinion(False, "no")]
    assert service.ask(user="bob") == []
    service.answer({"result": True}, 503)
    assert service.ask(user="bob") == []
    service.answer({"result": True})
    service.reactor.advance(2)
    assert service.ask(user="alice") == []
    assert (service.decider.asked, service.decider.kept) == (4, 1)


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"url": "http://opa.example/x"}, {"url": "cleartext"}),
        ({"url": "http://opa.example/x", "cleartext": True}, {}),
        ({"url": "opa.example"}, {"url": "https://"}),
        ({"url": "https://u:p@opa.example"}, {"url": "token_file"}),
        ({"url": "https://opa.example", "cleartext": True}, {"cleartext": "https"}),
        ({"timeout": Duration(61)}, {"timeout": "60s"}),
        ({"timeout": Duration(0)}, {"timeout": "0s"}),
        ({"cache": Duration(301)}, {"cache": "300s"}),
        ({"connections": 0}, {"connections": "64"}),
        ({"ca": "none.pem"}, {"ca": "none.pem"}),
        ({"token_file": "none"}, {"token_file": "none"}),
    ],
)
def test_wrongKeys(keys: dict[str, Any], wrong: dict[str, str], tmp_path: Path) -> None:
    """Each says what to do."""
    found = Service(tmp_path, **keys).wrong
    assert found.keys() == wrong.keys()
    for key, text in wrong.items():
        assert text in found[key]
