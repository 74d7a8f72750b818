"""
The gateway as a whole: how it is doing, reload, drain.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from socksgw.admin.slices import slices
from socksgw.admin.table import Answer, Asked, Entry, Refused, asJson, objectOf
from socksgw.admin.together import partsBefore, partsNow, partsOf
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.rates import SPANS
from socksgw.gateway.readiness import remarks, unready
from socksgw.gateway.starting import CannotStart

__all__ = ["ENTRIES"]

#: Sessions that are looked at in one turn of the reactor.
_LOOKED: Final = 1000
#: Of an upstream, from the best to the worst.
_STATES: Final = ("up", "ejected")
_NOBODY: Final = {"connected": 0, "most": 0, "pauses": 0, "refused": 0}


async def standing(asked: Asked) -> Mapping[str, Any]:
    """Return how this process is doing."""
    gateway = asked.gateway
    verdicts = gateway.meters.verdicts()
    over = [*gateway.meters.octets.values()]
    sent, received = sum(each[0] for each in over), sum(each[1] for each in over)
    live = 0
    async for piece in slices(asked, _LOOKED):
        for session in piece:
            moved = session.moved
            if gateway.sessions.has(session):
                live += 1
                # Some of it is counted already, when somebody looks at the metrics.
                counted = session.record.metered or (0, 0)
                sent += max(0, moved[0] - counted[0])
                received += max(0, moved[1] - counted[1])
    journal = gateway.journal
    return {
        "live": live,
        "begun": gateway.sessions.begun,
        "denied": verdicts["deny"],
        "refused": verdicts["refuse"],
        "per_second": gateway.rates.perSecond(),
        "moved": [sent, received],
        "clients": {
            "connected": gateway.census.clients,
            "most": gateway.census.most,
            "pauses": gateway.census.pauses,
            "refused": gateway.census.refused,
        },
        "listeners": {
            name: len(listener.clients) for name, listener in gateway.listeners.items()
        },
        "journal": [journal.number, journal.head, journal.failing, journal.refused],
        "upstreams": _upstreams(gateway),
    }


def _sums(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of members of the same names."""
    sums: dict[str, Any] = {}
    for each in found:
        for name, value in each.items():
            sums[name] = sums.get(name, 0) + value
    return sums


async def _status(asked: Asked) -> Answer:
    gateway = asked.gateway
    parts = await partsNow(asked, "status", standing)
    # What they have counted is counted here.
    before = _sums(await partsBefore(asked, "left"))
    sent, received = (sum(part["moved"][i] for part in parts) for i in (0, 1))
    rate = gateway.rates.moved(sent, received)
    # The last line is that of whoever has written last.
    journals = [part["journal"] for part in parts]
    journal = gateway.journal
    number, head = max(
        [(journal.number, journal.head), *[(each[0], each[1]) for each in journals]]
    )
    reloads = gateway.reloads
    reasons = unready(gateway)
    generation = gateway.generation
    return asJson(
        {
            "gateway": gateway.config.gateway.name,
            "caller": {
                "name": asked.caller.name,
                "roles": sorted(asked.caller.roles),
            },
            "version": version("socksgw"),
            "pid": os.getpid(),
            "seconds": round(gateway.clock() - gateway.began, 3),
            "configuration": gateway.config.file,
            "ready": not reasons,
            "reasons": reasons,
            "remarks": remarks(gateway),
            "draining": gateway.drained or gateway.stopping,
            "rules": len(generation.policy.ruleset.rules),
            "warnings": [str(each) for each in generation.warnings],
            "reloads": {
                "done": reloads.count - reloads.failures,
                "failed": reloads.failures,
            },
            "sessions": {
                **{
                    name: sum(part[name] for part in parts)
                    for name in ("live", "begun", "denied", "refused")
                },
                "live": sum(part["live"] for part in parts) + before.get("sessions", 0),
                "per_second": {
                    f"{span}s": _sums(part["per_second"][f"{span}s"] for part in parts)
                    for span in SPANS
                },
            },
            "octets": {
                "sent": sent,
                "received": received,
                "sent_per_second": None if rate is None else rate[0],
                "received_per_second": None if rate is None else rate[1],
            },
            "clients": _NOBODY
            | _sums(
                [
                    *[part["clients"] for part in parts],
                    {"connected": before.get("clients", 0)},
                ]
            ),
            "listeners": _listeners(
                gateway, _sums(part["listeners"] for part in parts)
            ),
            "journal": {
                "directory": str(journal.directory),
                "number": number,
                "head": head,
                "failing": journal.failing or any(each[2] for each in journals),
                "refused": sum(each[3] for each in journals),
            },
            "workers": _workers(gateway),
            "sinks": _sinks(gateway),
            "cluster": _cluster(gateway),
            "upstreams": _joined(each for part in parts for each in part["upstreams"]),
        }
    )


