"""
The bounds of one kind, and whom they count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, final

from socksgw.config.schema import Limit, Quota, Times
from socksgw.interfaces import Asker, User
from socksgw.limits.counters import eventOf
from socksgw.limits.window import SOME

__all__ = ["OF_COMMAND", "Bound", "Some", "countedIn"]

#: What else is counted of the sessions of a command.
OF_COMMAND: Final[Mapping[str, str]] = {
    "udp": "associations",
    "multicast": "associations",
    "bind": "binds",
}


class Some(Protocol):
    """
    Who counts in a limit that is not for everybody.

    @ivar text: who these are, for people; no two of them that differ have one text.
    """

    @property
    def text(self) -> str:
        """Return who these are."""

    def counts(self, asker: Asker) -> bool:
        """Tell whether somebody is one of these, or may be."""


def countedIn(user: User) -> frozenset[str]:
    """
    Return the groups in whose limits a user is counted.

    Groups of which it is not known whether the user is in them are among them, so
    that a directory that is away opens no limit.
    """
    return user.groups | user.unsure


def _least(said: Iterable[int]) -> tuple[tuple[str, int], ...]:
    """Return what counts new sessions within each time, with the smallest number."""
    found: dict[str, int] = {}
    for each in said:
        event = eventOf(each.seconds if isinstance(each, Times) else 1.0)
        found[event] = min(int(each), found.get(event, each))
    return tuple(found.items())


@final
class Bound:
    """
    The limits of one kind: all C{[[limit]]} per user, say, or those of one rule.

    Of several numbers the smallest counts; of quotas all with different windows.

    @ivar newSessions: what counts those that begin, each with its number.
    @ivar moving: whether it bounds octets.
    @ivar entering: whether it bounds sessions of every command.
    @ivar ofCommand: how many sessions of a command may live, by its name.
    """

    __slots__ = (
        "entering", "flows", "groups", "moving", "newSessions", "ofCommand", "per", "quotas",
        "rate", "rule", "sessions", "some",
    )  # fmt: skip

    def __init__(
        self, per: str, rule: str, limits: Sequence[Limit], some: Some | None = None
    ) -> None:
        """
        @param some: who counts; L{None} for everybody.
        """
        self.per = per
        # Of limits for some only, who these are stands in the place of the rule.
        self.rule = rule if some is None else f"{SOME}{some.text}"
        self.some = some

        def least(name: str) -> int | None:
            said = [getattr(x, name) for x in limits if getattr(x, name) is not None]
            return min(said, default=None)

        self.sessions = least("sessions")
        most = {command: least(name) for command, name in OF_COMMAND.items()}
        self.ofCommand = {c: n for c, n in most.items() if n is not None}
        self.newSessions = _least(
            limit.new_sessions for limit in limits if limit.new_sessions is not None
        )
        self.rate = least("rate")
        self.flows = least("flows")
        self.groups = least("groups")
        quotas: dict[float, Quota] = {}
        for quota in (x.quota for x in limits if x.quota is not None):
            other = quotas.get(quota.seconds)
            if other is None or quota.octets < other.octets:
                quotas[quota.seconds] = quota
        self.quotas = tuple(quotas.values())
        self.moving = self.rate is not None or bool(quotas)
        self.entering = (
            self.sessions is not None or bool(self.newSessions) or self.moving
        )

    def who(self, asker: Asker, rule: str) -> Sequence[str]:
        """
        Return the values that a limit of this kind counts somebody under.

        @param rule: the rule that allows what they do.
        @return: one value; of limits per group one for each group, of those per tag
            none without a tag, and of those for some none for others.
        """
        per = self.per
        if self.some is not None and not self.some.counts(asker):
            return ()
        if per == "user":
            return (asker.user.name,)
        if per == "tag":
            # Of two users' clients the same tag says nothing in common.
            return (f"{asker.tag} {asker.user.name}",) if asker.tag else ()
        if per == "source":
            return (asker.source.sourceText,)
        if per == "all":
            return ("",)
        if per == "listener":
            return (asker.listener,)
        return (rule,) if per == "rule" else sorted(countedIn(asker.user))
