"""
Lines of Squid's access lists as rules that say one thing for each field.

Conditions of one line hold together; some can be turned round (addresses, ports), others
cannot (names, times, users). A line with a name that must not be there is unfolded: what
has the name is judged by the lines that follow, and everything else by the line.

Rules do not tell a tunnel (C{CONNECT}) from a request for C{http://}, but by what is
carried: the application of the second one is always C{http}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Final, NamedTuple, final

from socksgw.importing.networks import EVERYWHERE, Networks, common, without
from socksgw.importing.squid.access import Line, Term, falls
from socksgw.importing.squid.acls import Acl, isUnder

__all__ = ["Made", "TooMany", "Where", "Unfolding", "narrowed"]

#: Rules that one file may come to.
_MOST: Final = 2000
_PORTS: Final = ((0, 65535),)


class TooMany(Exception):
    """The lines come to more rules than anybody could read."""


class Where(NamedTuple):
    """
    What a rule is about; what is L{None} matches everything.

    @ivar names: of hosts, and C{resolved}: the addresses that they may have.
    @ivar users: C{users} for everybody with a login, C{anonymous} without.
    """

    sources: Networks | None = None
    networks: Networks | None = None
    names: tuple[str, ...] | None = None
    resolved: Networks | None = None
    ports: tuple[tuple[int, int], ...] | None = None
    users: tuple[str, ...] | None = None
    time: Acl | None = None
    listeners: tuple[str, ...] | None = None


class Made(NamedTuple):
    """
    A rule.

    @ivar carries: whether it is about what carries HTTP alone.
    """

    line: Line | None
    allows: bool
    where: Where
    carries: bool = False


def narrowed(where: Where, term: Term, listeners: Callable[[Acl], Sequence[str]],
            others: Sequence[str]) -> Where | None:  # fmt: skip
    """
    Return what a condition leaves of something; L{None} for nothing.

    @param listeners: returns the names of the listeners that a condition means.
    @param others: the names of all.
    @raise KeyError: rules cannot say that.
    """
    acl, isNot = term
    if acl.kind == "src":
        own = without(EVERYWHERE, acl.networks) if isNot else acl.networks
        sources = common(where.sources or EVERYWHERE, own)
        return where._replace(sources=_all(sources)) if sources else None
    if acl.kind == "dst":
        own = without(EVERYWHERE, acl.networks) if isNot else acl.networks
        if where.names is not None:
            found = common(where.resolved or EVERYWHERE, own)
            return where._replace(resolved=_all(found)) if found else None
        found = common(where.networks or EVERYWHERE, own)
        return where._replace(networks=_all(found)) if found else None
    if acl.kind == "port":
        own_ = _complement(acl.ports) if isNot else acl.ports
        ports = _ports(where.ports or _PORTS, own_)
        return where._replace(ports=ports) if ports else None
    if acl.kind == "proxy_auth":
        return _users(where, acl, isNot)
    if acl.kind in ("localport", "myport", "myportname"):
        meant = listeners(acl)
        named = [each for each in others if (each in meant) != isNot]
        left = tuple(e for e in where.listeners or others if e in named)
        return where._replace(listeners=left) if left else None
    if isNot:
        raise KeyError(acl.name)
    if acl.kind == "dstdomain":
        names = _names(where.names, acl.values)
        # Addresses that were asked for are those that the names lead to now.
        return (
            where._replace(
                names=names, networks=None, resolved=where.networks or where.resolved
            )
            if names
            else None
        )
    if acl.kind == "time" and where.time in (None, acl):
        return where._replace(time=acl)
    raise KeyError(acl.name)


def _all(networks: Networks) -> Networks | None:
    return None if set(networks) >= set(EVERYWHERE) else networks


def _users(where: Where, acl: Acl, isNot: bool) -> Where | None:
    if "REQUIRED" in acl.values:
        if isNot:
            return where._replace(users=("anonymous",)) if not where.users else None
        return where if where.users else where._replace(users=("users",))
    if isNot:
        raise KeyError(acl.name)
    own = where.users
    if own is None or own == ("users",):
        return where._replace(users=acl.values)
    users = tuple(each for each in own if each in acl.values)
    return where._replace(users=users) if users else None


def _complement(ports: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    at = 0
    for first, last in sorted(ports):
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    return found + ([(at, 65535)] if at <= 65535 else [])


def _ports(
    some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    return tuple(
        dict.fromkeys(
            (max(a, c), min(b, d))
            for a, b in some
            for c, d in others
            if max(a, c) <= min(b, d)
        )
    )


def _names(some: Sequence[str] | None, others: Sequence[str]) -> tuple[str, ...]:
    if some is None:
        return tuple(others)
    found = [each for each in some for one in others if _isWithin(each, one)]
    found += [each for each in others for one in some if _isWithin(each, one)]
    return tuple(dict.fromkeys(found))


def _isWithin(name: str, other: str) -> bool:
    if name.startswith("."):
        return other.startswith(".") and isUnder(other, name[1:])
    return isUnder(other, name)


@final
class Unfolding:
    """
    The rules that lines come to, in order.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        listeners: Callable[[Acl], Sequence[str]],
        names: Sequence[str],
        leave: Callable[[Line, str, bool], None],
    ) -> None:
        """
        Begin with the first line.

        @param lines: with conditions that are known, of C{method} only C{CONNECT}.
        @param leave: takes note of a line that is not the same.
        """
        self._lines = lines
        self._listeners = listeners
        self._names = names
        self._leave = leave
        self._count = 0
        #: Where those without a login are denied already.
        self._asked: set[Where] = set()
        self._isAllowed = falls(lines)

    def __iter__(self) -> Iterator[Made]:
        return self._from(0, Where(), ())

    def _common(self, where: Where | None, terms: Sequence[Term]) -> Where | None:
        for each in terms:
            if where is None:
                return None
            where = narrowed(where, each, self._listeners, self._names)
        return where

    def _make(self, made: Made) -> Made:
        self._count += 1
        if self._count > _MOST:
            raise TooMany
        return made

    def _from(
        self, at: int, within: Where, denied: tuple[tuple[Term, ...], ...]
    ) -> Iterator[Made]:
        """
        Return the rules of the lines from one on.

        @param within: what they are about.
        @param denied: conditions of tunnels that lines before have denied.
        """
        for number in range(at, len(self._lines)):
            line = self._lines[number]
            kinds = [each for each in line.terms if each.acl.kind == "method"]
            terms = [each for each in line.terms if each.acl.kind != "method"]
            isTunnel = any(not each.isNot for each in kinds)
            isRequest = any(each.isNot for each in kinds)
            if isTunnel and isRequest:
                continue
            turned: list[Term] = []
            where: Where | None = within
            yield from self._challenged(number, terms, within)
            for term in terms:
                if where is None:
                    break
                try:
                    where = narrowed(where, term, self._listeners, self._names)
                except KeyError:
                    if term.isNot:
                        turned.append(term._replace(isNot=False))
                    else:
                        why = "left out: two times cannot hold together"
                        self._leave(line, why, not line.allows)
                        where = None
            if where is None:
                continue
            if isTunnel and not line.allows:
                denied = (*denied, tuple(terms))
                continue
            if isRequest and not line.allows:
                self._leave(line, "left out: rules are about tunnels, too", True)
                continue
            for term in turned:
                # What is meant by it is judged by the lines that follow.
                inside = self._common(where, [term])
                if inside is not None:
                    yield from self._from(number + 1, inside, denied)
            if not line.allows:
                yield self._make(Made(line, False, where))
            else:
                if isTunnel:
                    why = "requests for http:// are allowed, too"
                    self._leave(line, why, True)
                yield from self._allowed(line, where, denied, isRequest)
            if where == within and not (isTunnel or isRequest):
                return
        if self._isAllowed or within != Where():
            yield from (
                self._allowed(None, within, denied, False)
                if self._isAllowed
                else [self._make(Made(None, False, within))]
            )

    def _challenged(
        self, number: int, terms: Sequence[Term], within: Where
    ) -> Iterator[Made]:
        """Deny those without a login who come to a condition about users."""
        before: list[Term] = []
        line = self._lines[number]
        for term in terms:
            if term.acl.kind == "proxy_auth":
                break
            before.append(term)
        else:
            return
        if not self._isOpen(number):
            return
        where: Where | None = within
        for term in before:
            try:
                where = where and narrowed(where, term, self._listeners, self._names)
            except KeyError:
                continue
        if where is None or where.users is not None or where in self._asked:
            return
        self._asked.add(where)
        yield self._make(Made(line, False, where._replace(users=("anonymous",))))

    def _isOpen(self, number: int) -> bool:
        """Return whether somebody without a login may pass behind a line."""
        return self._isAllowed or any(
            each.allows and all(term.acl.kind != "proxy_auth" for term in each.terms)
            for each in self._lines[number:]
        )

    def _allowed(
        self,
        line: Line | None,
        where: Where,
        denied: Sequence[Sequence[Term]],
        isRequest: bool,
    ) -> Iterator[Made]:
        """Allow something, tunnels only as far as they are not denied."""
        if not isRequest:
            ways = [
                [term._replace(isNot=not term.isNot) for term in terms]
                for terms in denied
                if self._touches(where, terms)
            ]
            for chosen in product(*ways):
                try:
                    left = self._common(where, chosen)
                except KeyError:
                    if line is not None:
                        self._leave(line, "some tunnels are denied here, too", False)
                    continue
                if left is not None:
                    yield self._make(Made(line, True, left))
            if not ways:
                return
        yield self._make(Made(line, True, where, True))

    def _touches(self, where: Where, terms: Sequence[Term]) -> bool:
        try:
            return self._common(where, terms) is not None
        except KeyError:
            return True
