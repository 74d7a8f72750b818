"""
Live sessions that move to another process: plain sockets, of which octets are spliced.

All others stay where they are.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from socksgw.accept.inbound import Inbound
from socksgw.accept.listener import Listener
from socksgw.audit.record import SessionRecord
from socksgw.interfaces import Asker
from socksgw.policy.questions import Found, Obligations
from socksgw.relay.splice import SpliceRelay
from socksgw.relay.tally import MOVED, Tally
from socksgw.session.case import Used
from socksgw.session.express import Express
from socksgw.session.facts import decoded, encoded, userOf, userTold
from socksgw.session.session import Gateway, Session
from socksgw.session.stage import Stage
from socksgw.session.streams import CONNECT, Connect
from socksgw.system.domains import Domain
from socksgw.system.plain import PlainConnection
from socksgw.system.sockets import keepAlive
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = [
    "Moving",
    "descriptors",
    "dismiss",
    "movable",
    "rest",
    "restored",
    "resume",
    "told",
]

#: Facts that are of no use any more once a session relays.
_PAST: Final = frozenset({"offered", "wanted"})
_FRESH: Final = SessionRecord(0, "", Address(bytes(4)), 0, 0.0)


class Upstream(Used, Protocol):
    """What counts the sessions of an upstream, and those of another process."""

    def adopt(self) -> None:
        """Count one session more, which another process has opened."""


class Moving(Gateway, Protocol):
    """What a session that comes needs of its new gateway."""

    @property
    def watch(self) -> Watcher:
        """What tells that its sockets are ready."""

    @property
    def upstreams(self) -> Sequence[tuple[Domain, Upstream]]:
        """What is known of each upstream, and the network that it is used from."""


def movable(session: Session) -> bool:
    """Return whether another process can go on with a session."""
    tally, client = session.tally, session.client
    return (
        session.stage is Stage.RELAY
        and isinstance(session.command, Connect)
        and session.claim is not None
        and tally is not None
        and type(tally.relay) is SpliceRelay
        and tally.relay.movable
        and not session.pending
        and client.protection is None
        and type(client.connection) is PlainConnection
    )


def _relayOf(session: Session) -> SpliceRelay:
    tally = session.tally
    assert tally is not None
    assert type(tally.relay) is SpliceRelay
    return tally.relay


def rest(session: Session) -> None:
    """Have a session that is L{movable} move nothing, until L{resume} or L{dismiss}."""
    _relayOf(session).rest()


def resume(session: Session) -> None:
    """Have a session go on that rests here, or has come."""
    _relayOf(session).goOn()


def dismiss(session: Session) -> None:
    """Forget a session that rests: another process has it."""
    _relayOf(session).finish(MOVED)


def told(session: Session) -> tuple[dict[str, Any], list[int]]:
    """
    Return what another process has to know of a session that rests.

    @return: the facts, and the descriptors.
    @raise TypeError: a fact cannot be told.
    """
    record, client, asker = session.record, session.client, session.asker
    relay, fds = _relayOf(session).told()
    facts = {
        name: encoded(value)
        for name in SessionRecord.__slots__
        if name not in _PAST
        and (value := getattr(record, name)) != getattr(_FRESH, name)
    }
    # Also those that another relay moved before, or who looked at the first octets.
    relay[0][0], relay[1][0] = session.moved
    assert session.claim is not None
    return {
        "record": facts,
        "user": userTold(asker.user),
        "came": client.came,
        "gateways": list(client.gateways),
        "rule": session.claim.rule,
        "idle": session.obligations.idle,
        "found": session.found,
        "upstreams": [each.name for each in session.upstreams],
        "outgoing": encoded(session.outgoing),
        "relay": relay,
    }, fds


def _join(gateway: Moving, session: Session, name: str) -> None:
    """Count a session as one of an upstream's, unless there is none of that name."""
    for domain, standing in gateway.upstreams:
        if standing.name == name and domain == session.client.domain:
            standing.adopt()
            session.joins(standing)
            return


def descriptors(facts: Mapping[str, Any]) -> int:
    """Return how many descriptors belong to the facts of a session."""
    return 2 + sum(2 for side in facts["relay"][:2] if side[6])


def restored(
    gateway: Moving,
    facts: Mapping[str, Any],
    fds: Sequence[int],
    begin: Callable[[int, Callable[[int], Session]], Session],
    named: Callable[[str], Listener],
) -> Session:
    """
    Return a session that another process has L{told}; it rests until L{resume}.

    @param fds: the descriptors, which are the session's then.
    @param begin: makes the session and counts it as live, from what makes it.
    @param named: returns the listener of a name, also where none is configured.
    @raise ValueError: the facts are not right.
    """
    record = {name: decoded(value) for name, value in facts["record"].items()}
    near, far, *_ = facts["relay"]
    left = list(fds)
    sockets: list[socket.socket] = []
    pipes: list[tuple[int, int] | None] = []
    for side in (near, far):
        sockets.append(socket.socket(fileno=left.pop(0)))
        sockets[-1].setblocking(False)
        pipes.append((left.pop(0), left.pop(0)) if side[6] else None)
    # The other process may not have come to it.
    keepAlive(sockets[1])
    listener = named(record["listener"])
    client = Inbound(listener, record["client"], record.get("clientPort", 0))
    client.gateways = tuple(facts["gateways"])
    client_, destination = (PlainConnection(each, gateway.watch) for each in sockets)
    client.connection = client_
    session = begin(record["session"], lambda number: Session(gateway, client, number))
    for name, value in record.items():
        setattr(session.record, name, value)
    lane = Express.relaying(session, destination)
    client.adopt(client_, float(facts["came"]), lane)
    session.asker = Asker(
        userOf(facts["user"]),
        client.source,
        session.record.listener,
        session.record.secured,
        session.record.tag,
    )
    if session.asker.user.expires is not None:
        gateway.expiring[session] = None
    # What a client wanted of the stacks, its sockets have.
    session.command = CONNECT
    session.obligations = Obligations(idle=facts["idle"])
    session.found = Found(*facts["found"]) if facts["found"] else None
    session.outgoing = decoded(facts["outgoing"])
    for name in facts["upstreams"]:
        _join(gateway, session, name)
    claim = session.claim = gateway.limits.resume(
        session.asker, CONNECT.name, facts["rule"]
    )
    tally = session.tally = Tally()
    session.generation.relays.rejoin(
        client,
        destination,
        tally,
        lane,
        facts["idle"],
        claim.sending,
        claim.receiving,
        facts["relay"],
        pipes,
    )
    session.relaying()
    return session
