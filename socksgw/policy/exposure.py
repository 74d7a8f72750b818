"""
Find out what a configuration exposes to clients without a login.

It tells which sources are served, by which rules and to which destinations, and
refuses a configuration that makes an open relay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, final

from socksgw.config.listening import UNIX
from socksgw.config.problems import Problem
from socksgw.config.schema import Choose, Config, Listen, Rule
from socksgw.policy.conditions import Addresses
from socksgw.policy.extent import NOWHERE, PUBLIC, Extent, extentOf, union
from socksgw.policy.leaving import Leaving

__all__ = ["Exposure", "amountOf", "areStrangers"]

#: How many words of a list are shown.
_SHOWN: Final = 12
#: What the clients of a transparent listener can ask for.
_DIVERTED: Final = {"redirect": ("connect",), "tproxy": ("connect", "udp")}
#: More public addresses than this are not one organisation's: for IPv4 a /8, the
#: largest block that one holder ever got; for IPv6 a /16.
_NAMED: Final = (1 << 24, 1 << 112)


def _some(words: Sequence[str]) -> str:
    """Return words as a list for people, cut to a readable length."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _several(words: Sequence[str] | str) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words


def _isFor(listeners: Collection[str] | None, listener: str) -> bool:
    return listeners is None or listener in listeners


def _commands(listen: Listen, rule: Rule) -> Sequence[str]:
    """Return the commands that a rule allows to a listener's clients, for people."""
    assert rule.allow is not None
    if listen.transparent is None:
        return _several(rule.allow)
    possible = _DIVERTED[listen.transparent]
    return [each for each in possible if rule.allow == "any" or each in rule.allow]


def _isClosed(listen: Listen) -> bool:
    """Tell whether a listener serves only clients with a verified certificate."""
    return listen.tls is not None and listen.tls.client_certificate == "required"


def _otherwise(listen: Listen) -> str:
    """Return what else than naming the clients keeps a listener from being open."""
    if listen.transparent is not None:
        return "; what the kernel diverts here comes from other hosts"
    if listen.proxy_protocol_from is not None:
        return ", or ask for a login"
    return ", ask for a login, or listen on 127.0.0.1"


def areStrangers(sources: Extent) -> bool:
    """
    Tell whether sources are too many to be the clients of one organisation.

    What counts is how many public addresses they are, however they are written.
    """
    four, six = (sources & PUBLIC).sizes()
    return four > _NAMED[0] or six > _NAMED[1]


def amountOf(sources: Extent) -> str:
    """Return which share of the public Internet some sources are, for people."""
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
    The exposure of one configuration.
    """

    def __init__(
        self,
        config: Config,
        anonymous: Collection[str],
        entries: Sequence[Addresses | None],
        rules: Sequence[Addresses | None],
    ) -> None:
        """
        Take a configuration and what was read from it.

        @param anonymous: the methods that may serve clients without a login.
        @param entries: the addresses of C{from} of each C{[[auth.choose]]}.
        @param rules: the addresses of C{from} of each C{[[rule]]}.
        """
        self._config = config
        self._anonymous = frozenset(anonymous)
        self._entries = entries
        self._rules = rules

    def _nobodys(self, choose: Choose) -> frozenset[str]:
        """Return the methods of an entry that may serve clients without a login."""
        return self._anonymous.intersection(choose.methods)

    def _admits(self, rule: Rule, methods: Collection[str]) -> bool:
        """Tell whether a rule may be for clients without a login by some methods."""
        return (rule.who is None or "anonymous" in rule.who) and (
            rule.method is None or not set(methods).isdisjoint(_several(rule.method))
        )

    def _grants(self, rule: Rule, methods: Collection[str], listener: str) -> bool:
        """
        Tell whether a rule allows clients without a login anything.
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
        Find what a listener grants to clients without a login.

        @return: the sources, the rules that allow them something, and the methods.
        """
        granted, asked = NOWHERE, NOWHERE
        names: set[str] = set()
        ids: dict[str, None] = {}
        for choose, entry in zip(self._config.auth.choose, self._entries, strict=True):
            if not _isFor(choose.listener, listener):
                continue
            # The first entry for a source decides about it.
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
        Yield why the configuration would make an open relay.

        @param routable: the names of the listeners that other hosts can reach.
        """
        for i, listen in enumerate(self._config.listen):
            if listen.name not in routable or _isClosed(listen):
                continue
            granted, rules, names = self._relayed(listen.name)
            if not areStrangers(granted):
                continue
            several = len(rules) > 1
            which = _some([f'"{rule}"' for rule in rules])
            methods = _some([f'"{name}"' for name in sorted(names)])
            yield Problem(
                f"listen[{i}]",
                f'exposed: "{listen.name}" can be reached from other hosts. It offers '
                f"{amountOf(granted)} {methods}, which may not ask for a login, and "
                f"{'rules' if several else 'rule'} {which} "
                f"{'ask' if several else 'asks'} for no login: an open relay. Name the clients "
                f"([[auth.choose]] from, or the rule's from or who){_otherwise(listen)}",
            )

    def lines(self) -> Iterator[str]:
        """
        Yield a line for each rule that admits C{anonymous}, with sources and targets.
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
                        and _commands(listen, rule)
                    ):
                        yield _line(listen, choose, rule) + self._via(rule)

    def _via(self, rule: Rule) -> str:
        """Return by which upstreams a rule leaves, and whether they judge names."""
        if rule.via is None:
            return ""
        text = f", via {Leaving(rule.via).text}"
        for each in self._config.upstream:
            if each.name in rule.via[-1] and each.resolve == "there":
                return f"{text} (which looks names up: no address of these is judged)"
        return text


def _line(listen: Listen, choose: Choose, rule: Rule) -> str:
    sources = _some(choose.from_ or ("anywhere",))
    if listen.proxy_protocol_from is not None:
        sources += f" (as PROXY headers from {_some(listen.proxy_protocol_from)} say)"
    elif listen.address and all(each.startswith(UNIX) for each in listen.address):
        sources = "programs of this machine"
    if _isClosed(listen):
        sources += " with a client certificate"
    if rule.from_ is not None and rule.from_ != choose.from_:
        sources += f" (of these: {_some(rule.from_)})"
    to = _some(rule.to) if rule.to is not None else "every address"
    if rule.to is None:
        to += " that no rule before denies" + ("," if rule.ports is not None else "")
    ports = f" port {_some([*map(str, rule.ports)])}" if rule.ports is not None else ""
    what = ", ".join(_commands(listen, rule))
    where = f" ({listen.domain})" if listen.domain.name else ""
    return (
        f'anonymous on "{listen.name}"{where} from {sources}: {what} to {to}{ports} by rule '
        f'"{rule.id}"'
    )
