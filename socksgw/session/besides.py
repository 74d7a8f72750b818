"""
What a session takes of the limits of several rules, while it is not known which
of them it will live by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from socksgw.limits.limits import Claim
    from socksgw.policy.rules import Verdict
    from socksgw.session.session import Session

__all__ = ["Besides"]


@final
class Besides:
    """
    The claims of one session besides its own, for as long as the C{with} block
    lasts: one for each other rule that allows an address which it tries.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._claims: dict[str, Claim] = {}

    def __enter__(self) -> Besides:
        return self

    def admit(self, verdict: Verdict) -> None:
        """
        Count the session by the rule that allows an address.

        @raise socksgw.errors.LimitReached: a limit of that rule forbids it.
        """
        session, rule = self._session, verdict.rule
        own = session.claim
        if rule not in self._claims and (own is None or own.rule != rule):
            self._claims[rule] = session.gateway.limits.beside(
                session.asker, session.command.name, rule
            )

    def __exit__(self, *_: object) -> None:
        for claim in self._claims.values():
            self._session.gateway.limits.leave(claim)
