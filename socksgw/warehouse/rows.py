"""
Make rows of the journal's lines.

A session's decision and its end are one row. Sessions are numbered from 1 by each
process of the gateway: C{run}, the number of the C{start} line, tells which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, final

__all__ = [
    "AMENDED",
    "ENDED",
    "EVENT",
    "LOST",
    "Odd",
    "REFUSED",
    "SESSION",
    "USUAL",
    "Batch",
    "Pending",
    "Rows",
]

#: The columns of a row of C{events}, in the order of its values.
EVENT: Final = ("gateway", "n", "time", "event", "run", "session", "hash", "line")
#: Those of a row of C{sessions} that most rows need: what the first line tells, ...
_BEGUN: Final = (
    "gateway", "n", "part", "time", "event", "count", "run", "session", "listener",
    "network", "client", "client_port", "protocol", "username", "method", "command",
    "asked", "name", "address", "port", "verdict", "rule", "why", "reply", "policy",
)  # fmt: skip
#: ... and what the end adds.
_OVER: Final = ("ended", "end_reason", "bound", "sent", "received", "seconds")
USUAL: Final = _BEGUN + _OVER
#: Those that few rows need. To give a database a value, or none, for each of these
#: takes as long as to write the row.
_BEGUN_SO: Final = (
    "claimed", "reports", "reason", "tag", "ticket", "grant_id", "via",
    "tls_version", "tls_group", "fingerprint", "serial", "extra",
)  # fmt: skip
_OVER_SO: Final = (
    "end_rule", "end_why", "sent_datagrams", "received_datagrams", "path",
    "application", "server_name", "end_extra",
)  # fmt: skip
ENDED: Final = _OVER + _OVER_SO
SESSION: Final = USUAL + _BEGUN_SO + _OVER_SO
#: What an end may change of the first part: C{address}, C{reply}, C{ticket}.
AMENDED: Final = ("address", "reply", "ticket")
#: C{end_reason} where the process was killed before it could write an end.
LOST: Final = "not-recorded"

_ADDRESS, _REPLY, _TICKET = (SESSION.index(each) for each in AMENDED)
_NAME = SESSION.index("name")
#: Where the end's columns begin, those that most rows need and the others.
_END: Final = len(_BEGUN)
_END_SO: Final = len(SESSION) - len(_OVER_SO)
_NO_END: Final = (None,) * len(_OVER)
_NO_END_SO: Final = (None,) * len(_OVER_SO)

#: The C{reason}s of C{refused}. In a sum, all others are those of failed logins.
REFUSED: Final = frozenset(
    (
        "handshake-timeout", "client-lost", "no-acceptable-method", "login-wanted",
        "protocol", "target-too-long", "head-too-long", "version", "not-implemented",
        "address-type", "command", "not-tls", "not-diverted", "tls", "proxy-stranger",
        "proxy-missing", "proxy-header", "certificate", "limit", "draining",
    )
)  # fmt: skip

_COMMON: Final = frozenset(("v", "n", "time", "event", "hash"))
#: Fields of first lines that have columns which most rows need, and any column.
_PLAIN: Final = _COMMON | {
    "session", "listener", "network", "client", "protocol", "user", "method",
    "command", "asked", "name", "port", "verdict", "rule", "why", "addresses", "reply",
    "policy",
}  # fmt: skip
_KEPT: Final = _PLAIN | {
    "claimed", "reports", "reason", "tag", "ticket", "grant", "via",
    "tls_version", "tls_group", "fingerprint", "serial",
}  # fmt: skip
_SUM: Final = _COMMON | {"source", "user", "rule", "count", "reasons"}
#: Those of ends.
_PLAIN_END: Final = _COMMON | {
    "session", "address", "bound", "sent", "received", "seconds", "reason", "reply",
}  # fmt: skip
_KEPT_END: Final = _PLAIN_END | {
    "sent_datagrams", "received_datagrams", "rule", "path", "why", "ticket",
    "application", "server_name",
}  # fmt: skip

#: What an integer column holds at most.
_MOST: Final = (1 << 63) - 1

#: The time of a line that tells none.
_NOWHEN: Final = "1970-01-01T00:00:00.000Z"
_NOWHERE: Final[frozenset[str]] = frozenset()

Row = list[Any]


class Entry(Protocol):
    """
    A line of the journal.

    @ivar number: the value of C{n}.
    @ivar octets: the line, without its line feed.
    @ivar fields: what it says.
    """

    @property
    def number(self) -> int: ...

    @property
    def octets(self) -> bytes: ...

    @property
    def fields(self) -> Mapping[str, Any]: ...


class Odd(Exception):
    """
    A line does not have the fields of its event, or a value no column takes.
    """


@final
class Pending:
    """
    What was allowed and has not ended yet.

    @ivar key: where its row is: C{n}.
    @ivar row: the row, where it is not in the database yet.
    @ivar places: of a flow, the hosts that its end may name.
    @ivar port: of a flow, the port.
    """

    __slots__ = ("key", "places", "port", "row")

    def __init__(
        self, key: int, row: Row | None, places: frozenset[str], port: int
    ) -> None:
        self.key, self.row, self.places, self.port = key, row, places, port


@final
class Batch:
    """
    The rows of some lines that follow one another.

    @ivar events: one for each line.
    @ivar sessions: those that begin here; many are ended already. A row ends with
        L{USUAL} where the columns behind have nothing.
    @ivar ends: for rows that the database has: the values of L{ENDED} and
        L{AMENDED}, and the row's C{n}.
    @ivar started: the C{run}s that begin here: nothing of earlier ones is open any
        more.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.sessions: list[Row] = []
        self.ends: list[Row] = []
        self.started: list[int] = []
        self._fresh: list[Pending] = []


