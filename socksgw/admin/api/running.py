"""
The gateway as a whole: how it is doing, reload, drain.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from socksgw.admin.slices import slices
from socksgw.admin.table import Answer, Asked, Entry, Refused, asJson, objectOf
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.listeners import CannotStart

__all__ = ["ENTRIES"]

#: Sessions that are looked at in one turn of the reactor.
_LOOKED: Final = 1000


async def _status(asked: Asked) -> Answer:
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
    rate = gateway.rates.moved(sent, received)
    reloads = gateway.reloads
    reasons = gateway.unready()
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
            "draining": gateway.drained or gateway.stopping,
            "rules": len(generation.policy.ruleset.rules),
            "warnings": [str(each) for each in generation.warnings],
            "reloads": {
                "done": reloads.count - reloads.failures,
                "failed": reloads.failures,
            },
            "sessions": {
                "live": live,
                "begun": gateway.sessions.begun,
                "denied": verdicts["deny"],
                "refused": verdicts["refuse"],
                "per_second": gateway.rates.perSecond(),
            },
            "octets": {
                "sent": sent,
                "received": received,
                "sent_per_second": None if rate is None else rate[0],
                "received_per_second": None if rate is None else rate[1],
            },
            "clients": {
                "connected": gateway.census.clients,
                "most": gateway.census.most,
                "pauses": gateway.census.pauses,
                "refused": gateway.census.refused,
            },
            "listeners": _listeners(gateway),
            "journal": {
                "directory": str(gateway.journal.directory),
                "number": gateway.journal.number,
                "head": gateway.journal.head,
                "failing": gateway.journal.failing,
                "refused": gateway.journal.refused,
            },
            "sinks": _sinks(gateway),
            "upstreams": _upstreams(gateway),
        }
    )


def _listeners(gateway: Gateway) -> list[Mapping[str, Any]]:
    places = {listen.name: listen.places for listen in gateway.config.listen}
    return [
        {
            "name": name,
            "places": list(places.get(name, ())),
            "clients": len(listener.clients),
        }
        for name, listener in gateway.listeners.items()
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


def _left(gateway: Gateway) -> Answer:
    return asJson(
        {
            "draining": gateway.drained or gateway.stopping,
            "sessions": len(gateway.sessions),
            "clients": sum(len(each.clients) for each in gateway.listeners.values()),
        }
    )


def _drains(asked: Asked) -> Answer:
    return _left(asked.gateway)


def _drain(asked: Asked) -> Answer:
    asked.gateway.drain()
    asked.result = f"drains; {len(asked.gateway.sessions)} sessions are left"
    return _left(asked.gateway)


def _undrain(asked: Asked) -> Answer:
    if asked.gateway.stopping:
        raise Refused(409, "the gateway is stopping, which nothing takes back")
    try:
        asked.gateway.undrain()
    except CannotStart as e:
        lines = str(e).splitlines()
        raise Refused(409, f"still draining: {lines[0]}", lines) from None
    return _left(asked.gateway)


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
