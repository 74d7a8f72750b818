"""
What a supervisor and its workers say to each other.

The supervisor asks (C{start}, C{prepare}, C{use}, C{ping}, C{measure}, C{part},
C{last}, C{leave}) and tells (C{forget}, C{grants}, C{listen}, C{relieve}, C{stop},
C{end}); a worker tells of its log, and why it fails, and asks C{last} of all.
"""

from __future__ import annotations

import pickle
import socket
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker

from socksgw.accept.held import Place
from socksgw.config.problems import Finding
from socksgw.config.schema import Config
from socksgw.limits.counters import Key

__all__ = [
    "CHANNEL",
    "NotForWorkers",
    "configIn",
    "findings",
    "packed",
    "socketsIn",
    "told",
    "windowsIn",
]

#: The descriptor of the channel in a worker.
CHANNEL: Final = 3


class NotForWorkers(Exception):
    """What is configured cannot be told to another process; the text says why."""


def packed(config: Config, checkers: Sequence[ICredentialsChecker] | None) -> str:
    """
    Return a configuration for a message.

    @param checkers: used instead of those that it names.
    @raise NotForWorkers: a checker cannot be handed over.
    """
    try:
        octets = pickle.dumps((config, checkers))
    except (pickle.PicklingError, TypeError, AttributeError) as e:
        raise NotForWorkers(
            f"--auth with [gateway] workers: this checker is of one process ({e}); "
            "name it in [auth] checkers"
        ) from None
    return b64encode(octets).decode("ascii")


def configIn(
    message: Mapping[str, Any],
) -> tuple[Config, Sequence[ICredentialsChecker] | None]:
    """
    Return the configuration of a message of the supervisor.

    It made this process, and may have it do anything; a worker is never told so.
    """
    config, checkers = pickle.loads(b64decode(message["config"]))  # noqa: S301
    return config, checkers


def socketsIn(
    places: Sequence[Sequence[Any]], descriptors: Sequence[int]
) -> dict[Place, list[socket.socket]]:
    """
    Return sockets by their places.

    @raise ValueError: there are not as many places.
    """
    found: dict[Place, list[socket.socket]] = {}
    for place, fd in zip(places, descriptors, strict=True):
        found[tuple(map(str, place))] = [socket.socket(fileno=fd)]
    return found


def windowsIn(names: Sequence[Any]) -> list[tuple[Key, float]]:
    """
    Return the windows of quotas that a message names, each with its seconds.

    @raise ValueError: it names something else.
    """
    found = []
    for (what, per, rule, who), seconds in names:
        key = (str(what), str(per), str(rule), str(who))
        found.append((key, float(seconds)))
    return found


def told(problems: Sequence[Finding]) -> list[tuple[str, str, str]]:
    """Return problems for a message."""
    return [(each.file, each.path, each.text) for each in problems]


def findings(message: Mapping[str, Any]) -> list[Finding]:
    """Return the problems of a message."""
    return [Finding(*map(str, each)) for each in message.get("problems", ())]
