"""
Operate the running gateway: C{socksgw sessions}, C{kill}, C{status}, C{reload}, C{restart}, C{drain}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from socksgw.admin.fields import CHOOSING
from socksgw.console.live import (
    REFUSED,
    WRONG,
    Live,
    Unreached,
    liveOf,
    liveOptions,
    refusedBy,
    shown,
)
from socksgw.console.tables import columns, duration, octets
from socksgw.console.usage import number
from socksgw.report.words import counted

__all__ = ["operateMain", "operatingCommands"]

#: Sessions that one page has at most.
_PAGE: Final = 1000
#: Seconds between two looks at what is left of a drain.
_LOOK: Final = 0.5

_COLUMNS: Final[tuple[str, ...]] = (
    "session", "age", "user", "client", "listener", "command", "destination", "rule",
    "out", "back",
)  # fmt: skip
_STATUSES: Final = (
    "Exit status: 0 done, 1 refused or not found, 2 wrong use, 3 the gateway cannot be "
    "reached."
)


def _choosing(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose sessions, as the admin interface has them."""
    kinds: Mapping[str, Any] = {"integer": int, "number": float, "string": str}
    for field in CHOOSING:
        parser.add_argument(
            f"--{field.name}",
            metavar=field.name.upper() if not field.one else None,
            type=kinds[field.kind],
            choices=field.one or None,
            help=field.help[0].lower() + field.help[1:].rstrip("."),
        )


def operatingCommands(commands: Any) -> None:
    """
    Add the commands.

    @param commands: where C{argparse} has subcommands.
    """
    listing = commands.add_parser(
        "sessions",
        help="list live sessions, or tell one's whole story",
        description="List the live sessions of a running gateway; with N, tell all of "
        f"one: its facts, its octets, its lines in the journal. {_STATUSES}",
    )
    liveOptions(listing)
    _choosing(listing)
    listing.add_argument("number", metavar="N", type=int, nargs="?", help="a session")
    listing.add_argument(
        "--sort",
        choices=(
            "session", "began", "sent", "received", "octets", "user", "source",
            "destination", "rule", "listener",
        ),
        help="default: session",
    )  # fmt: skip
    listing.add_argument("--desc", action="store_true", help="the largest first")
    listing.add_argument(
        "--limit", metavar="M", type=number, default=100, help="at most so many; 100"
    )
    listing.set_defaults(run="sessions")

    kill = commands.add_parser(
        "kill",
        help="end live sessions, by number, user, rule, source or anything else",
        description="End live sessions of a running gateway. Their clients are cut off, "
        f"and the journal says by whom. {_STATUSES}",
    )
    liveOptions(kill)
    _choosing(kill)
    kill.add_argument("number", metavar="N", type=int, nargs="*", help="sessions")
    kill.add_argument("--all", action="store_true", help="every session")
    kill.set_defaults(run="kill")

    for name, help_, description in (
        (
            "status",
            "tell how the running gateway is doing",
            "Tell how a running gateway is doing: sessions, rates, workers, listeners, "
            "journal, sinks, upstreams.",
        ),
        (
            "reload",
            "have the running gateway read its configuration again",
            "Have a running gateway read its configuration again. Nothing changes if "
            "anything is wrong with it: all problems are printed.",
        ),
        (
            "restart",
            "start the gateway's program anew, without cutting off anybody",
            "Have a running gateway start its program once more, with the same command "
            "line: a new version, or a configuration that needs a restart. The new "
            "process takes over clients, sessions and journal. If anything is wrong "
            "with it, the old one goes on, and all problems are printed.",
        ),
        (
            "drain",
            "have the running gateway accept no more clients",
            "Have a running gateway accept no more clients. Sessions go on, and so does "
            "the process; --undo takes it back.",
        ),
    ):
        parser = commands.add_parser(
            name, help=help_, description=f"{description} {_STATUSES}"
        )
        liveOptions(parser)
        parser.set_defaults(run=name)
        if name == "status":
            parser.add_argument(
                "--ready",
                action="store_true",
                help="tell only whether clients are to be sent there: it listens, the "
                "journal can be written, and it does not drain; exit status 1 if not. "
                "For health checks of containers and load balancers",
            )
        if name == "drain":
            parser.add_argument(
                "--undo", action="store_true", help="accept clients again"
            )
            parser.add_argument(
                "--wait",
                metavar="SECONDS",
                type=float,
                help="wait until no session is left; exit status 1 if some are by then",
            )


