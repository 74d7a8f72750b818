"""
What the policy says of programs of this machine.

Clients on Unix sockets have no address, and count as 127.0.0.1.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from socksgw.config.listening import UNIX
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.policy.conditions import Addresses
from socksgw.system.program import isUnmapped
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

    Warn, too, of users and groups of this machine that no client has.

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
    _nobodies(config, problems)
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


def _isNobodys(word: str) -> bool:
    """
    Tell whether a user or group of this machine is one by which nobody logs in.

    The kernel shows all users so whom a user namespace gives no number.
    """
    kind, _, name = word.partition(":")
    if kind not in ("uid", "gid"):
        return False
    try:
        if not name.isdecimal():
            name = str(
                pwd.getpwnam(name).pw_uid
                if kind == "uid"
                else grp.getgrnam(name).gr_gid
            )
    except KeyError:
        return False
    return isUnmapped(int(name))


def _nobodies(config: Config, problems: Problems) -> None:
    named = [(f"groups.{name}", group.members) for name, group in config.groups.items()]
    named += [
        (f"{rule.place or f'rule[{i}]'}.who", rule.who or ())
        for i, rule in enumerate(config.rule)
    ]
    for path, words in named:
        for i, word in enumerate(words):
            if ":" in word and _isNobodys(word):
                problems.odd(
                    f"{path}[{i}]",
                    f'"{word}" never logs in: the kernel shows every user and group '
                    "so that has no number here; let the program run as another",
                )
