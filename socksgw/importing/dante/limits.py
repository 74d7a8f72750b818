"""
Limits and times of a Dante server's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from socksgw.importing.dante.file import Block, Said
from socksgw.importing.draft import Draft

__all__ = ["limitsOf", "seconds", "timesOf"]

#: Seconds in which new sessions are counted, at most.
_LONGEST: Final = 3600


def limitsOf(block: Block, draft: Draft, per: str) -> dict[str, Any]:
    """
    Return the limits of a rule, as C{[[limit]]} has them; empty for none.

    @param draft: where what is not the same is noted.
    @param per: what is counted together, where a rule does not say that it counts
        each client.
    """
    found: dict[str, Any] = {}
    for said in block.said:
        if not said.values:
            continue
        value = said.values[-1]
        if said.keyword == "session.max" and value.isdecimal():
            found["sessions"] = int(value)
        elif said.keyword == "bandwidth" and value.isdecimal():
            found["rate"] = f"{value}B/s"
        elif said.keyword == "session.throttle":
            many, _, within = "".join(said.values).partition("/")
            if many.isdecimal() and within.isdecimal() and int(many) and int(within):
                found["new_sessions"] = _often(int(many), int(within), said, draft)
            else:
                why = "left out: it is no number of sessions / seconds"
                draft.leave(said.line, said.keyword, why, wider=True)
        elif said.keyword in ("session.max", "bandwidth"):
            draft.leave(said.line, said.keyword, "left out: it is no number", True)
    if not found:
        return {}
    if block.of("session.state.key") == ("from",):
        per = "source"
    return {"per": per, **found}


def _often(many: int, within: int, said: Said, draft: Draft) -> int | str:
    """Return how many sessions may begin within which time, as here."""
    if within == 1:
        return many
    if within <= _LONGEST:
        return f"{many}/{within}s"
    each = many * _LONGEST // within
    why = f"{many} in {within} s are {max(1, each)} in each hour here"
    draft.leave(said.line, said.keyword, why, wider=not each)
    return f"{max(1, each)}/1h"


def seconds(values: tuple[str, ...] | None) -> str | None:
    """Return a duration; L{None} for none, and for 0, which is without an end."""
    number = values[-1] if values else ""
    return f"{number}s" if number.isdecimal() and int(number) else None


def timesOf(block: Block, commands: Sequence[str]) -> dict[str, str]:
    """
    Return the times of a rule, as C{timeouts} of ours has them; empty for none.

    @param commands: what it allows; each time is for some of these.
    """
    times: dict[str, str | None] = {}
    if "connect" in commands:
        times["connect"] = seconds(block.of("timeout.connect"))
    if {"connect", "bind"} & {*commands}:
        times["idle"] = seconds(block.of("timeout.io.tcp") or block.of("timeout.io"))
    return {key: value for key, value in times.items() if value}
