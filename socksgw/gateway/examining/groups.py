"""
Multicast groups: where they are joined, and what rules say of them.
"""

from __future__ import annotations

import re
import socket
from typing import Final

from socksgw.config.schema import Config, Listen, ListenMulticast, Rule, RuleMulticast
from socksgw.gateway.examining.problems import Problems
from socksgw.wire.server import DIALECTS

__all__ = ["examineGroups"]

#: IFNAMSIZ of linux/if.h, less the octet of the end.
_NAME: Final = re.compile(r"[!-.0-~]{1,15}\Z", re.ASCII)


def examineGroups(config: Config, problems: Problems) -> None:
    """Examine C{listen.multicast} of each listener, and C{multicast} of each rule."""
    serving = [listen for listen in config.listen if listen.multicast.interface]
    for i, listen in enumerate(config.listen):
        _listener(f"listen[{i}].multicast", listen, problems)
    for i, rule in enumerate(config.rule):
        path = rule.place or f"rule[{i}]"
        _terms(f"{path}.multicast", rule, problems)
        named = rule.allow is not None and "multicast" in rule.allow
        if named and rule.via:
            problems.wrong(
                f"{path}.via",
                "multicast groups do not go through upstreams: give them a rule of "
                "their own",
            )
        if named and not serving:
            problems.odd(
                f"{path}.allow",
                "multicast has no effect: no listener says where groups are joined "
                "(interface of [listen.multicast])",
            )


def _interface(path: str, name: str, problems: Problems) -> None:
    if not name:
        return
    if not _NAME.fullmatch(name):
        problems.wrong(path, f'"{name}" is no name of an interface')
        return
    try:
        socket.if_nametoindex(name)
    except OSError:
        problems.odd(
            path,
            f'there is no "{name}" on this machine now: groups are refused '
            "(network-lost) until there is",
        )


def _listener(path: str, listen: Listen, problems: Problems) -> None:
    said = listen.multicast
    if said.groups < 1:
        problems.wrong(f"{path}.groups", "must be 1, at least")
    if not said.interface:
        if said != ListenMulticast():
            problems.odd(
                path,
                "has no effect: without interface the listener serves no groups",
            )
        return
    _interface(f"{path}.interface", said.interface, problems)
    commands = [DIALECTS[each].commands.values() for each in listen.spoken]
    if not any("multicast" in each for each in commands):
        why = "none of its protocols has multicast groups"
        problems.wrong(f"{path}.interface", why)
    if listen.netns or listen.device:
        key = "netns" if listen.netns else "device"
        problems.wrong(
            f"{path}.interface",
            f"is not for a listener with {key}: groups are joined in the gateway's own "
            "network",
        )


def _terms(path: str, rule: Rule, problems: Problems) -> None:
    said = rule.multicast
    if not 1 <= said.ttl <= 255:
        problems.wrong(f"{path}.ttl", "must be from 1 to 255")
    _interface(f"{path}.interface", said.interface, problems)
    if said != RuleMulticast() and "multicast" not in (rule.allow or ()):
        problems.wrong(path, "has no effect: the rule does not allow multicast")
    elif said.ttl != 1 and not said.send:
        problems.wrong(
            f"{path}.ttl", "has no effect: nobody may send to the groups (send = true)"
        )
