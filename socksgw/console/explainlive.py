"""
Ask the running gateway what it would decide: C{socksgw explain --live}.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TextIO

from socksgw.console.explain import optionOf, printed
from socksgw.console.live import WRONG, Unreached, liveOf, refusedBy, shown

__all__ = ["explainLive"]


def explainLive(options: argparse.Namespace, out: TextIO) -> int:
    """
    Run C{socksgw explain --live}.

    @return: the exit status: 0 allow, 1 deny or refused, 2 if it cannot be told, 3 if
        the gateway cannot be reached.
    """
    if options.destination is None or options.record is not None:
        print("socksgw explain --live: name COMMAND HOST:PORT", file=sys.stderr)
        return WRONG
    given = {
        "command": options.command,
        "destination": options.destination,
        "user": options.user,
        "group": options.group or None,
        "from": options.source,
        "resolving_to": options.resolving_to or None,
        "dns": None if options.resolving_to else True,
        **{
            name: getattr(options, name)
            for name in (
                "listener",
                "method",
                "tag",
                "at",
                "secured",
                "application",
                "server_name",
            )
        },
    }
    body = {name: value for name, value in given.items() if value is not None}
    try:
        status, answer = liveOf(options).ask("/api/explain", "POST", body=body)
    except Unreached as e:
        print(f"socksgw: {shown(e)}", file=sys.stderr)
        return e.status
    if status != 200:
        return refusedBy(status, answer)
    if options.json:
        print(json.dumps(answer), file=out)
    elif answer["verdict"] is None:
        why = f"{shown(answer['why'])}; give " if "why" in answer else "it depends on "
        print(f"cannot be told: {why}{optionOf(answer['missing'])}", file=out)
    else:
        printed(answer, out)
        if answer["limit"]:
            print(f"  but for now a limit forbids it: {answer['limit']}", file=out)
    return {"allow": 0, "deny": 1}.get(answer["verdict"], WRONG)
