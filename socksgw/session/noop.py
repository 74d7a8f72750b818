"""
The command that does nothing: a client logs in, and is told so.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.session.case import Case
from socksgw.session.command import Command, Routed
from socksgw.wire.address import UNSPECIFIED4
from socksgw.wire.events import Requested

__all__ = ["Noop"]

#: No rule speaks of it: nothing is opened, and nothing can be learned.
_ALLOWED: Final = Verdict(True, "", "")


@final
class Noop(Command):
    """NOOP (draft-olteanu-intarea-socks-6-11 section 4)."""

    name = "noop"

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Allow it to whoever has been let in."""
        return Decision(_ALLOWED)

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Allow it still."""
        return _ALLOWED

    async def route(self, case: Case, request: Requested) -> Routed:
        """Open nothing."""
        return Routed((UNSPECIFIED4, 0))
