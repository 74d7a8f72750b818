"""
Grants: C{/api/grants}. One asks, another approves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from socksgw.admin.fields import Field
from socksgw.admin.table import Answer, Asked, Entry, Refused, asJson, objectOf
from socksgw.gateway.grantfile import STATES, Grant, document
from socksgw.gateway.grants import GrantRefused
from socksgw.policy.granting import ruleIdOf, told

__all__ = ["ENTRIES"]

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_GRANT: Final = objectOf(
    number={"type": "integer"},
    state={"enum": list(STATES)},
    rule=_TEXT,
    ticket=_TEXT,
    why=_TEXT,
    allows=_TEXT,
    asked={"type": "object"},
    template=_TEXT,
    requested_by=_TEXT,
    requested_at=_TIME,
    approved_by=_TEXT,
    approved_at=_TIME,
    until=_TIME,
    ended_by=_TEXT,
    ended_at=_TIME,
    ended_why=_TEXT,
)
_NUMBER: Final = Field("number", "integer", "its number", least=1, required=True)
_WHO: Final = 'users and groups, as in a rule: ["alice", "@ops"]'
_TO: Final = 'destinations, as in a rule: ["=db.corp.example", "10.1.2.3"]'


def _moment(at: float) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else None


def _shown(grant: Grant) -> dict[str, Any]:
    return {
        "number": grant.number,
        "state": grant.state,
        "rule": ruleIdOf(grant.number),
        "ticket": grant.asked.ticket,
        "why": grant.asked.why,
        "allows": told(grant.asked),
        "asked": document(grant.asked),
        "template": grant.template,
        "requested_by": grant.requestedBy,
        "requested_at": _moment(grant.requestedAt),
        "approved_by": grant.approvedBy,
        "approved_at": _moment(grant.approvedAt),
        "until": _moment(grant.until),
        "ended_by": grant.endedBy,
        "ended_at": _moment(grant.endedAt),
        "ended_why": grant.why,
    }


def _done(asked: Asked, act: Callable[[], Grant], status: int = 200) -> Answer:
    """
    Do something, and answer with the grant.

    @raise Refused: it is not done.
    """
    try:
        grant = act()
    except GrantRefused as e:
        raise Refused(e.status, str(e)) from None
    asked.what = f"grant {grant.number}, ticket {grant.asked.ticket}"
    asked.result = grant.state
    return asJson(_shown(grant), status)


def _all(asked: Asked) -> Answer:
    state = asked.query.get("state")
    grants = asked.gateway.grants.all()
    return asJson([_shown(each) for each in grants if state in (None, each.state)])


def _one(asked: Asked) -> Answer:
    return _done(asked, lambda: asked.gateway.grants.found(asked.path["number"]))


def _request(asked: Asked) -> Answer:
    grants, by = asked.gateway.grants, asked.caller.name
    asked.what = f"ticket {asked.body['ticket']}"
    return _done(asked, lambda: grants.request(by, asked.body), 201)


def _approve(asked: Asked) -> Answer:
    grants, caller = asked.gateway.grants, asked.caller
    number = asked.path["number"]
    asked.what = f"grant {number}"
    operates = caller.may("operate")
    return _done(asked, lambda: grants.approve(number, caller.name, operates))


def _revoke(asked: Asked) -> Answer:
    grants, caller = asked.gateway.grants, asked.caller
    number, why = asked.path["number"], asked.query.get("why", "")
    asked.what = f"grant {number}"
    operates = caller.may("operate")
    return _done(asked, lambda: grants.revoke(number, caller.name, operates, why))


ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/api/grants",
        _all,
        "List the grants and the requests for them, also some that are over.",
        {200: {"type": "array", "items": _GRANT}},
        query=(Field("state", "string", "only those in this state", one=STATES),),
    ),
    Entry(
        "POST",
        "/api/grants",
        _request,
        "Ask for a grant; it is in force when somebody else has approved it.",
        {201: _GRANT},
        refuses=(409, 503),
        act="grant-request",
        body=(
            Field("who", "strings", _WHO, required=True),
            Field("to", "strings", _TO, required=True),
            Field("for", "string", 'how long: "2h"', required=True),
            Field("ticket", "string", "the ticket", required=True),
            Field("why", "string", "the reason", longest=400),
            Field("allow", "strings", 'commands: ["connect"]'),
            Field("from", "strings", "addresses of clients"),
            Field("listener", "strings", "names of listeners"),
            Field("resolving_to", "strings", 'addresses of names: ["private"]'),
            Field("ports", "strings", 'ports: ["22", "8000-8099"]'),
        ),
    ),
    Entry(
        "GET",
        "/api/grants/{number}",
        _one,
        "Tell of one grant.",
        {200: _GRANT},
        refuses=(404,),
        inPath=(_NUMBER,),
    ),
    Entry(
        "POST",
        "/api/grants/{number}/approve",
        _approve,
        "Approve a request that somebody else has made: it is in force at once.",
        {200: _GRANT},
        refuses=(404, 409, 503),
        act="grant-approve",
        inPath=(_NUMBER,),
    ),
    Entry(
        "DELETE",
        "/api/grants/{number}",
        _revoke,
        "End a grant, or take a request back; sessions that live by it end.",
        {200: _GRANT},
        refuses=(404, 409),
        act="grant-revoke",
        inPath=(_NUMBER,),
        query=(Field("why", "string", "the reason", longest=200),),
    ),
)