def operateMain(options: argparse.Namespace, out: TextIO) -> int:
    """
    Run one of the commands.

    @return: the exit status.
    @raise ConfigError: something is wrong with the configuration.
    """
    run: Mapping[str, Callable[[argparse.Namespace, Live, TextIO], int]] = {
        "sessions": _sessions,
        "kill": _kill,
        "status": _status,
        "reload": _reload,
        "restart": _restart,
        "drain": _drain,
    }
    try:
        return run[options.run](options, liveOf(options), out)
    except Unreached as e:
        print(f"socksgw: {shown(e)}", file=sys.stderr)
        return e.status


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    names = [field.name for field in CHOOSING]
    return {n: v for n in names if (v := getattr(options, n)) is not None}


def _sessions(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    if options.number is not None:
        return _story(options, live, out)
    order = "desc" if options.desc else None
    query = {**_chosen(options), "sort": options.sort, "order": order}
    found: list[Any] = []
    matched = 0
    while len(found) < options.limit:
        query["offset"] = len(found) or None
        query["limit"] = min(_PAGE, options.limit - len(found))
        status, answer = live.ask("/api/sessions", query=query)
        if status != 200:
            return refusedBy(status, answer)
        matched = answer["matched"]
        found += answer["sessions"]
        if len(answer["sessions"]) < query["limit"]:
            break
    if options.json:
        print(json.dumps({"sessions": found, "matched": matched}), file=out)
        return 0
    titles, rows = _COLUMNS, [_row(each) for each in found]
    if any(each.get("worker") for each in found):
        titles = (*titles, "worker")
        rows = [
            (*row, str(e.get("worker") or "-"))
            for row, e in zip(rows, found, strict=True)
        ]
    if rows:
        print("\n".join(columns(titles, rows, right=(0, 1, 8, 9, 10))), file=out)
    left = f", of which {len(found):,} are shown" if len(found) < matched else ""
    print(f"{counted(matched, 'live session')}{left}", file=out)
    return 0


def _row(session: Mapping[str, Any]) -> tuple[str, ...]:
    asked, port = session["asked"], session["port"]
    host = f"[{asked}]" if ":" in asked else asked
    return (
        str(session["session"]),
        duration(session["seconds"]),
        shown(session["user"]),
        shown(session["client"]),
        shown(session["listener"]),
        shown(session["command"]),
        shown(f"{host}:{port}") if asked else "-",
        shown(session["rule"]),
        octets(session["sent"]),
        octets(session["received"]),
    )


def _story(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    status, answer = live.ask(f"/api/sessions/{options.number}")
    if status != 200:
        return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
        return 0
    if answer["facts"] is None:
        print(f"session {options.number} is over", file=out)
    for name, value in (answer["facts"] or {}).items():
        if value not in ("", None, []):
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"{name.replace('_', ' '):<11} {shown(text)}", file=out)
    for line in answer["journal"]:
        print(f"line {line['n']}: {line['event']} at {line['time']}", file=out)
    if answer["omitted"]:
        print(f"{answer['omitted']:,} more lines are left out", file=out)
    return 0


def _kill(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    chosen = _chosen(options)
    if bool(options.number) + bool(chosen) + options.all != 1:
        print(
            "socksgw kill: say which sessions: N, or options that choose some, or --all",
            file=sys.stderr,
        )
        return WRONG
    ended = status = 0
    if not options.number:
        query = {"all": "true"} if options.all else chosen
        code, answer = live.ask("/api/sessions", "DELETE", query)
        if code != 200:
            return refusedBy(code, answer)
        ended = answer["ended"]
    for each in options.number:
        code, answer = live.ask(f"/api/sessions/{each}", "DELETE")
        if code == 200:
            ended += answer["ended"]
        else:
            status = refusedBy(code, answer)
    if options.json:
        print(json.dumps({"ended": ended}), file=out)
    elif ended or not status:
        print(f"{counted(ended, 'session')} ended", file=out)
    return status


def _reload(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    status, answer = live.ask("/api/reload", "POST")
    if options.json:
        print(json.dumps(answer), file=out)
        return 0 if status == 200 else 1
    if status != 200:
        code = refusedBy(status, answer)
        if status == 422:
            print("socksgw: not reloaded; nothing has changed", file=sys.stderr)
        return code
    for line in answer["warnings"]:
        print(f"warning: {shown(line)}", file=out)
    print(f"reloaded; {counted(answer['ended'], 'session')} ended", file=out)
    return 0


def _restart(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    status, answer = live.ask("/api/restart", "POST")
    if options.json:
        print(json.dumps(answer), file=out)
        return 0 if status == 200 else 1
    if status != 200:
        code = refusedBy(status, answer)
        if status == 409:
            print("socksgw: not restarted; nothing has changed", file=sys.stderr)
        return code
    print(
        f"restarted: process {answer['pid']} serves, with {answer['moved']:,} sessions; "
        f"{answer['left']:,} end in the process before",
        file=out,
    )
    return 0


def _drain(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    status, answer = live.ask("/api/drain", "DELETE" if options.undo else "POST")
    if status != 200:
        return refusedBy(status, answer)
    end = time.monotonic() + (options.wait or 0)
    while options.wait and not options.undo and answer["clients"]:
        if time.monotonic() >= end:
            break
        time.sleep(_LOOK)
        status, answer = live.ask("/api/drain")
        if status != 200:
            return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
    elif options.undo:
        print("clients are accepted again", file=out)
    else:
        print(
            f"no more clients are accepted; left: "
            f"{counted(answer['sessions'], 'session')} of "
            f"{counted(answer['clients'], 'client')}",
            file=out,
        )
    return 1 if options.wait and not options.undo and answer["clients"] else 0


def _cluster(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the line of a cluster's member."""
    if found is None:
        return []
    heard = len(found["members"]) - len(found["absent"])
    text = f"{found['member']}, one of {len(found['members'])}"
    return [
        (
            "cluster",
            text + (f"; {found['why']}" if found["why"] else f", {heard} heard of"),
        )
    ]


def _ready(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    status, answer = live.ask("/readyz")
    if status not in (200, 503):
        return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
    elif answer["ready"]:
        print("ready", file=out)
    else:
        print(f"not ready: {shown(', '.join(answer['reasons']))}", file=out)
    return 0 if answer["ready"] else REFUSED


def _status(options: argparse.Namespace, live: Live, out: TextIO) -> int:
    if options.ready:
        return _ready(options, live, out)
    status, answer = live.ask("/api/status")
    if status != 200:
        return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
        return 0
    sessions, moved, clients = answer["sessions"], answer["octets"], answer["clients"]
    rate = sessions["per_second"]["60s"]
    journal, reloads = answer["journal"], answer["reloads"]
    failing = "; CANNOT BE WRITTEN" if journal["failing"] else ""
    rows = [
        ("gateway", f"{answer['gateway']}, socksgw {answer['version']}"),
        ("process", f"{answer['pid']}, for {duration(answer['seconds'])}"),
        ("file", answer["configuration"]),
        ("ready", "yes" if answer["ready"] else f"no: {', '.join(answer['reasons'])}"),
        (
            "sessions",
            f"{sessions['live']:,} live, {sessions['begun']:,} begun, "
            f"{sessions['denied']:,} denied, {sessions['refused']:,} refused before",
        ),
        (
            "last minute",
            f"{rate['begun']:g} begun, {rate['denied']:g} denied, {rate['refused']:g} "
            "refused a second",
        ),
        ("octets", f"{octets(moved['sent'])} out, {octets(moved['received'])} back"),
        (
            "clients",
            f"{clients['connected']:,} of at most {clients['most']:,}; accepting paused "
            f"{counted(clients['pauses'], 'time')}",
        ),
        *(("worker", _worker(each)) for each in answer["workers"]),
        *_cluster(answer["cluster"]),
        ("rules", f"{answer['rules']:,}"),
        ("reloads", f"{reloads['done']:,}, and {reloads['failed']:,} that failed"),
        *(
            (
                "listener",
                f"{each['name']} ({', '.join(each['places']) or 'closed'}): "
                f"{counted(each['clients'], 'client')}",
            )
            for each in answer["listeners"]
        ),
        ("journal", f"{journal['directory']}, line {journal['number']:,}{failing}"),
        *(
            (
                "sink",
                f"{each['name']}: {each['state']}, {counted(each['behind'], 'line')} behind"
                + (f"; {each['why']}" if each["why"] else ""),
            )
            for each in answer["sinks"]
        ),
        *(
            (
                "upstream",
                f"{each['name']}: {each['state']}, {counted(each['sessions'], 'session')}",
            )
            for each in answer["upstreams"]
        ),
        *(("warning", each) for each in answer["warnings"]),
    ]
    for name, text in rows:
        print(f"{name:<11} {shown(text)}", file=out)
    return 0


def _worker(worker: Mapping[str, Any]) -> str:
    """Tell how one worker is doing."""
    deaths = f"; died {counted(worker['deaths'], 'time')}" if worker["deaths"] else ""
    if not worker["pid"]:
        return f"{worker['number']}: dead{deaths}"
    return (
        f"{worker['number']}: {worker['state']}, process {worker['pid']} for "
        f"{duration(worker['seconds'])}, {counted(worker['sessions'], 'session')}{deaths}"
    )
