"""
What a configuration exposes: who gets in without login, from where, to what,
and whether that is an open relay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from socksgw.config import Choose, Config, Listen, Problem, Rule

__all__ = ["exposed", "exposures"]

_EVERYWHERE = frozenset({"any", "0.0.0.0/0", "::/0"})


def _unnamed(config: Config, sources: Iterable[str] | None) -> bool:
    """Whether these are sources that nobody has named."""
    return sources is None or any(
        word in _EVERYWHERE or _unnamed(config, config.networks.get(word, ()))
        for word in sources
    )


def _isFor(listeners: Collection[str] | None, listener: str) -> bool:
    return listeners is None or listener in listeners


def _isClosed(listen: Listen) -> bool:
    """Whether nobody gets so far who has no certificate that was verified."""
    return listen.tls is not None and listen.tls.client_certificate == "required"


def _openTo(config: Config, listener: str) -> Choose | None:
    """
    The entry that lets strangers in on a listener without login, if any.
    """
    for choose in config.auth.choose:
        if _isFor(choose.listener, listener):
            if "none" in choose.methods and _unnamed(config, choose.from_):
                return choose
            if choose.from_ is None or "any" in choose.from_:
                return None
    return None


def _grants(config: Config, rule: Rule, listener: str) -> bool:
    """
    Whether a rule grants a stranger something.
    """
    return (
        rule.allow is not None
        and rule.allow != ()
        and rule.who is None
        and _unnamed(config, rule.from_)
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
    for i, listen in enumerate(config.listen):
        if listen.name not in routable or _isClosed(listen):
            continue
        choose = _openTo(config, listen.name)
        if choose is None:
            continue
        for rule in config.rule:
            if _grants(config, rule, listen.name):
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
                if rule.allow is None or not _isFor(rule.listener, listen.name):
                    continue
                if rule.who is not None and "anonymous" not in rule.who:
                    continue
                sources = ", ".join(choose.from_ or ("anywhere",))
                if _isClosed(listen):
                    sources += " with a client certificate"
                if rule.from_ is not None:
                    sources += f" (of these: {', '.join(rule.from_)})"
                to = ", ".join(rule.to) if rule.to is not None else "every address"
                if rule.to is None:
                    to += " that no rule before denies"
                ports = (
                    f" port {', '.join(map(str, rule.ports))}"
                    if rule.ports is not None
                    else ""
                )
                what = rule.allow if rule.allow == "any" else ", ".join(rule.allow)
                yield (
                    f'anonymous on "{listen.name}" from {sources}: {what} to '
                    f'{to}{ports} by rule "{rule.id}"'
                )
