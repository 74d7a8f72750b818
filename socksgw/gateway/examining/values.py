"""
Values that can be judged alone: time-outs, sizes, limits, name servers.
"""

from __future__ import annotations

from typing import Final

from socksgw.config.schema import Config, Limit, Rule, UpstreamCheck
from socksgw.config.tags import SEPARATORS
from socksgw.config.upstreamurl import parsePlace
from socksgw.gateway.examining.problems import Problems
from socksgw.route.librarylookup import THREADS
from socksgw.route.nameserver import parseServer
from socksgw.route.resolvconf import NSSWITCH, readChoice
from socksgw.system.files import trustGroups

__all__ = ["examineValues"]

_TIMEOUTS: Final = ("handshake", "lookup", "connect", "idle", "udp_idle", "bind")
#: The amounts of a limit that must not be negative.
_AMOUNTS: Final = (
    "sessions",
    "associations",
    "binds",
    "new_sessions",
    "flows",
    "groups",
)
#: Amounts of a limit that count some commands alone.
_COUNTING: Final = {
    "associations": ("udp", "multicast"),
    "flows": ("udp",),
    "groups": ("multicast",),
    "binds": ("bind",),
}


def examineValues(config: Config, problems: Problems) -> None:
    """
    Examine every value that can be judged without looking at others.
    """
    wrong = problems.wrong
    for name in _TIMEOUTS:
        if getattr(config.timeouts, name) <= 0:
            wrong(f"timeouts.{name}", "must be more than 0s")
    if config.relay.memory < 1 << 20:
        wrong("relay.memory", 'must be at least "1MiB"')
    _inspect(config, problems)
    _gateway(config, problems)
    _resolver(config, problems)
    for i, limit in enumerate(config.limit):
        _limit(f"limit[{i}]", limit, problems)
        _together(f"limit[{i}]", limit, config, problems)
        _tagged(f"limit[{i}].per", limit, config, problems)
        if limit.per == "group" and not config.groups:
            problems.odd(f"limit[{i}].per", "has no effect: there are no [groups]")
    for i, rule in enumerate(config.rule):
        if rule.limits is not None:
            path = f"{rule.place or f'rule[{i}]'}.limits"
            _ruleLimit(path, rule, problems)
            _tagged(f"{path}.per", rule.limits, config, problems)
            _together(path, rule.limits, config, problems)
    for i, upstream in enumerate(config.upstream):
        if upstream.check is not None:
            _check(f"upstream[{i}].check", upstream.check, problems)
    separator = config.auth.tag_separator
    if separator and (len(separator) > 1 or separator not in SEPARATORS):
        wrong("auth.tag_separator", f"must be one of {' '.join(SEPARATORS)}")
    throttle = config.auth.throttle
    for name in ("per_user", "per_source"):
        if getattr(throttle, name) < 0:
            wrong(f"auth.throttle.{name}", "must not be negative; 0 is none")
    if throttle.window <= 0:
        wrong("auth.throttle.window", "must be more than 0s")
    if config.audit.max_size < 1_000_000:
        wrong("audit.max_size", 'must be at least "1MB"')


def _check(path: str, check: UpstreamCheck, problems: Problems) -> None:
    if check.every < 1:
        problems.wrong(f"{path}.every", 'must be at least "1s"')
    for name in ("fall", "rise"):
        if getattr(check, name) < 1:
            problems.wrong(f"{path}.{name}", "must be at least 1")
    if check.target:
        try:
            parsePlace(check.target)
        except ValueError as e:
            problems.wrong(f"{path}.target", f"{e}")


def _tagged(path: str, limit: Limit, config: Config, problems: Problems) -> None:
    if limit.per == "tag" and not config.auth.tag_separator:
        problems.wrong(
            path, "counts nothing: there are no tags, since auth.tag_separator is empty"
        )


def _together(path: str, limit: Limit, config: Config, problems: Problems) -> None:
    new = limit.new_sessions
    if new is not None and new.seconds != 1 and config.cluster is not None:
        problems.wrong(
            f"{path}.new_sessions",
            "a [cluster] counts what begins within a second: say a number; or set a "
            "quota, which all members count together",
        )


def _inspect(config: Config, problems: Problems) -> None:
    inspect = config.inspect
    if inspect is not None and not 1 << 10 <= inspect.octets <= 1 << 16:
        problems.wrong("inspect.octets", 'must be within "1KiB" and "64KiB"')
    if inspect is not None and not 0 < inspect.timeout <= 60:
        problems.wrong("inspect.timeout", 'must be more than 0s, and at most "1m"')


def _gateway(config: Config, problems: Problems) -> None:
    trusted = config.gateway.trusted_groups
    for name in trustGroups(trusted):
        problems.wrong(
            f"gateway.trusted_groups[{trusted.index(name)}]",
            f'"{name}": there is no such group on this machine; its number can be '
            "given instead",
        )
    if not config.gateway.name:
        problems.wrong("gateway.name", "must not be empty")


def _resolver(config: Config, problems: Problems) -> None:
    for i, server in enumerate(config.resolver.servers):
        try:
            parseServer(server)
        except ValueError as e:
            problems.wrong(f"resolver.servers[{i}]", f'"{server}": {e}')
    if not config.resolver.servers and (only := readChoice().why):
        problems.odd(
            "resolver.servers",
            f'names are looked up in {THREADS} threads at most: "{only}" in the'
            f" hosts line of {NSSWITCH} needs the C library; with name servers"
            " here no threads are needed",
        )


def _limit(path: str, limit: Limit, problems: Problems) -> None:
    if all(getattr(limit, name) is None for name in (*_AMOUNTS, "rate", "quota")):
        problems.wrong(path, "limits nothing; say sessions = 500")
    for name in _AMOUNTS:
        if (getattr(limit, name) or 0) < 0:
            problems.wrong(f"{path}.{name}", "must not be negative")


def _ruleLimit(path: str, rule: Rule, problems: Problems) -> None:
    limit = rule.limits
    assert limit is not None
    _limit(path, limit, problems)
    for name in ("who", "from"):
        if getattr(limit, "from_" if name == "from" else name) is not None:
            problems.wrong(f"{path}.{name}", "is for [[limit]]: here the rule says it")
    if rule.deny is not None:
        problems.wrong(path, "counts what a rule allows, and this one denies")
    elif rule.allow != "any":
        for name, commands in _COUNTING.items():
            if getattr(limit, name) is None or {*commands} & {*(rule.allow or ())}:
                continue
            problems.odd(
                f"{path}.{name}",
                f"counts nothing: the rule does not allow {' or '.join(commands)}",
            )
