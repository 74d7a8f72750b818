"""
Who may do what by a Squid server (C{http_access}), and what it would decide.

What is said here of Squid 5.7 was seen: the first line whose every condition matches
decides; where none does, the opposite of the last line; a condition about a user that is
reached without one ends with 407.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from socksgw.importing.networks import includes
from socksgw.importing.squid.acls import Acl, isUnder

__all__ = ["Asked", "Client", "Line", "Term", "decided", "falls", "holds"]


class Term(NamedTuple):
    """
    A condition of a line, or its opposite.
    """

    acl: Acl
    isNot: bool

    def __str__(self) -> str:
        return f"{'!' if self.isNot else ''}{self.acl.name}"


class Line(NamedTuple):
    """
    A line of an access list.
    """

    line: int
    place: str
    allows: bool
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return f"{'allow' if self.allows else 'deny'} {' '.join(map(str, self.terms))}"


class Client(NamedTuple):
    """
    A client.

    @ivar user: empty without a login.
    @ivar port: that it came to, and C{listener}: the name of that in the file.
    """

    source: str
    user: str = ""
    port: int = 3128
    listener: str = ""


class Asked(NamedTuple):
    """
    A request.

    @ivar method: C{CONNECT}, C{GET}.
    @ivar host: as the client writes it, and C{address}: where that leads.
    """

    method: str
    host: str
    address: str
    port: int


def decided(
    lines: Sequence[Line], client: Client, asked: Asked, day: int, minute: int
) -> tuple[Line | None, bool | None]:
    """
    Return the line that decides, and whether the request is allowed.

    @param day: 0 is Sunday.
    @param minute: of the day, in the time zone of the host.
    @return: L{None} for the line where none does; L{None} for the verdict where a
        condition that is not known here would have to be tried.
    """
    for line in lines:
        matches = True
        for term in line.terms:
            if term.acl.why or term.acl.kind == "maxconn":
                return line, None
            if term.acl.kind == "proxy_auth" and not client.user:
                return line, False
            if holds(term.acl, client, asked, day, minute) == term.isNot:
                matches = False
                break
        if matches:
            return line, line.allows
    return None, falls(lines)


def falls(lines: Sequence[Line]) -> bool:
    """Return whether what no line is about is allowed."""
    return bool(lines) and not lines[-1].allows


def holds(acl: Acl, client: Client, asked: Asked, day: int, minute: int) -> bool:
    """Return whether a condition is met."""
    if acl.kind == "src":
        return includes(acl.networks, client.source)
    if acl.kind == "dst":
        return includes(acl.networks, asked.address)
    if acl.kind == "dstdomain":
        return any(isUnder(each, asked.host) for each in acl.values)
    if acl.kind in ("port", "localport", "myport"):
        port = asked.port if acl.kind == "port" else client.port
        return any(first <= port <= last for first, last in acl.ports)
    if acl.kind == "proxy_auth":
        return "REQUIRED" in acl.values or client.user in acl.values
    if acl.kind == "time":
        return any(each.covers(day, minute) for each in acl.times)
    if acl.kind == "method":
        return asked.method in acl.values
    return acl.kind == "myportname" and client.listener in acl.values
