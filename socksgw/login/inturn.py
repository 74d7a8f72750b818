"""
Several checkers of one kind of credentials: the Portal keeps one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import LoginFailed
from twisted.internet.defer import maybeDeferred
from zope.interface import implementer

from socksgw.interfaces import IBearerToken
from socksgw.login.credentials import passwordIn
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.tokens import isToken

__all__ = ["InTurn"]


@implementer(ICredentialsChecker)
@final
class InTurn:
    """
    Ask one checker after the other until one says yes.

    A client that none lets in has been asked about at each of them, so that the time
    tells nothing.

    What has the form of a token is asked about first where tokens are taken, and
    nowhere else if it is one of theirs.
    """

    credentialInterfaces = ()

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self._checkers = tuple(checkers)
        self._bearing = sorted(
            checkers, key=lambda each: IBearerToken not in each.credentialInterfaces
        )

    async def _ask(self, credentials: Any) -> Any:
        refused: LoginFailed | None = None
        token = isToken(passwordIn(credentials) or b"")
        for checker in self._bearing if token else self._checkers:
            try:
                return await maybeDeferred(checker.requestAvatarId, credentials)
            except LoginFailed as e:
                if isinstance(e, Refused) and e.final:
                    raise
                # "Wrong" says less than whatever else was the matter.
                if refused is None or _plain(refused):
                    refused = e
        assert refused is not None
        raise refused

    def requestAvatarId(self, credentials: Any) -> Any:
        """
        As the first that says yes.
        """
        return self._ask(credentials)


def _plain(refused: LoginFailed) -> bool:
    return not isinstance(refused, Refused) or refused.reason == WRONG
