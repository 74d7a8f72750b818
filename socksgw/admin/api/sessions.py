"""
Live sessions: list them, tell one's whole story, end some.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import nlargest, nsmallest
from typing import Any, Final

from socksgw.admin.fields import CHOOSING, Field
from socksgw.admin.filtering import Choice
from socksgw.admin.slices import slices
from socksgw.admin.table import Answer, Asked, Entry, Refused, asJson, objectOf
from socksgw.admin.together import partsOf
from socksgw.audit.tracing import Traced, trace
from socksgw.errors import Killed
from socksgw.gateway.gateway import Gateway
from socksgw.session.session import Session
from socksgw.session.stage import Stage
from socksgw.wire.address import Address

__all__ = ["ENTRIES", "factsOf"]

#: Sessions that are looked at, and ended, in one turn of the reactor.
_LOOKED: Final = 1000
_ENDED: Final = 100
#: Sessions of one page, if nothing is said, and at most; and how far pages go.
_PAGE: Final = 100
_LARGEST: Final = 1000
_FARTHEST: Final = 10_000
#: Searches of the journal at a time.
_SEARCHES: Final = 2

_SORTS: Final[Mapping[str, Callable[[Session], Any]]] = {
    "session": lambda session: session.record.session,
    "began": lambda session: session.record.began,
    "sent": lambda session: session.moved[0],
    "received": lambda session: session.moved[1],
    "octets": lambda session: sum(session.moved),
    "user": lambda session: session.record.user,
    "source": lambda session: session.client.source.text,
    "destination": lambda session: _asked(session),
    "rule": lambda session: session.record.rule,
    "listener": lambda session: session.record.listener,
    # Of one process all are the same.
    "worker": lambda _: 0,
}


#: The same of what a list says of a session.
_KEYS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    **{name: lambda facts, name=name: facts[name] for name in _SORTS},  # type: ignore[misc]
    "octets": lambda facts: facts["sent"] + facts["received"],
    "source": lambda facts: facts["client"].rpartition(":")[0].strip("[]"),
    "destination": lambda facts: facts["asked"],
    "worker": lambda facts: facts.get("worker") or 0,
}


async def _list(asked: Asked) -> Answer:
    given = asked.query
    offset, limit = given.get("offset", 0), given.get("limit", _PAGE)
    if offset + limit > _FARTHEST:
        raise Refused(400, f"pages end at {_FARTHEST}: choose fewer sessions")
    # One that cannot be is refused here.
    Choice(given, asked.gateway.clock())
    upTo = {**given, "offset": 0, "limit": offset + limit}
    parts = await partsOf(asked, "sessions", listed, upTo)
    found = [facts for part in parts for facts in part["sessions"]]
    if len(parts) > 1:
        key = _KEYS[given.get("sort", "session")]
        found.sort(
            key=lambda facts: (key(facts), facts["session"]),
            reverse=given.get("order") == "desc",
        )
        found = found[offset : offset + limit]
    return asJson(
        {
            "sessions": found,
            "matched": sum(part["matched"] for part in parts),
            "live": sum(part["live"] for part in parts),
            "offset": offset,
            "limit": limit,
        }
    )


async def listed(asked: Asked) -> Mapping[str, Any]:
    """Return sessions of this process, how many match, and how many live."""
    given = asked.query
    gateway = asked.gateway
    choice = Choice(given, gateway.clock())
    offset, limit = given.get("offset", 0), given.get("limit", _PAGE)
    sort = _SORTS[given.get("sort", "session")]
    best = nlargest if given.get("order") == "desc" else nsmallest
    found: list[tuple[Any, int, Session]] = []
    matched = 0
    async for piece in slices(asked, _LOOKED):
        chosen = [each for each in piece if choice.has(each)]
        matched += len(chosen)
        keyed = [(sort(each), each.record.session, each) for each in chosen]
        found = best(offset + limit, [*found, *keyed])
    wall = time.time() - gateway.clock()
    return {
        "sessions": [factsOf(each, gateway, wall) for *_, each in found[offset:]],
        "matched": matched,
        "live": len(gateway.sessions),
    }


def _asked(session: Session) -> str:
    """Return what a client has asked for, as text."""
    return session.record.asked.decode("ascii", "backslashreplace")


def _place(address: Address | str, port: int) -> str:
    text = str(address)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def factsOf(session: Session, gateway: Gateway, wall: float) -> dict[str, Any]:
    """
    Return what a list says of a session.

    @param wall: seconds since the epoch at the beginning of monotonic time.
    """
    record = session.record
    sent, received = session.moved
    seconds = gateway.clock() - record.began
    return {
        "session": record.session,
        "began": _moment(wall + record.began),
        "seconds": round(seconds, 3),
        "stage": session.stage.value,
        "listener": record.listener,
        "client": _place(session.client.source, session.client.port),
        "protocol": record.protocol,
        "user": record.user,
        "tag": record.tag,
        "method": record.method,
        "command": record.command,
        "asked": _asked(session),
        "port": record.port,
        "address": None if record.dialled is None else record.dialled.text,
        "rule": record.rule,
        "path": record.path,
        "worker": gateway.role.number or None,
        "sent": sent,
        "received": received,
    }


def _moment(seconds: float) -> str:
    """Return a time as the journal writes it."""
    whole = int(seconds)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{stamp}.{int((seconds - whole) * 1000):03d}Z"


class _Searches:
    """Counts the searches of the journal that are under way."""

    running = 0


async def _story(asked: Asked) -> Answer:
    number = asked.path["number"]
    parts = await partsOf(asked, "story", told)
    live = [part for part in parts if part["facts"] is not None]
    facts, since = (live[0]["facts"], live[0]["since"]) if live else (None, "")
    if not live and number > max([part["last"] for part in parts], default=number):
        raise Refused(404, f"there has been no session {number}")
    found = await _traced(asked, number, since)
    if facts is None and not found.lines:
        raise Refused(
            404, f"session {number} is over, and the journal's end has nothing of it"
        )
    return asJson(
        {
            "live": facts is not None,
            "facts": facts,
            "journal": found.lines,
            "omitted": found.omitted,
            "searched": found.whole,
        }
    )


async def told(asked: Asked) -> Mapping[str, Any]:
    """Return the facts of a session of this process, if it lives here."""
    gateway = asked.gateway
    session = gateway.sessions.get(asked.path["number"])
    if session is None:
        return {"facts": None, "since": "", "last": gateway.sessions.last}
    wall = time.time() - gateway.clock()
    return {
        "facts": factsOf(session, gateway, wall) | _more(session),
        # What its clock says and the journal's may differ a little.
        "since": _moment(wall + session.record.began - 5),
        "last": gateway.sessions.last,
    }


async def _traced(asked: Asked, number: int, since: str) -> Traced:
    """
    Search the journal in a thread.

    @raise Refused: too many do that already, or it cannot be read.
    """
    if _Searches.running >= _SEARCHES:
        raise Refused(429, "others search the journal: ask again")
    _Searches.running += 1
    directory = asked.gateway.journal.directory
    try:
        return await asked.gateway.elsewhere(partial(trace, directory, number, since))
    except OSError as e:
        raise Refused(503, f"the journal cannot be read: {e.strerror}") from None
    finally:
        _Searches.running -= 1


def _more(session: Session) -> dict[str, Any]:
    """Return what only the story of a session says."""
    record, client = session.record, session.client
    program = client.program
    return {
        "groups": sorted(record.groups),
        "user_id": record.userId.decode("ascii", "backslashreplace"),
        "secured": record.secured,
        "network": client.domain.tag if client.domain.name else "",
        "uid": None if program is None else program.uid,
        "pid": None if program is None else program.pid,
        "gateways": list(client.gateways),
        "name": record.name,
        "addresses": [each.text for each in record.addresses],
        "struck": [[each.text, why] for each, why in record.struck],
        "judged": record.judged or "address",
        "decided_by": record.decidedBy,
        "why": record.why,
        "ticket": record.ticket,
        "via": record.via,
        "bound": None if record.bound is None else _place(*record.bound),
    }


# Ending.


def _end(session: Session, who: str) -> None:
    session.client.end(Killed(f"by {who}"))


async def _kill(asked: Asked) -> Answer:
    given = asked.query
    choice = Choice(given, asked.gateway.clock())
    asked.what = choice.text or "all"
    if choice.text and given.get("all"):
        raise Refused(400, "all=true ends all sessions: give nothing else with it")
    if not choice.text and not given.get("all"):
        raise Refused(400, "say which sessions, or all=true")
    parts = await partsOf(asked, "kill", killed)
    ended = sum(parts)
    asked.result = f"{ended} sessions ended"
    return asJson({"ended": ended})


async def killed(asked: Asked) -> int:
    """End sessions of this process, and return how many were."""
    choice = Choice(asked.query, asked.gateway.clock())
    ended = 0
    async for piece in slices(asked, _ENDED):
        for session in piece:
            # Others of this piece may have ended with one.
            if choice.has(session) and asked.gateway.sessions.has(session):
                _end(session, asked.caller.name)
                ended += 1
        # Where whoever asks goes, it is told all the same how far this was.
        asked.result = f"{ended} sessions ended"
    return ended


async def _killOne(asked: Asked) -> Answer:
    number = asked.path["number"]
    asked.what = f"session={number}"
    if not sum(await partsOf(asked, "killOne", killedOne)):
        raise Refused(404, f"session {number} is not live")
    asked.result = "1 session ended"
    return asJson({"ended": 1})


async def killedOne(asked: Asked) -> int:
    """End a session, and return whether it lived in this process."""
    session = asked.gateway.sessions.get(asked.path["number"])
    if session is None:
        return 0
    _end(session, asked.caller.name)
    return 1


_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_OPTIONAL: Final = {"type": ["string", "null"]}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_FACTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "session": _NUMBER,
    "began": _TEXT,
    "seconds": {"type": "number"},
    "stage": {"enum": [each.value for each in Stage]},
    "listener": _TEXT,
    "client": _TEXT,
    "protocol": _TEXT,
    "user": _TEXT,
    "tag": _TEXT,
    "method": _TEXT,
    "command": _TEXT,
    "asked": _TEXT,
    "port": _NUMBER,
    "address": _OPTIONAL,
    "rule": _TEXT,
    "path": _TEXT,
    "worker": {"type": ["integer", "null"]},
    "sent": _NUMBER,
    "received": _NUMBER,
}
_STORY: Final[Mapping[str, Mapping[str, Any]]] = {
    **_FACTS,
    "groups": _TEXTS,
    "user_id": _TEXT,
    "secured": _TEXT,
    "network": _TEXT,
    "uid": {"type": ["integer", "null"]},
    "pid": {"type": ["integer", "null"]},
    "gateways": _TEXTS,
    "name": _OPTIONAL,
    "addresses": _TEXTS,
    "struck": {"type": "array", "items": _TEXTS},
    "judged": {"enum": ["name", "address"]},
    "decided_by": _TEXT,
    "why": _TEXT,
    "ticket": _TEXT,
    "via": _TEXT,
    "bound": _OPTIONAL,
}
_WHICH: Final = (
    Field("number", "integer", "The session's number.", least=1, most=2**63),
)
_ENDS: Final = {200: objectOf(ended=_NUMBER)}

ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/api/sessions",
        _list,
        "List live sessions.",
        {
            200: objectOf(
                sessions={"type": "array", "items": objectOf(**_FACTS)},
                matched=_NUMBER,
                live=_NUMBER,
                offset=_NUMBER,
                limit=_NUMBER,
            )
        },
        query=(
            *CHOOSING,
            Field("sort", "string", "By what they are sorted.", one=tuple(_SORTS)),
            Field("order", "string", "In which order.", one=("asc", "desc")),
            Field("offset", "integer", "Leave so many out.", least=0, most=_FARTHEST),
            Field("limit", "integer", "List so many at most.", least=1, most=_LARGEST),
        ),
    ),
    Entry(
        "DELETE",
        "/api/sessions",
        _kill,
        "End the sessions that are chosen; all of them need all=true.",
        _ENDS,
        role="operate",
        act="kill",
        query=(*CHOOSING, Field("all", "boolean", "End every session.")),
    ),
    Entry(
        "GET",
        "/api/sessions/{number}",
        _story,
        "Tell the whole story of a session: its facts now, and its lines in the journal.",
        {
            200: objectOf(
                live={"type": "boolean"},
                facts={"anyOf": [objectOf(**_STORY), {"type": "null"}]},
                journal={"type": "array", "items": {"type": "object"}},
                omitted=_NUMBER,
                searched={"type": "boolean"},
            )
        },
        refuses=(404, 429, 503),
        inPath=_WHICH,
    ),
    Entry(
        "DELETE",
        "/api/sessions/{number}",
        _killOne,
        "End a session.",
        _ENDS,
        refuses=(404,),
        role="operate",
        act="kill",
        inPath=_WHICH,
    ),
)
