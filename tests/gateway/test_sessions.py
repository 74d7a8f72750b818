"""
The table of live sessions.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from socksgw.gateway.sessions import Sessions
from socksgw.session.stage import Stage
from socksgw.wire.address import Address


def session(number: int, stage: Stage = Stage.RELAY, name: str = "alice") -> Any:
    """One that is counted."""
    user = SimpleNamespace(name=name, anonymous=name == "*", expires=5.0 * number)
    return SimpleNamespace(
        record=SimpleNamespace(
            session=number, allowed=True, decidedBy="r", sent=1, received=2
        ),
        claim=object(),
        stage=stage,
        asker=SimpleNamespace(user=user),
    )


def test_whoEndsMeanwhile() -> None:
    """Who goes through them may end some: those are seen, and numbers go on."""
    sessions = Sessions()
    for _ in range(3):
        sessions.begin(session)
    seen = []
    for each in sessions:
        seen.append(each.record.session)
        if len(sessions) == 3:
            sessions.end(each)
    assert (seen, len(sessions)) == ([1, 2, 3], 2)
    assert sessions.begin(session).record.session == 4


def test_whoLivesOnAVerdict() -> None:
    """Those that route or relay; by name, if wanted; and who they are."""
    sessions = Sessions()
    for stage, name in (
        (Stage.ROUTE, "alice"),
        (Stage.RELAY, "bob"),
        (Stage.RELAY, "*"),
        (Stage.NEGOTIATE, "carol"),
    ):
        sessions.begin(partial(session, stage=stage, name=name))
    granted = [each.asker.user.name for each in sessions.granted()]
    assert granted == ["alice", "bob", "*"]
    assert [each.asker.user.name for each in sessions.granted({"bob", "carol"})] == [
        "bob"
    ]
    assert sessions.users() == {"alice", "bob", "carol"}


def test_whoHasLostTheWay() -> None:
    """Those that leave by an upstream, from an address that is gone."""
    sessions = Sessions()
    places = [None, Address.parse("192.0.2.1"), Address.parse("192.0.2.2")]
    for place in places:
        sessions.begin(session).outgoing = place
    left = sessions.stranded(lambda address: address == places[2])
    assert [each.outgoing for each in left] == [places[1]]


def test_whoseLoginHasEnded() -> None:
    """Those whose login has an end, from that second on."""
    sessions = Sessions()

    def hashable(number: int) -> Any:
        return Hashable(session(number))

    for _ in range(2):
        begun: Any = sessions.begin(hashable)
        sessions.expiring[begun] = None
    assert [each.record.session for each in sessions.expired(5.0)] == [1]
    sessions.end(next(sessions.expired(5.0)))
    assert list(sessions.expired(6.0)) == []


class Hashable:
    """A session, as a key."""

    def __init__(self, facts: Any) -> None:
        self.__dict__.update(vars(facts))
