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

from socksgw.login.refusal import WRONG, Refused

__all__ = ["InTurn"]


@implementer(ICredentialsChecker)
@final
class InTurn:
    """
    Ask one checker after the other until one says yes.

    A client that none lets in has been asked about at each of them, so that the time
    tells nothing.
    """

    credentialInterfaces = ()

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self._checkers = tuple(checkers)

    async def _ask(self, credentials: Any) -> Any:
        refused: LoginFailed | None = None
        for checker in self._checkers:
            try:
                return await maybeDeferred(checker.requestAvatarId, credentials)
            except LoginFailed as e:
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
