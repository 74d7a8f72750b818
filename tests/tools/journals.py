"""
Lines of a journal, without a gateway that writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from socksgw.audit import chain

__all__ = ["Line", "chainOf", "decision", "ending", "linesOf", "written"]


class Line:
    """
    One line, as sinks get it.
    """

    def __init__(self, number: int, octets: bytes) -> None:
        self.number = number
        self.octets = octets

    @cached_property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.octets.decode("ascii"))
        return fields


def chainOf(
    bodies: Sequence[str],
    first: int = 1,
    head: str = chain.FIRST,
    time: str = "2026-11-27T10:00:00.000Z",
) -> list[Line]:
    """
    Return lines that follow one another.

    @param bodies: their JSON members from C{event} on.
    @param first: the number of the first one.
    @param head: the hash of the line before.
    """
    found = []
    for number, body in enumerate(bodies, first):
        octets, head = chain.chained(f'"v":1,"n":{number},"time":"{time}",{body}', head)
        found.append(Line(number, octets[:-1]))
    return found


def linesOf(directory: Path, after: int = 0) -> Iterator[Line]:
    """Yield the whole lines of a journal's files, from one number on."""
    for file in chain.files(directory):
        for number, (octets, whole) in enumerate(
            chain.lines(file), chain.firstOf(file)
        ):
            if whole and number > after:
                yield Line(number, octets)


def written(directory: Path, lines: Sequence[Line]) -> None:
    """Write lines into a journal's file, as a gateway would."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / chain.nameOf(lines[0].number)
    file.write_bytes(b"".join(each.octets + b"\n" for each in lines))


def decision(session: int, event: str = "decision", **fields: Any) -> str:
    """Return the body of a decision, or of a flow's."""
    found = {
        "session": session, "listener": "main", "client": "192.0.2.7:40000",
        "protocol": "socks5", "user": "alice", "method": "userpass",
        "command": "connect", "asked": "example.com", "name": "example.com",
        "port": 443, "verdict": "allow", "rule": "web", "why": "",
        "addresses": ["198.51.100.1"],
        **fields,
    }  # fmt: skip
    return _body(event, found)


def ending(session: int, event: str = "end", **fields: Any) -> str:
    """Return the body of an end, or of a flow's."""
    found = {
        "session": session, "address": "198.51.100.1", "bound": "192.0.2.1:50000",
        "sent": 100, "received": 2000, "seconds": 1.5, "reason": "closed", "reply": 0,
        **fields,
    }  # fmt: skip
    return _body(event, found)


def _body(event: str, fields: dict[str, Any]) -> str:
    members = json.dumps(fields, separators=(",", ":"))
    return f'"event":"{event}",{members[1:-1]}'
