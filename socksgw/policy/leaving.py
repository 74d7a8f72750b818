"""
How what a rule allows leaves this host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from attrs import evolve, field, frozen

__all__ = ["DIRECT", "MOST", "SAME", "Leaving"]

#: In C{via}: no upstream, where none of the others can be reached.
DIRECT: Final = "direct"
#: In C{leave_by}: the address that the client came to.
SAME: Final = "same"
#: Places of a chain.
MOST: Final = 4


@final
@frozen(cache_hash=True)
class Leaving:
    """
    What a rule says of the way out; it is part of the key of the ways.

    @ivar via: the places of a chain, each with the names of the upstreams to choose
        from; empty for none.
    @ivar balance: how one of several in a place is chosen.
    @ivar leaveBy: the outgoing addresses, or L{SAME} alone; empty for those of the
        listener.
    @ivar device: the name of the outgoing device; empty for the listener's.
    @ivar mark: the mark of outgoing packets; L{None} for the listener's.
    @ivar header: the version of the PROXY header for the destination; empty for
        none.
    @ivar there: whether the last upstream looks the destination's name up.
    @ivar text: the chain for people and the record: C{a, b1|b2}.
    """

    via: tuple[tuple[str, ...], ...] = ()
    balance: str = "sessions"
    leaveBy: tuple[str, ...] = ()
    device: str = ""
    mark: int | None = None
    header: str = ""
    there: bool = False
    text: str = field(init=False, eq=False, repr=False)

    @text.default
    def _chain(self) -> str:
        return ", ".join("|".join(place) for place in self.via)

    def orElse(self, leaveBy: Sequence[str] | str | None, mark: int | None) -> Leaving:
        """
        Return what holds at a listener, which says something where the rule does not.

        @param leaveBy: C{leave_by} of the listener.
        @param mark: its C{mark}.
        """
        theirs = (leaveBy,) if isinstance(leaveBy, str) else tuple(leaveBy or ())
        return evolve(
            self,
            leaveBy=self.leaveBy or theirs,
            mark=mark if self.mark is None else self.mark,
        )

    @property
    def by(self) -> str:
        """What it leaves by, besides, for people: C{192.0.2.7, device "eth1"}."""
        parts = [" or ".join(self.leaveBy)] if self.leaveBy else []
        if self.leaveBy == (SAME,):
            parts = ["the address that the client came to"]
        if self.device:
            parts.append(f'device "{self.device}"')
        if self.mark is not None:
            parts.append(f"mark {self.mark}")
        return ", ".join(parts)
