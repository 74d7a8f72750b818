"""
Who counts in a C{[[limit]]} that is not for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from socksgw.interfaces import Asker
from socksgw.policy.conditions import Addresses, Who

__all__ = ["Counted"]


@final
class Counted:
    """
    Users and clients (L{socksgw.limits.limits.Some}).

    Who may be in a group counts: a directory that is away opens no limit.

    @ivar text: who these are, as the configuration says it.
    """

    __slots__ = ("_sources", "_who", "text")

    def __init__(
        self,
        who: Who | None,
        sources: Addresses | None,
        words: Sequence[str],
        origins: Sequence[str],
    ) -> None:
        """
        Take what is compiled already.

        @param who: L{None} for all users.
        @param sources: L{None} for clients from anywhere.
        @param words: C{who} as it is written.
        @param origins: C{from} as it is written.
        """
        self._who, self._sources = who, sources
        named = (("who", words), ("from", origins))
        self.text = " ".join(
            f"{key} {', '.join(sorted(set(each)))}" for key, each in named if each
        )

    def counts(self, asker: Asker) -> bool:
        """Tell whether somebody is one of these, or may be."""
        who, sources = self._who, self._sources
        if who is not None:
            user = asker.user
            if not who.covers(user) and not who.mayCover(user):
                return False
        return sources is None or sources.covers(asker.source, 0, asker.listener)