def _joined(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """
    Return upstreams as all processes know them.

    Each judges for itself: the state is that of those that use it least.
    """
    joined: dict[tuple[str, str], dict[str, Any]] = {}
    for each in found:
        before = joined.setdefault((each["name"], each["network"]), dict(each))
        if before == each:
            continue
        before["state"] = max(before["state"], each["state"], key=_STATES.index)
        before["sessions"] += each["sessions"]
        before["opened"] += each["opened"]
        before["failed"] = _sums((before["failed"], each["failed"]))
    return list(joined.values())


def _listeners(gateway: Gateway, clients: Mapping[str, int]) -> list[Mapping[str, Any]]:
    places = {listen.name: listen.places for listen in gateway.config.listen}
    return [
        {
            "name": name,
            "places": list(places.get(name, ())),
            "clients": count,
        }
        for name, count in {**dict.fromkeys(gateway.listeners, 0), **clients}.items()
    ]


def _workers(gateway: Gateway) -> list[Mapping[str, Any]]:
    return [
        {**each._asdict(), "seconds": round(each.seconds, 3)}
        for each in gateway.role.standings()
    ]


def _sinks(gateway: Gateway) -> list[Mapping[str, Any]]:
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "state": each.state,
            "position": each.position,
            "behind": gateway.sinks.behind(each),
            "delivered": each.delivered,
            "failures": each.failures,
            "missed": each.missed,
            "aside": each.aside,
            "why": each.why,
        }
        for each in gateway.sinks.standings.values()
    ]


def _cluster(gateway: Gateway) -> Mapping[str, Any] | None:
    cluster = gateway.cluster
    if cluster is None:
        return None
    members = cluster.counters.members
    return {
        "member": members.name,
        "members": [*members.all],
        "absent": [*cluster.absent],
        "alone": cluster.isAlone,
        "exchanges": cluster.exchanges,
        "failures": cluster.failures,
        "why": cluster.standing,
    }


def _upstreams(gateway: Gateway) -> list[Mapping[str, Any]]:
    return [
        {
            "name": each.name,
            "network": domain.tag if domain.name else "",
            "state": each.state,
            "sessions": each.sessions,
            "opened": each.opened,
            "failed": dict(each.failed),
        }
        for domain, each in gateway.upstreams
    ]


async def _reload(asked: Asked) -> Answer:
    answer = await asked.gateway.reload()
    warnings = [str(each) for each in answer.warnings]
    if answer.problems:
        problems = [str(each) for each in answer.problems]
        raise Refused(422, f"not reloaded: {problems[0]}", problems)
    asked.result = f"reloaded; {answer.ended} sessions ended"
    return asJson({"reloaded": True, "warnings": warnings, "ended": answer.ended})


async def _restart(asked: Asked) -> Answer:
    try:
        done = await asked.gateway.relief.restart()
    except CannotStart as e:
        lines = str(e).splitlines()
        raise Refused(409, f"not restarted: {lines[0]}", lines) from None
    asked.result = f"process {done.pid} serves; {done.moved} sessions moved"
    return asJson(
        {"restarted": True, "pid": done.pid, "moved": done.moved, "left": done.left}
    )


async def left(asked: Asked) -> Mapping[str, int]:
    """Return the sessions and clients of this process."""
    gateway = asked.gateway
    return {
        "sessions": len(gateway.sessions),
        "clients": sum(len(each.clients) for each in gateway.listeners.values()),
    }


async def _left(asked: Asked) -> Mapping[str, Any]:
    found = _sums(await partsOf(asked, "left", left))
    gateway = asked.gateway
    return {
        "draining": gateway.drained or gateway.stopping,
        "sessions": found.get("sessions", 0),
        "clients": found.get("clients", 0),
    }


async def _drains(asked: Asked) -> Answer:
    return asJson(await _left(asked))


async def _drain(asked: Asked) -> Answer:
    asked.gateway.drain()
    found = await _left(asked)
    asked.result = f"drains; {found['sessions']} sessions are left"
    return asJson(found)


async def _undrain(asked: Asked) -> Answer:
    if asked.gateway.stopping:
        raise Refused(409, "the gateway is stopping, which nothing takes back")
    try:
        asked.gateway.undrain()
    except CannotStart as e:
        lines = str(e).splitlines()
        raise Refused(409, f"still draining: {lines[0]}", lines) from None
    return asJson(await _left(asked))


