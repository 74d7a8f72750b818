"""
What a session takes of the limits while it is not known which rule will count.
"""

from __future__ import annotations

from typing import final

from socksgw.limits.limits import Claim
from socksgw.policy.questions import Verdict
from socksgw.session.case import Case

__all__ = ["Besides"]


@final
class Besides:
    """
    The claims of one session besides its own, as long as the C{with} block lasts.

    There is one for each other rule that allows an address which it tries.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._claims: dict[str, Claim] = {}

    def __enter__(self) -> Besides:
        return self

    def admit(self, verdict: Verdict) -> None:
        """
        Count the session by the rule that allows an address.

        @raise socksgw.errors.LimitReached: a limit of that rule forbids it.
        """
        case, rule = self._case, verdict.rule
        own = case.claim
        if rule not in self._claims and (own is None or own.rule != rule):
            self._claims[rule] = case.gateway.limits.beside(
                case.asker, case.command.name, rule
            )

    def __exit__(self, *_: object) -> None:
        for claim in self._claims.values():
            self._case.gateway.limits.leave(claim)
