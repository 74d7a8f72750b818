"""
What a configuration exposes: who gets in without login, from where, to what,
and whether that is an open relay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from socksgw.shape import Choose, Config, Listen, Rule
from socksgw.structuring import Problem

__all__ = ["exposed", "exposures"]

_EVERYWHERE = frozenset({"any", "0.0.0.0/0", "::/0"})
#: So many words of a list are shown.
_SHOWN = 12


def _everywhere(config: Config) -> frozenset[str]:
    """The words that name nobody, entries of C{[networks]} among them."""
    found = set(_EVERYWHERE)
    known = 0
    while len(found) > known:
        known = len(found)
        found.update(
            name
            for name, words in config.networks.items()
            if not found.isdisjoint(words)
        )
    return frozenset(found)


def _unnamed(everywhere: frozenset[str], sources: Iterable[str] | None) -> bool:
    """Whether these are sources that nobody has named."""
    return sources is None or not everywhere.isdisjoint(sources)


def _some(words: Sequence[str]) -> str:
    """Words, or as many of them as can be read."""
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _isFor(listeners: Collection[str] | None, listener: str) -> bool:
    return listeners is None or listener in listeners


def _isClosed(listen: Listen) -> bool:
    """Whether nobody gets so far who has no certificate that was verified."""
    return listen.tls is not None and listen.tls.client_certificate == "required"


def _openTo(config: Config, everywhere: frozenset[str], listener: str) -> Choose | None:
    """
    The entry that lets strangers in on a listener without login, if any.
    """
    for choose in config.auth.choose:
        if _isFor(choose.listener, listener):
            if "none" in choose.methods and _unnamed(everywhere, choose.from_):
                return choose
            if choose.from_ is None or "any" in choose.from_:
                return None
    return None


def _wantsLogin(rule: Rule) -> bool:
    """Whether whoever it lets in has logged in."""
    return (rule.who is not None and "anonymous" not in rule.who) or (
        rule.method is not None and "none" not in rule.method
    )


def _grants(everywhere: frozenset[str], rule: Rule, listener: str) -> bool:
    """
    Whether a rule grants a stranger something.
    """
    return (
        rule.allow is not None
        and not rule.report_only
        and rule.allow != ()
        and rule.who is None
        and not _wantsLogin(rule)
        and _unnamed(everywhere, rule.from_)
        and _isFor(rule.listener, listener)
        and rule.to != ()
        and rule.ports != ()
    )


def exposed(config: Config, routable: Collection[str]) -> list[Problem]:
    """
    Why the configuration would make an open relay.

    @param routable: the names of the listeners that other hosts can reach.
    """
    problems = []
    everywhere = _everywhere(config)
    for i, listen in enumerate(config.listen):
        if listen.name not in routable or _isClosed(listen):
            continue
        choose = _openTo(config, everywhere, listen.name)
        if choose is None:
            continue
        for rule in config.rule:
            if _grants(everywhere, rule, listen.name):
                problems.append(
                    Problem(
                        f"listen[{i}]",
                        f'exposed: "{listen.name}" can be reached from other hosts, '
                        f'offers them "none", and rule "{rule.id}" asks neither '
                        "who nor from: an open relay. Name the clients "
                        "([[auth.choose]] from, or the rule's from or who), ask for a "
                        "login, or listen on 127.0.0.1",
                    )
                )
                break
    return problems


def exposures(config: Config) -> Iterator[str]:
    """
    Which rules admit C{anonymous}, from where, to what: a line each.
    """
    for listen in config.listen:
        for choose in config.auth.choose:
            if "none" not in choose.methods or not _isFor(choose.listener, listen.name):
                continue
            for rule in config.rule:
                if rule.allow is None or rule.report_only:
                    continue
                if not _isFor(rule.listener, listen.name):
                    continue
                if _wantsLogin(rule):
                    continue
                sources = _some(choose.from_ or ("anywhere",))
                if _isClosed(listen):
                    sources += " with a client certificate"
                if rule.from_ is not None:
                    sources += f" (of these: {_some(rule.from_)})"
                to = _some(rule.to) if rule.to is not None else "every address"
                if rule.to is None:
                    to += " that no rule before denies"
                ports = (
                    f" port {_some([*map(str, rule.ports)])}"
                    if rule.ports is not None
                    else ""
                )
                what = rule.allow if rule.allow == "any" else ", ".join(rule.allow)
                yield (
                    f'anonymous on "{listen.name}" from {sources}: {what} to '
                    f'{to}{ports} by rule "{rule.id}"'
                )