@final
class Rows:
    """
    Makes rows of one gateway's lines, and remembers what has not ended.

    @ivar run: the number of the last C{start} line; 0 before the first.
    """

    def __init__(self, gateway: str, run: int = 0) -> None:
        self.gateway = gateway
        self.run = run
        self._open: dict[int, Pending] = {}
        self._flows: dict[int, list[Pending]] = {}

    def resume(
        self, session: int, n: int, event: str, places: Iterable[str], port: int
    ) -> None:
        """Remember a row of the database that has not ended."""
        pending = Pending(n, None, frozenset(places), port)
        if event == "flow":
            self._flows.setdefault(session, []).append(pending)
        else:
            self._open[session] = pending

    def batch(self, entries: Sequence[Entry], careful: bool = False) -> Batch:
        """
        Make rows of lines.

        When the database does not take them, this object is of no use any more.

        @param careful: whether lines may be such as no gateway writes: what can be
            told of one is told then. It takes longer.
        @raise Odd: there is such a line, and it is not looked for.
        """
        batch = Batch()
        for entry in entries:
            number, octets = entry.number, entry.octets
            try:
                fields = entry.fields
                if careful or b"\\u" in octets:
                    fields = safe(fields)
                event = fields["event"]
                if event == "start":
                    self._begun(batch, number)
                batch.events.append(
                    (self.gateway, number, fields["time"], event, self.run,
                     fields.get("session"), fields["hash"], _text(octets))
                )  # fmt: skip
                make = _MAKERS.get(event)
                if make is not None:
                    make(self, batch, number, fields)
            except (
                LookupError, TypeError, ValueError, AttributeError, RecursionError,
            ) as e:  # fmt: skip
                if not careful:
                    raise Odd from e
                if len(batch.events) == 0 or batch.events[-1][1] != number:
                    batch.events.append(
                        (self.gateway, number, None, "", self.run, None, "",
                         _text(octets))
                    )  # fmt: skip
        return batch

    def _begun(self, batch: Batch, n: int) -> None:
        """Know that a process of the gateway has started: nothing is open any more."""
        self.run = n
        self._open.clear()
        self._flows.clear()
        batch.started.append(n)

    def written(self, batch: Batch) -> None:
        """Know that the database has a batch."""
        for pending in batch._fresh:
            pending.row = None

    # Each event.

    def _request(self, batch: Batch, n: int, f: Mapping[str, Any]) -> None:
        addresses, verdict = f["addresses"], f["verdict"]
        row = self._first(n, f, verdict)
        row[_ADDRESS] = addresses[0] if addresses else None
        row[_NAME] = f["name"]
        batch.sessions.append(row)
        if verdict == "allow":
            if f["event"] == "flow":
                places = frozenset((*addresses, f["name"], f.get("asked")))
                pending = Pending(n, row, places, f["port"])
                self._flows.setdefault(f["session"], []).append(pending)
            else:
                pending = self._open[f["session"]] = Pending(n, row, _NOWHERE, 0)
            batch._fresh.append(pending)

    def _refused(self, batch: Batch, n: int, f: Mapping[str, Any]) -> None:
        batch.sessions.append(self._first(n, f, f["event"]))

    def _first(self, n: int, f: Mapping[str, Any], verdict: str) -> Row:
        """Return the row of a first line."""
        get = f.get
        client, _, port = f["client"].rpartition(":")
        if client[:1] == "[":
            client = client[1:-1]
        row = [
            self.gateway, n, 0, f["time"], f["event"], 1, self.run, f["session"],
            f["listener"], get("network"), client, int(port), f["protocol"] or None,
            get("user"), get("method") or None, get("command"), get("asked"), None,
            None, get("port"), verdict, get("rule"), get("why") or None, get("reply"),
            get("policy"), *_NO_END,
        ]  # fmt: skip
        addresses = get("addresses", ())
        if not f.keys() <= _PLAIN or len(addresses) > 1:
            reports = get("reports")
            rest = f.keys() - _KEPT
            extra = {k: f[k] for k in f if k in rest} if rest else {}
            if len(addresses) > 1:
                extra["addresses"] = addresses
            row += (
                get("claimed"), json.dumps(reports) if reports else None,
                get("reason"), get("tag"), get("ticket"), get("grant"), get("via"),
                get("tls_version"), get("tls_group"), get("fingerprint"), get("serial"),
                json.dumps(extra) if extra else None, *_NO_END_SO,
            )  # fmt: skip
        return row

    def _sum(self, batch: Batch, n: int, f: Mapping[str, Any]) -> None:
        get, event = f.get, f["event"]
        rest = f.keys() - _SUM
        extra = json.dumps({k: f[k] for k in f if k in rest}) if rest else None
        for part, (reason, count) in enumerate(f["reasons"].items()):
            verdict = "deny"
            if event == "refusals":
                verdict = "refused" if reason in REFUSED else "login-failed"
            batch.sessions.append(
                [
                    self.gateway, n, part, f["time"], event, count, self.run, None,
                    None, None, f["source"], None, None, get("user"), None, None, None,
                    None, None, None, verdict, get("rule"), None, None, None,
                    *_NO_END, None, None, reason, None, None, None, None, None, None, None,
                    None, extra, *_NO_END_SO,
                ]
            )  # fmt: skip

    def _ended(self, batch: Batch, n: int, f: Mapping[str, Any]) -> None:
        pending = self._open.pop(f["session"], None)
        if pending is not None:
            self._close(batch, pending, f["address"], f)

    def _flowEnded(self, batch: Batch, n: int, f: Mapping[str, Any]) -> None:
        flows = self._flows.get(f["session"], [])
        host, _, port = f["address"].rpartition(":")
        host = host.strip("[]")
        for i, pending in enumerate(flows):
            if host in pending.places and pending.port == int(port):
                del flows[i]
                if not flows:
                    del self._flows[f["session"]]
                address = host if _isAddress(host) else None
                self._close(batch, pending, address, f)
                return

    def _close(
        self, batch: Batch, pending: Pending, address: str | None, f: Mapping[str, Any]
    ) -> None:
        get, row = f.get, pending.row
        ended: Row = [
            f["time"], f["reason"], get("bound"), f["sent"], f["received"], f["seconds"],
        ]  # fmt: skip
        if row is not None:
            row[_END : len(USUAL)] = ended
            if address is not None:
                row[_ADDRESS] = address
            row[_REPLY] = get("reply")
            if f.keys() <= _PLAIN_END:
                return
        rest = f.keys() - _KEPT_END
        more = (
            get("rule"), get("why"), get("sent_datagrams"), get("received_datagrams"),
            get("path"), get("application"), get("server_name"),
            json.dumps({k: f[k] for k in f if k in rest}) if rest else None,
        )  # fmt: skip
        ticket = get("ticket")
        if row is None:
            batch.ends.append(
                [*ended, *more, address, get("reply"), ticket, pending.key]
            )
            return
        row += (None,) * (len(SESSION) - len(row))
        row[_END_SO:] = more
        if ticket is not None:
            row[_TICKET] = ticket


_MAKERS: Final = {
    "decision": Rows._request,
    "flow": Rows._request,
    "refused": Rows._refused,
    "login-failed": Rows._refused,
    "refusals": Rows._sum,
    "denials": Rows._sum,
    "end": Rows._ended,
    "flow-end": Rows._flowEnded,
}


def _text(octets: bytes) -> str:
    """Return a line as text."""
    return octets.decode("ascii", "backslashreplace")


def _isAddress(host: str) -> bool:
    """Tell an address from a name."""
    return ":" in host or host.replace(".", "").isdigit()


def safe(value: Any) -> Any:
    """Return a value of JSON with C{U+0000} and half surrogates escaped."""
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "\\x00")
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [safe(each) for each in value]
    if isinstance(value, dict):
        return {safe(key): safe(each) for key, each in value.items()}
    return value
