"""
Ask for grants, approve and revoke them: C{socksgw grant}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from socksgw.console.live import (
    Live,
    Unreached,
    liveOf,
    liveOptions,
    refusedBy,
    shown,
)
from socksgw.console.tables import columns
from socksgw.wire.address import parseHost

__all__ = ["grantCommands", "grantMain"]

_PATH: Final = "/api/grants"
_COLUMNS: Final = (
    "grant", "state", "ticket", "allows", "asked by", "approved by", "until",
)  # fmt: skip
_STATUSES: Final = (
    "Exit status: 0 done, 1 refused or not found, 2 wrong use, 3 the gateway cannot be "
    "reached."
)
#: Options of a request that are repeated, by the fields that they are.
_SEVERAL: Final = (
    ("who", "USER", "for whom: a user, or @GROUP", True),
    ("to", "HOST", "where to: a name, an address, or what a rule has in to", True),
    ("port", "PORT", "a port, or a range such as 8000-8099; default: the template's",
     False),
    ("allow", "COMMAND", "connect, bind, udp; default: the template's", False),
    ("from", "IP", "the client's addresses; default: the template's", False),
    ("listener", "L", "the client's listeners; default: the template's", False),
    ("resolving-to", "IP", "the addresses that names may have; default: the template's",
     False),
)  # fmt: skip


def grantCommands(commands: Any) -> None:
    """
    Add C{grant} with its commands.

    @param commands: the commands of the program, as argparse has them.
    """
    grant = commands.add_parser(
        "grant",
        help="ask for a grant, approve, list and revoke grants",
        description="Ask for a grant, approve, list and revoke grants: rules with an end "
        "that two people make while the gateway runs.",
    ).add_subparsers(metavar="COMMAND", required=True)
    request = grant.add_parser(
        "request",
        help="ask for a grant; somebody else has to approve it",
        description="Ask for a grant. It is in force when somebody else has approved "
        f"it. {_STATUSES}",
    )
    liveOptions(request)
    for name, metavar, text, needed in _SEVERAL:
        request.add_argument(
            f"--{name}",
            dest=_fieldOf(name),
            metavar=metavar,
            action="append",
            required=needed,
            help=f"{text}; may be repeated",
        )
    request.add_argument("--for", metavar="TIME", required=True, help="how long: 2h")
    request.add_argument("--ticket", metavar="T", required=True, help="the ticket")
    request.add_argument("--why", metavar="TEXT", help="the reason")
    request.set_defaults(run="grant", act="request")
    for name, text in (
        ("approve", "approve what somebody else has asked for: it is in force at once"),
        ("revoke", "end a grant, or take a request back; its sessions end"),
    ):
        acting = grant.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}. {_STATUSES}"
        )
        liveOptions(acting)
        acting.add_argument("number", metavar="N", type=int, help="the grant")
        if name == "revoke":
            acting.add_argument("--why", metavar="TEXT", help="the reason")
        acting.set_defaults(run="grant", act=name)
    listing = grant.add_parser(
        "list",
        help="list grants and requests, also some that are over",
        description="List grants and the requests for them, also some that are over. "
        f"{_STATUSES}",
    )
    liveOptions(listing)
    listing.add_argument(
        "--state",
        choices=("pending", "active", "ended", "lapsed", "revoked"),
        help="only those in this state",
    )
    listing.set_defaults(run="grant", act="list")


def _fieldOf(option: str) -> str:
    return "ports" if option == "port" else option.replace("-", "_")


def grantMain(options: argparse.Namespace, out: TextIO) -> int:
    """
    Run one of the commands.

    @return: the exit status.
    @raise ConfigError: something is wrong with the configuration.
    """
    try:
        live = liveOf(options)
        status, answer = _ask(live, options)
    except Unreached as e:
        print(f"socksgw: {e}", file=sys.stderr)
        return e.status
    if status not in (200, 201):
        return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
    elif options.act == "list":
        for line in columns(_COLUMNS, [_row(each) for each in answer]):
            print(line, file=out)
    else:
        print(_line(answer), file=out)
    return 0


def _ask(live: Live, options: argparse.Namespace) -> tuple[int, Any]:
    match options.act:
        case "request":
            return live.ask(_PATH, "POST", body=_asked(options))
        case "approve":
            return live.ask(f"{_PATH}/{options.number}/approve", "POST")
        case "revoke":
            why = {"why": options.why}
            return live.ask(f"{_PATH}/{options.number}", "DELETE", why)
        case _:
            return live.ask(_PATH, query={"state": options.state})


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return the body of a request."""
    given = vars(options)
    names = [_fieldOf(name) for name, *_ in _SEVERAL]
    given["to"] = [_exactly(word) for word in given["to"]]
    return {
        name: given[name]
        for name in (*names, "for", "ticket", "why")
        if given[name] is not None
    }


def _exactly(word: str) -> str:
    """Return the name of a host as rules have it, other words as they are."""
    found = parseHost(word.encode("utf-8", "surrogateescape"))
    return f"={word}" if isinstance(found, str) and "." in word else word


def _line(grant: Mapping[str, Any]) -> str:
    until = f", until {grant['until']}" if grant["state"] == "active" else ""
    return shown(
        f"grant {grant['number']} ({grant['ticket']}) is {grant['state']}{until}: "
        f"{grant['allows']}"
    )


def _row(grant: Mapping[str, Any]) -> list[str]:
    keys = (
        "number",
        "state",
        "ticket",
        "allows",
        "requested_by",
        "approved_by",
        "until",
    )
    return [shown(grant[key]) for key in keys]
