"""
What would be decided of a request now, by the rules in force.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from attrs import evolve, frozen

from socksgw.admin.fields import Field
from socksgw.admin.table import Answer, Asked, Entry, Refused, asJson
from socksgw.admin.together import partsOf
from socksgw.errors import SocksError
from socksgw.gateway import explained
from socksgw.gateway.asked import factsAsked
from socksgw.interfaces import Asker
from socksgw.policy.facts import Facts
from socksgw.policy.outcome import consider
from socksgw.policy.questions import Missing
from socksgw.wire.address import UNSPECIFIED4
from socksgw.wire.levels import CLEAR, FACTS

__all__ = ["ENTRIES"]

_FACTS: Final = (
    Field(
        "command",
        "string",
        "What the client asks for.",
        one=("connect", "bind", "udp", "multicast", "resolve"),
        required=True,
    ),
    Field(
        "destination",
        "string",
        "The destination: host:443.",
        longest=300,
        required=True,
    ),
    Field("user", "string", "The user's name, without a tag; absent: anonymous."),
    Field(
        "group",
        "strings",
        "Groups of a directory that the user is in, and no others. Absent: those of a "
        "live session of the user, if there is one.",
    ),
    Field("from", "string", "The client's address."),
    Field("listener", "string", "Where the client has connected."),
    Field("method", "string", "How the user has logged in."),
    Field("tag", "string", "The tag behind the user's name; empty for none."),
    Field("at", "string", "When, such as 2026-03-02T10:00:00+01:00; absent: now."),
    Field("secured", "string", "How the client's side is protected.", one=FACTS),
    Field("application", "string", "What the session carries, as inspection finds it."),
    Field("server_name", "string", "The name of the server that it finds."),
    Field("resolving_to", "strings", "Addresses of the name."),
    Field("dns", "boolean", "Look the name up, as for such a client."),
)
#: Those that factsAsked reads as they are.
_PLAIN: Final = (
    "listener", "method", "tag", "at", "secured", "application", "server_name",
)  # fmt: skip
#: With which a text begins that names an option of the command.
_OPTION: Final = re.compile(r"\A--[a-z-]+")


def _fieldOf(option: re.Match[str]) -> str:
    """Return the field that an option is here."""
    return option[0][2:].replace("-", "_")


@frozen
class _Supposed:
    """A user who is asked about (L{socksgw.interfaces.User})."""

    name: str
    groups: frozenset[str]
    method: str
    unsure: frozenset[str]
    expires: float | None = None
    doubt: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether it has not logged in."""
        return self.name == "anonymous"


async def _asQuery(asked: Asked) -> Answer:
    return await _explain(asked, asked.query)


async def _asBody(asked: Asked) -> Answer:
    return await _explain(asked, asked.body)


async def _explain(asked: Asked, given: Any) -> Answer:
    gateway = asked.gateway
    facts, live = await _known(asked, given)
    generation = gateway.generation
    ruleset, offers = generation.policy.ruleset, generation.offers
    try:
        try:
            outcome = consider(ruleset, facts, offers)
        except Missing as e:
            name = facts.name
            if e.fact != "resolving_to" or name is None or not given.get("dns"):
                raise
            where = offers.known(facts).listener or ""
            source = facts.source or UNSPECIFIED4
            found = await generation.policy.addressesOf(name, where, source)
            facts = evolve(facts, addresses=found)
            outcome = consider(ruleset, facts, offers)
    except Missing as e:
        return asJson({"verdict": None, "missing": e.fact})
    except SocksError as e:
        return asJson({"verdict": None, "missing": "resolving_to", "why": str(e)})
    answer = dict(explained.asJson(outcome, facts, offers))
    answer["groups"] = sorted(facts.groups)
    answer["groups_of_session"] = live
    answer["limit"] = None
    known = offers.known(facts)
    if outcome.verdict.allowed and known.listener and facts.source is not None:
        answer["limit"] = gateway.limits.full(
            _asker(known), facts.command, outcome.verdict.rule
        )
    return asJson(answer)


async def groupsOf(asked: Asked) -> Mapping[str, Any] | None:
    """Return the groups of a user who has a session in this process."""
    name = asked.query.get("user") or asked.body.get("user")
    for session in asked.gateway.sessions:
        user = getattr(session, "asker", None) and session.asker.user
        if user and user.name == name and session.claim is not None:
            return {
                "groups": sorted(user.groups),
                "unsure": sorted(user.unsure),
                "session": session.record.session,
            }
    return None


async def _known(asked: Asked, given: Any) -> tuple[Facts, int | None]:
    """
    Return the facts, and the session that the groups are of, if they are.

    @raise Refused: one cannot be.
    """
    options = SimpleNamespace(
        command=given["command"],
        destination=given["destination"],
        user=given.get("user", "anonymous"),
        group=given.get("group", []),
        source=given.get("from"),
        resolving_to=given.get("resolving_to", []),
        **{name: given.get(name) for name in _PLAIN},
    )
    try:
        facts = factsAsked(options, asked.gateway.config)
    except ValueError as e:
        # There they are options of a command.
        raise Refused(400, _OPTION.sub(_fieldOf, str(e), 1)) from None
    if facts.unsure and "group" not in given:
        for found in await partsOf(asked, "groups", groupsOf):
            if found is not None:
                groups = facts.groups | frozenset(found["groups"])
                unsure = frozenset(found["unsure"])
                return evolve(facts, groups=groups, unsure=unsure), found["session"]
    return facts, None


def _asker(facts: Facts) -> Asker:
    user = _Supposed(facts.user, facts.groups, facts.method or "", facts.unsure)
    assert facts.source is not None
    return Asker(
        user,
        facts.source,
        facts.listener or "",
        facts.secured or CLEAR,
        facts.tag or "",
    )


_TEXT: Final = {"type": "string"}
_OPTIONAL: Final = {"type": ["string", "null"]}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_ANSWERS: Final = {
    200: {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["allow", "deny", None]},
            "missing": _TEXT,
            "rule": _TEXT,
            "why": _TEXT,
            "depends_on": _OPTIONAL,
            "via": _OPTIONAL,
            "leaves_by": _OPTIONAL,
            "addresses": _TEXTS,
            "struck": {"type": "array", "items": _TEXTS},
            "rules": {"type": "array", "items": {"type": "object"}},
            "ways_in": {"type": "array", "items": {"type": "object"}},
            "groups": _TEXTS,
            "groups_of_session": {"type": ["integer", "null"]},
            "limit": _OPTIONAL,
        },
        "required": ["verdict"],
    }
}

ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/api/explain",
        _asQuery,
        "Tell what would be decided of a request now. Without a verdict, missing names "
        "the fact that it depends on; limit names one that forbids it now, and is null "
        "where client and listener are not both known.",
        _ANSWERS,
        query=_FACTS,
    ),
    Entry(
        "POST",
        "/api/explain",
        _asBody,
        "The same, with the facts in a body.",
        _ANSWERS,
        body=_FACTS,
    ),
)
