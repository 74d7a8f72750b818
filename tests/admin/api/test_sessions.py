"""
Live sessions: listed, told of, ended; their clients see it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.live import raw
from tests.live.datagrams import Association, Echo
from tests.live.servers import Destination, echo
from tests.live.serving import Serving
from tests.tools.waiting import until


@pytest.fixture
def server() -> Iterator[Destination]:
    """What clients connect to."""
    with Destination(echo) as running:
        yield running


@pytest.fixture
def dial(
    serving: Serving, server: Destination
) -> Iterator[Callable[[], socket.socket]]:
    """Open a session; all are over when the test ends."""
    with ExitStack() as stack:

        def opened() -> socket.socket:
            client = stack.enter_context(raw.dial(serving.gateway.port))
            raw.through(client, "127.0.0.1", server.port)
            return client

        yield opened
    until(lambda: serving.own.get("/api/sessions")["live"] == 0)


def places(listed: Any) -> list[int]:
    """Return the ports of the clients in a list."""
    return [int(each["client"].rpartition(":")[2]) for each in listed["sessions"]]


Dial = Callable[[], socket.socket]


def test_list(serving: Serving, server: Destination, dial: Dial) -> None:
    """Facts and octets of each, while it lasts."""
    client = dial()
    client.sendall(b"x" * 1000)
    raw.exactly(client, 1000)
    (found,) = serving.looker.get(f"/api/sessions?port={server.port}")["sessions"]
    assert found["client"] == f"127.0.0.1:{client.getsockname()[1]}"
    assert (found["sent"], found["received"]) == (1000, 1000)
    assert {
        key: found[key]
        for key in ("stage", "listener", "protocol", "user", "method", "command")
    } == {
        "stage": "relay",
        "listener": "main",
        "protocol": "socks5",
        "user": "anonymous",
        "method": "none",
        "command": "connect",
    }
    assert (found["asked"], found["address"]) == ("127.0.0.1", "127.0.0.1")
    assert (found["rule"], found["path"]) == ("all", "")
    assert 0 <= found["seconds"] < 60


def test_pages(serving: Serving, dial: Dial) -> None:
    """Sorted both ways, a page at a time."""
    ports = [dial().getsockname()[1] for _ in range(5)]
    get = serving.own.get
    assert places(get("/api/sessions")) == ports
    assert places(get("/api/sessions?sort=began&order=desc")) == ports[::-1]
    page = get("/api/sessions?offset=1&limit=2")
    assert places(page) == ports[1:3]
    assert (page["matched"], page["live"]) == (5, 5)
    assert places(get("/api/sessions?offset=9")) == []
    for sort in ("sent", "octets", "user", "source", "destination", "rule"):
        assert places(get(f"/api/sessions?sort={sort}")) == ports


@pytest.mark.parametrize(
    ("query", "many"),
    [
        ("user=anonymous", 2),
        ("user=alice", 0),
        ("tag=", 2),
        ("listener=main", 2),
        ("listener=other", 0),
        ("rule=all", 2),
        ("source=127.0.0.1", 2),
        ("source=127.0.0.0/8", 2),
        ("source=10.0.0.0/8", 0),
        ("destination=127.0.0.1", 2),
        ("destination=127.0.0.0/8", 2),
        ("destination=*.example.com", 0),
        ("destination=example.com", 0),
        ("port=1", 0),
        ("command=connect", 2),
        ("command=udp", 0),
        ("protocol=socks5", 2),
        ("stage=relay", 2),
        ("stage=login", 0),
        ("older=0", 2),
        ("older=3600", 0),
        ("younger=3600", 2),
        ("upstream=dmz", 0),
        ("user=anonymous&command=udp", 0),
    ],
)
def test_filters(serving: Serving, dial: Dial, query: str, many: int) -> None:
    """All that are given have to hold."""
    for _ in range(2):
        dial()
    found = serving.own.get(f"/api/sessions?{query}")
    assert (len(found["sessions"]), found["matched"]) == (many, many)


@pytest.mark.parametrize(
    "query",
    [
        "source=here",
        "source=10.0.0.1/8",
        "destination=*.*",
        "stage=somewhere",
        "limit=0",
        "limit=1001",
        "offset=9901",
        "sort=luck",
        "usr=alice",
        "all=true",
    ],
)
def test_wrong(serving: Serving, query: str) -> None:
    """What cannot be is told, and not passed over."""
    assert serving.own.ask(f"/api/sessions?{query}").status == 400


def test_story(serving: Serving, server: Destination, dial: Dial) -> None:
    """All facts, and what the journal has of it, also when it is over."""
    client = dial()
    (listed,) = serving.own.get("/api/sessions")["sessions"]
    where = f"/api/sessions/{listed['session']}"
    story = serving.looker.get(where)
    assert story["live"]
    assert story["searched"]
    facts = story["facts"]
    assert {key: facts[key] for key in listed if key != "seconds"} == {
        key: value for key, value in listed.items() if key != "seconds"
    }
    assert facts["addresses"] == ["127.0.0.1"]
    assert facts["bound"].startswith("127.0.0.1:")
    (line,) = story["journal"]
    assert (line["event"], line["port"]) == ("decision", server.port)
    client.close()
    until(lambda: not serving.own.get(where)["live"])
    story = serving.own.get(where)
    assert story["facts"] is None
    assert [each["event"] for each in story["journal"]] == ["decision", "end"]
    assert serving.own.ask("/api/sessions/99999").status == 404
    assert serving.own.ask("/api/sessions/0").status == 400


def killed(serving: Serving, client: socket.socket) -> dict[str, Any]:
    """Return the end of a session that was killed: its client has seen it."""
    client.settimeout(10)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    place = "{}:{}".format(*client.getsockname())
    (session,) = {
        line["session"]
        for line in serving.gateway.journal("decision")
        if line["client"] == place
    }
    (end,) = until(
        lambda: [
            line
            for line in serving.gateway.journal("end")
            if line["session"] == session
        ]
    )
    return dict(end)


def acts(serving: Serving) -> list[tuple[Any, ...]]:
    """Return what the journal says of acts."""
    return [
        (line["who"], line["act"], line.get("what"), line["result"])
        for line in serving.gateway.journal("admin")
    ]


def test_killOne(serving: Serving, dial: Dial) -> None:
    """The client is cut off, the record says by whom, others live on."""
    client, other = dial(), dial()
    first, _ = serving.own.get("/api/sessions")["sessions"]
    number = first["session"]
    where = f"/api/sessions/{number}"
    answered = serving.operator.ask(where, "DELETE")
    assert (answered.status, answered.json) == (200, {"ended": 1})
    end = killed(serving, client)
    assert (end["reason"], end["why"]) == ("killed", "by token:operator")
    other.sendall(b"still here")
    assert raw.exactly(other, 10) == b"still here"
    assert serving.operator.ask(where, "DELETE").status == 404
    assert acts(serving)[-2:] == [
        ("token:operator", "kill", f"session={number}", "1 session ended"),
        (
            "token:operator",
            "kill",
            f"session={number}",
            f"session {number} is not live",
        ),
    ]


def test_killSome(serving: Serving, dial: Dial) -> None:
    """By any filter; all only where that is said."""
    client = dial()
    for query, status in (
        ("", 400),
        ("?all=false", 400),
        ("?all=true&user=anonymous", 400),
        ("?user=alice", 200),
    ):
        answered = serving.operator.ask(f"/api/sessions{query}", "DELETE")
        assert answered.status == status
        if status == 200:
            assert answered.json == {"ended": 0}
    client.sendall(b"x")
    assert raw.exactly(client, 1) == b"x"
    for query, what in (
        ("user=anonymous&rule=all", "user=anonymous rule=all"),
        ("source=127.0.0.1", "source=127.0.0.1"),
        ("all=true", "all"),
    ):
        client, other = dial(), dial()
        before = serving.own.get("/api/sessions")["live"]
        answered = serving.own.ask(f"/api/sessions?{query}", "DELETE")
        assert answered.json == {"ended": before}
        for each in (client, other):
            assert killed(serving, each)["why"].startswith("by uid:")
        until(lambda what=what: acts(serving)[-1][2] == what)
        who, act, _, result = acts(serving)[-1]
        assert (act, result) == ("kill", f"{before} sessions ended")
        assert who.startswith("uid:")


def test_mayNot(serving: Serving, dial: Dial) -> None:
    """Who may look may not end; who is nobody may neither."""
    client = dial()
    for path in ("/api/sessions?all=true", "/api/sessions/1"):
        before = acts(serving)
        assert serving.nobody.ask(path, "DELETE").status == 401
        assert acts(serving) == before
        assert serving.looker.ask(path, "DELETE").status == 403
        until(lambda before=before: len(acts(serving)) > len(before))
        assert acts(serving)[-1] == ("token:looker", "kill", None, "may not")
    for path in ("/api/sessions", "/api/sessions/1"):
        answered = serving.nobody.ask(path)
        assert answered.status == 401
        assert answered.fields["www-authenticate"] == "Bearer"
    client.sendall(b"x")
    assert raw.exactly(client, 1) == b"x"


def test_associations(serving: Serving) -> None:
    """UDP is counted while it moves, and ends as well."""
    with Echo() as server, Association(serving.gateway.port) as client:
        for _ in range(3):
            client.echo(server, b"0123456789")
        (found,) = serving.own.get("/api/sessions?command=udp")["sessions"]
        assert (found["sent"], found["received"]) == (30, 30)
        answered = serving.own.ask("/api/sessions?command=udp", "DELETE")
        assert answered.json == {"ended": 1}
        end = killed(serving, client.control)
        assert (end["sent"], end["received"], end["reason"]) == (30, 30, "killed")
    (flow,) = until(lambda: serving.gateway.journal("flow-end"))
    assert flow["reason"] == "cut"
