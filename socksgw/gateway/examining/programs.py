"""
Sources that C{from} gives to programs of this machine.

Clients on Unix sockets have no address, and count as 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from socksgw.config.listening import UNIX
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.policy.conditions import Addresses
from socksgw.wire.address import Address

__all__ = ["examinePrograms"]

_THEIRS: Final = Address(b"\x7f\x00\x00\x01")


def examinePrograms(
    config: Config,
    entries: Sequence[Addresses | None],
    rules: Iterable[Addresses | None],
    problems: Problems,
) -> None:
    """
    Warn of a C{from} by which no client of a Unix socket is ever meant.

    @param entries: the C{from} of each C{[[auth.choose]]}.
    @param rules: the C{from} of each C{[[rule]]}.
    """
    local = {
        listen.name
        for listen in config.listen
        if listen.proxy_protocol_from is None
        and listen.address
        and all(each.startswith(UNIX) for each in listen.address)
    }
    for i, (choose, sources) in enumerate(
        zip(config.auth.choose, entries, strict=True)
    ):
        _look(f"auth.choose[{i}].from", choose.listener, sources, local, problems)
    for i, (rule, sources) in enumerate(zip(config.rule, rules, strict=True)):
        _look(f"rule[{i}].from", rule.listener, sources, local, problems)


def _look(
    path: str,
    listeners: Collection[str] | None,
    sources: Addresses | None,
    local: Collection[str],
    problems: Problems,
) -> None:
    if not listeners or sources is None or not set(listeners) <= set(local):
        return
    if not sources.covers(_THEIRS):
        problems.odd(
            path,
            "is for no client of these listeners: programs on Unix sockets count as "
            "127.0.0.1; leave it out, and tell them apart by who",
        )
