"""
What keeps the agent from the gateway, in one line with its remedy.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Trouble"]


class Trouble(NamedTuple):
    """
    Something that a user can mend, or has to wait for.

    @ivar kind: one word; another kind is news, another text of the same kind is not.
    @ivar what: what is wrong.
    @ivar remedy: what to do.
    """

    kind: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"
