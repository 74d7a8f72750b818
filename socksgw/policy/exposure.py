"""
What a configuration exposes: who gets in without login, from where, to what,
and whether that is an open relay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, final

from socksgw.config.problems import Problem
from socksgw.config.schema import Choose, Config, Listen, Rule
from socksgw.policy.conditions import Addresses
from socksgw.policy.extent import NOWHERE, PUBLIC, Extent, extentOf, union

__all__ = ["Exposure"]

#: So many words of a list are shown.
_SHOWN: Final = 12
#: More public addresses than this are nobody's in particular: of IPv4 the
#: largest block that one holder ever got, a /8; of IPv6 a /16.
_NAMED: Final = (1 << 24, 1 << 112)


def _some(words: Sequence[str]) -> str:
    """Words, or as many of them as can be read."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _several(words: Sequence[str] | str) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words


def _isFor(listeners: Collection[str] | None, listener: str) -> bool:
    return listeners is None or listener in listeners


def _isClosed(listen: Listen) -> bool:
    """Whether nobody gets so far who has no certificate that was verified."""
    return listen.tls is not None and listen.tls.client_certificate == "required"


def _areStrangers(sources: Extent) -> bool:
    """
    Whether these are too many for somebody to have named them: what counts is
    how much of the Internet they cover, whatever the words.
    """
    four, six = (sources & PUBLIC).sizes()
    return four > _NAMED[0] or six > _NAMED[1]


def _amount(sources: Extent) -> str:
    """How much of the public Internet that is, for people."""
    public = sources & PUBLIC
    if not PUBLIC - public:
        return "every address"
    four, six = public.sizes()
    whole = PUBLIC.sizes()
    parts = [
        f"{'under ' if 100 * size < of else ''}{max(1, 100 * size // of)} % of the "
        f"public {family} addresses"
        for size, of, family in ((four, whole[0], "IPv4"), (six, whole[1], "IPv6"))
        if size
    ]
    return " and ".join(parts)


@final
class Exposure:
    """
    One configuration's.
    """

    def __init__(
        self,
        config: Config,
        anonymous: Collection[str],
        entries: Sequence[Addresses | None],
        rules: Sequence[Addresses | None],
    ) -> None:
        """
        @param anonymous: the names of the methods of which it has to be assumed
            that they log nobody in.
        @param entries: what C{from} of each C{[[auth.choose]]} came to.
        @param rules: what C{from} of each C{[[rule]]} came to.
        """
        self._config = config
        self._anonymous = frozenset(anonymous)
        self._entries = entries
        self._rules = rules

    def _nobodys(self, choose: Choose) -> frozenset[str]:
        """The methods of an entry by which clients get in without a login."""
        return self._anonymous.intersection(choose.methods)

    def _admits(self, rule: Rule, methods: Collection[str]) -> bool:
        """Whether a rule can be for those whom none of C{methods} logged in."""
        return (rule.who is None or "anonymous" in rule.who) and (
            rule.method is None or not set(methods).isdisjoint(_several(rule.method))
        )

    def _grants(self, rule: Rule, methods: Collection[str], listener: str) -> bool:
        """
        Whether a rule grants strangers something, as far as they are its.
        """
        return (
            rule.allow is not None
            and not rule.report_only
            and rule.allow != ()
            and rule.who is None
            and self._admits(rule, methods)
            and _isFor(rule.listener, listener)
            and rule.to != ()
            and rule.ports != ()
        )

    def _relayed(self, listener: str) -> tuple[Extent, list[str], set[str]]:
        """
        @return: the sources that are granted something on a listener without a
            login, by which rules, and by which methods.
        """
        granted, asked = NOWHERE, NOWHERE
        names: set[str] = set()
        ids: dict[str, None] = {}
        for choose, entry in zip(self._config.auth.choose, self._entries, strict=True):
            if not _isFor(choose.listener, listener):
                continue
            # An earlier entry that is for a source decides about it.
            sources = extentOf(entry) - asked
            asked |= sources
            methods = self._nobodys(choose)
            if not methods or not sources:
                continue
            granting = {
                rule.id: origin
                for rule, origin in zip(self._config.rule, self._rules, strict=True)
                if self._grants(rule, methods, listener)
            }
            for name, origin in granting.items():
                if origin is None:
                    granting = {name: None}
                    break
            theirs = sources & union(map(extentOf, granting.values()))
            if theirs:
                granted |= theirs
                names |= methods
                ids.update(dict.fromkeys(granting))
        return granted, list(ids), names

    def problems(self, routable: Collection[str]) -> Iterator[Problem]:
        """
        Why the configuration would make an open relay.

        @param routable: the names of the listeners that other hosts can reach.
        """
        for i, listen in enumerate(self._config.listen):
            if listen.name not in routable or _isClosed(listen):
                continue
            granted, rules, names = self._relayed(listen.name)
            if not _areStrangers(granted):
                continue
            several = len(rules) > 1
            which = _some([f'"{rule}"' for rule in rules])
            methods = _some([f'"{name}"' for name in sorted(names)])
            yield Problem(
                f"listen[{i}]",
                f'exposed: "{listen.name}" can be reached from other hosts, offers '
                f"{_amount(granted)} {methods}, which may log nobody in, and "
                f"{'rules' if several else 'rule'} {which} "
                f"{'ask' if several else 'asks'} no login: an open relay. Name the clients "
                "([[auth.choose]] from, or the rule's from or who), ask for a login, "
                "or listen on 127.0.0.1",
            )

    def lines(self) -> Iterator[str]:
        """
        Which rules admit C{anonymous}, from where, to what: a line each.
        """
        for listen in self._config.listen:
            for choose in self._config.auth.choose:
                methods = self._nobodys(choose)
                if not methods or not _isFor(choose.listener, listen.name):
                    continue
                for rule in self._config.rule:
                    if (
                        rule.allow is not None
                        and not rule.report_only
                        and _isFor(rule.listener, listen.name)
                        and self._admits(rule, methods)
                    ):
                        yield _line(listen, choose, rule)


def _line(listen: Listen, choose: Choose, rule: Rule) -> str:
    sources = _some(choose.from_ or ("anywhere",))
    if _isClosed(listen):
        sources += " with a client certificate"
    if rule.from_ is not None:
        sources += f" (of these: {_some(rule.from_)})"
    to = _some(rule.to) if rule.to is not None else "every address"
    if rule.to is None:
        to += " that no rule before denies"
    ports = f" port {_some([*map(str, rule.ports)])}" if rule.ports is not None else ""
    assert rule.allow is not None
    what = rule.allow if rule.allow == "any" else ", ".join(rule.allow)
    return (
        f'anonymous on "{listen.name}" from {sources}: {what} to {to}{ports} by rule '
        f'"{rule.id}"'
    )
