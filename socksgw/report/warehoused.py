"""
Sum up what a warehouse has of a time.

The rows are turned into what the lines of the journal say, so that the sums and filters
are the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import evolve
from sqlalchemy import ColumnElement, Select, Text, func, select, type_coerce

from socksgw.records.criteria import Criteria, Matcher
from socksgw.records.requests import CUT, Ended
from socksgw.records.summing import Summing
from socksgw.records.tally import Sums, Tally
from socksgw.system.aside import collectorAside
from socksgw.warehouse import schema
from socksgw.warehouse.reading import Reader

__all__ = ["summedFrom"]

_c: Final = schema.sessions.c
#: Rows that are fetched at once.
_ROWS: Final = 5_000
#: Criteria that a column answers, where no value of them has a C{*}.
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "listener": _c.listener,
    "tag": _c.tag,
    "ticket": _c.ticket,
    "grant": _c.grant_id,
    "policy": _c.policy,
    "fingerprint": _c.fingerprint,
    "serial": _c.serial,
    "command": _c.command,
    "protocol": _c.protocol,
    "method": _c.method,
    "application": _c.application,
    "server_name": _c.server_name,
}
#: Fields of a line, and their columns.
_FIELDS: Final[Mapping[str, ColumnElement[Any]]] = {
    "event": _c.event, "user": _c.username, "claimed": _c.claimed,
    "listener": _c.listener, "client": _c.client, "command": _c.command,
    "protocol": _c.protocol, "method": _c.method, "asked": _c.asked, "name": _c.name,
    "port": _c.port, "verdict": _c.verdict, "rule": _c.rule, "reason": _c.reason,
    "tag": _c.tag, "ticket": _c.ticket, "grant": _c.grant_id, "via": _c.via,
    "policy": _c.policy, "tls_version": _c.tls_version, "tls_group": _c.tls_group,
    "fingerprint": _c.fingerprint, "serial": _c.serial,
    "extra": _c.extra, "address": _c.address,
}  # fmt: skip
_ENDED: Final = (
    _c.count, _c.end_reason, _c.sent, _c.received, _c.seconds, _c.path,
    _c.application, _c.server_name, _c.end_rule,
)  # fmt: skip


def summedFrom(reader: Reader, gateway: str, summing: Summing) -> Sums:
    """
    Sum up the rows of a gateway.

    @raise WarehouseError: the warehouse cannot be read.
    @raise ValueError: the criteria cannot be.
    """
    criteria = summing.criteria
    # The database has looked at the time, and at the verdict.
    matcher = evolve(criteria, since="", until="", verdict="").matcher()
    tally = Tally(summing.tables, summing.unit)
    counted = 0
    with collectorAside(), reader.connect() as connection:
        query = _query(criteria, gateway, reader.engine.dialect.name)
        for row in connection.execution_options(yield_per=_ROWS).execute(query):
            _count(tally, matcher, row)
            counted += 1
            if counted % 100_000 == 0:
                tally.sums.shrink()
    tally.sums.close()
    return tally.sums


def _query(criteria: Criteria, gateway: str, dialect: str) -> Select[Any]:
    time: ColumnElement[str] = type_coerce(_c.time, Text)
    if dialect != "sqlite":
        time = func.to_char(
            func.timezone("UTC", _c.time), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        )
    query = select(time, *_FIELDS.values(), *_ENDED).where(_c.gateway == gateway)
    for stamp, later in ((criteria.since, True), (criteria.until, False)):
        if stamp:
            at = datetime.fromisoformat(stamp)
            query = query.where(_c.time >= at if later else _c.time < at)
    for name, column in _COLUMNS.items():
        values = getattr(criteria, name)
        if values and not any("*" in each for each in values):
            query = query.where(column.in_(values))
    if criteria.user and not any("*" in each for each in criteria.user):
        users = criteria.user
        query = query.where(_c.username.in_(users) | _c.claimed.in_(users))
    if criteria.verdict:
        cut = func.coalesce(_c.end_reason, "").in_(sorted(CUT))
        allowed = (_c.verdict == "allow") & ~cut
        query = query.where(allowed if criteria.verdict == "allow" else ~allowed)
    return query.order_by(_c.n) if dialect == "sqlite" else query


def _count(tally: Tally, matcher: Matcher, row: Any) -> None:
    time, *values = row
    line: dict[str, Any] = {
        "time": time,
        **{
            name: value
            for name, value in zip(_FIELDS, values, strict=False)
            if value is not None or name == "name"
        },
    }
    count, reason, sent, received, seconds, path, application, server, rule = values[
        len(_FIELDS) :
    ]
    address = line.pop("address", None)
    extra = line.pop("extra", None)
    if extra is not None:
        line |= json.loads(extra)
    if address is not None:
        line.setdefault("addresses", [address])
    event, verdict = line["event"], line.pop("verdict")
    if verdict in ("allow", "deny"):
        line["verdict"] = verdict
    if event in ("refusals", "denials"):
        line["source"] = line.pop("client", None)
        line["reasons"] = {line.get("reason"): count}
    more = {
        name: value
        for name, value in (
            ("application", application), ("server_name", server), ("path", path),
            ("rule", rule),
        )
        if value is not None
    }  # fmt: skip
    if not matcher.everything and not matcher.fits(
        {**line, **{name: more[name] for name in more if name != "rule"}}
    ):
        return
    if verdict in ("allow", "deny"):
        if event == "denials":
            line.setdefault("user", "many")
            first, last = line.get("first", "?"), line.get("last", "?")
            line["spoken"] = first if first == last else f"{first} …"
        place = "flow" if event == "flow" else ""
        ended = None
        if reason is not None and verdict == "allow":
            ended = Ended(sent or 0, received or 0, seconds or 0.0, place, more, reason)
        tally.request(line, ended, count)
    else:
        table = "logins" if verdict == "login-failed" else "refused"
        tally.refusal(table, line, line.get("reason", "-"), count)