_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_SECONDS: Final = {"type": "number", "minimum": 0}
_MAYBE: Final = {"type": ["number", "null"], "minimum": 0}
_TRUTH: Final = {"type": "boolean"}
_SPAN: Final = objectOf(begun=_SECONDS, denied=_SECONDS, refused=_SECONDS)
_STATUS: Final = objectOf(
    gateway=_TEXT,
    caller=objectOf(name=_TEXT, roles=_TEXTS),
    version=_TEXT,
    pid=_NUMBER,
    seconds=_SECONDS,
    configuration=_TEXT,
    ready=_TRUTH,
    reasons=_TEXTS,
    remarks=_TEXTS,
    draining=_TRUTH,
    rules=_NUMBER,
    warnings=_TEXTS,
    reloads=objectOf(done=_NUMBER, failed=_NUMBER),
    sessions=objectOf(
        live=_NUMBER,
        begun=_NUMBER,
        denied=_NUMBER,
        refused=_NUMBER,
        per_second={"type": "object", "additionalProperties": _SPAN},
    ),
    octets=objectOf(
        sent=_NUMBER,
        received=_NUMBER,
        sent_per_second=_MAYBE,
        received_per_second=_MAYBE,
    ),
    clients=objectOf(connected=_NUMBER, most=_NUMBER, pauses=_NUMBER, refused=_NUMBER),
    listeners={
        "type": "array",
        "items": objectOf(name=_TEXT, places=_TEXTS, clients=_NUMBER),
    },
    journal=objectOf(
        directory=_TEXT, number=_NUMBER, head=_TEXT, failing=_TRUTH, refused=_NUMBER
    ),
    workers={
        "type": "array",
        "items": objectOf(
            number=_NUMBER,
            pid=_NUMBER,
            state={"enum": ["serves", "starts", "silent", "dead"]},
            seconds=_SECONDS,
            sessions=_NUMBER,
            deaths=_NUMBER,
        ),
    },
    sinks={
        "type": "array",
        "items": objectOf(
            name=_TEXT,
            kind=_TEXT,
            state=_TEXT,
            position=_NUMBER,
            behind=_NUMBER,
            delivered=_NUMBER,
            failures=_NUMBER,
            missed=_NUMBER,
            aside=_NUMBER,
            why=_TEXT,
        ),
    },
    cluster={
        "anyOf": [
            {"type": "null"},
            objectOf(
                member=_TEXT,
                members=_TEXTS,
                absent=_TEXTS,
                alone=_TRUTH,
                exchanges=_NUMBER,
                failures=_NUMBER,
                why=_TEXT,
            ),
        ]
    },
    upstreams={
        "type": "array",
        "items": objectOf(
            name=_TEXT,
            network=_TEXT,
            state=_TEXT,
            sessions=_NUMBER,
            opened=_NUMBER,
            failed={"type": "object", "additionalProperties": _NUMBER},
        ),
    },
)
_LEFT: Final = {200: objectOf(draining=_TRUTH, sessions=_NUMBER, clients=_NUMBER)}

ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/api/status",
        _status,
        "Tell how the gateway is doing. Octets a second are since the request before, "
        "null if that was more than a minute ago.",
        {200: _STATUS},
    ),
    Entry(
        "POST",
        "/api/reload",
        _reload,
        "Read the configuration again, and use it if nothing is wrong with it.",
        {200: objectOf(reloaded={"const": True}, warnings=_TEXTS, ended=_NUMBER)},
        refuses=(422,),
        role="operate",
        act="reload",
    ),
    Entry(
        "POST",
        "/api/restart",
        _restart,
        "Start the program once more, which takes over: no client is refused or cut "
        "off. Sessions that cannot move go on in the process that is left.",
        {
            200: objectOf(
                restarted={"const": True}, pid=_NUMBER, moved=_NUMBER, left=_NUMBER
            )
        },
        refuses=(409,),
        role="operate",
        act="restart",
    ),
    Entry(
        "GET",
        "/api/drain",
        _drains,
        "Tell whether the gateway drains, and what is left.",
        _LEFT,
    ),
    Entry(
        "POST",
        "/api/drain",
        _drain,
        "Accept no clients any more; sessions go on. The process stays.",
        _LEFT,
        role="operate",
        act="drain",
    ),
    Entry(
        "DELETE",
        "/api/drain",
        _undrain,
        "Accept clients again.",
        _LEFT,
        refuses=(409,),
        role="operate",
        act="undrain",
    ),
)
