"""
Choose live sessions: by who, where from, where to, by what rule, since when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from socksgw.admin.fields import CHOOSING
from socksgw.admin.table import Refused
from socksgw.policy.networks import Network
from socksgw.policy.patterns import NamePattern
from socksgw.session.session import Session
from socksgw.session.stage import Stage
from socksgw.wire.address import Address

__all__ = ["Choice"]

Test = Callable[[Session], bool]


@final
class Choice:
    """
    Which sessions are meant.

    @ivar text: what was asked with, for the journal; empty for all sessions.
    """

    def __init__(self, given: Mapping[str, Any], now: float) -> None:
        """
        Read what was asked with.

        @param given: fields of L{CHOOSING}, and others, which mean nothing here.
        @param now: monotonic seconds.
        @raise Refused: one cannot be.
        """
        names = [each.name for each in CHOOSING if each.name in given]
        self.text = " ".join(f"{name}={given[name]}" for name in names)
        self._tests = [_test(name, given[name], now) for name in names]

    def has(self, session: Session) -> bool:
        """Return whether a session is meant."""
        return all(test(session) for test in self._tests)


def _test(name: str, value: Any, now: float) -> Test:
    match name:
        case "user":
            return lambda session: session.record.user == value
        case "older":
            return lambda session: session.record.began <= now - value
        case "younger":
            return lambda session: session.record.began >= now - value
        case "stage":
            stage = Stage(value)
            return lambda session: session.stage is stage
        case "source":
            source = _network(name, value)
            return lambda session: source.covers(session.client.source)
        case "destination":
            return _destination(value)
        case "upstream":
            return lambda session: value in _upstreams(session.record.path)
        case _:
            return lambda session: getattr(session.record, name) == value


def _upstreams(path: str) -> list[str]:
    """Return the names in the path of a record."""
    return [each.strip() for each in path.split(",")]


def _network(name: str, text: str) -> Network:
    try:
        return Network.parse(text)
    except ValueError as e:
        raise Refused(400, f"{name}: {e}") from None


def _destination(text: str) -> Test:
    try:
        network = Network.parse(text)
    except ValueError:
        pass
    else:
        return lambda session: any(map(network.covers, _addresses(session)))
    try:
        pattern = NamePattern(text)
    except ValueError as e:
        raise Refused(400, f"destination: {e}") from None

    def named(session: Session) -> bool:
        name = session.record.name
        if name is None:
            return False
        return (pattern.exact and name == pattern.name) or (
            pattern.below and name.endswith(f".{pattern.name}")
        )

    return named


def _addresses(session: Session) -> Sequence[Address]:
    """Return the address that a session is connected with, or those it may be."""
    record = session.record
    return record.addresses if record.dialled is None else (record.dialled,)
