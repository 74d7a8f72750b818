"""
What is done again and again goes on, whatever fails in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.logger import capturedLogs, eventAsText

from socksgw.errors import Revoked
from socksgw.gateway.reload import Supervisor
from socksgw.session.stage import Stage
from socksgw.system.upkeep import Upkeep

CANARY = "canary-77b0"


class Defect(Exception):
    """Nobody expects it; its text is a secret."""


def failing(*_: Any) -> Any:
    raise Defect(CANARY)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged has no secret."""
    with capturedLogs() as events:
        yield events
    assert all(CANARY not in f"{each!r}{eventAsText(each)}" for each in events)


def test_said(logged: list[Any]) -> None:
    """Once, with the place; again only when it has worked in between."""
    upkeep = Upkeep()
    for part, said in ((failing, 1), (failing, 1), (len, 1), (failing, 2)):
        upkeep.do("a part", lambda part=part: part("x"))
        assert len(logged) == said
    text = eventAsText(logged[0])
    assert "a part failed" in text
    assert "in failing" in text


class Live:
    """A session, or a client."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


class Service:
    """What is supervised."""

    def __init__(self) -> None:
        self.config: Any = SimpleNamespace(
            gateway=SimpleNamespace(enforce="all", reload_on_change=False)
        )
        self.hosts: Any = SimpleNamespace(changes=0)
        self.lines: list[str] = []
        self.journal: Any = SimpleNamespace(append=self.lines.append)
        self.ended: list[str] = []
        self.generation: Any = SimpleNamespace(
            secured={},
            login=SimpleNamespace(
                changes=0, directory=None, problems=[], now=lambda user: user
            ),
            policy=SimpleNamespace(ruleset=SimpleNamespace(timed=False, rules=())),
            warnings=(),
        )
        self.sessions: dict[int, Any] = {}
        self.expiring: dict[Any, None] = {}
        self.listeners: dict[str, Any] = {}

    def session(self, again: Any, expires: float | None = None) -> Any:
        """One that relays."""
        user = SimpleNamespace(
            name="alice",
            method="userpass",
            anonymous=False,
            groups=frozenset(),
            expires=expires,
        )
        number = len(self.sessions)
        session = Live(
            claim=SimpleNamespace(rule="r"),
            stage=Stage.RELAY,
            asker=SimpleNamespace(user=user, source=None, listener="lan", secured=""),
            command=SimpleNamespace(again=again),
            client=SimpleNamespace(end=lambda e: self.ended.append(f"{number} {e}")),
        )
        self.sessions[number] = session
        return session


def allowed(*_: Any) -> Any:
    return SimpleNamespace(allowed=True, rule="r", why="")


def test_onePartFails(logged: list[Any]) -> None:
    """
    Files of a listener's TLS that nobody can read, and directories that
    cannot be asked, keep nobody in whose login has ended.
    """
    service = Service()
    service.generation.secured = {"one": SimpleNamespace(refresh=failing)}
    service.generation.login.directory = SimpleNamespace(refresh=failing, changed=())
    service.expiring[service.session(allowed, expires=5.0)] = None
    supervisor = Supervisor(service, None, lambda: 10.0)  # type: ignore[arg-type]
    for _ in range(3):
        supervisor.look()
    assert service.ended == ["0 the login has expired"] * 3
    assert len(logged) == 2


def test_certificateFails(logged: list[Any]) -> None:
    """Whose certificate cannot be judged again is out."""
    service = Service()
    ended: list[Revoked] = []
    client = Live(identity=object(), halfOpen=False, end=ended.append)
    service.listeners["one"] = SimpleNamespace(clients={client: None})
    service.generation.secured = {
        "one": SimpleNamespace(
            objection=failing,
            refresh=lambda: SimpleNamespace(problems=(), read=(), rejudge=True),
        )
    }
    Supervisor(service, None).look()  # type: ignore[arg-type]
    assert [str(each) for each in ended] == [
        "the client's certificate: it could not be judged again"
    ]
