"""
Not being let in.
"""

from __future__ import annotations

from typing import Final

from twisted.cred.error import UnauthorizedLogin

__all__ = ["WRONG", "Barred", "Refused", "busy"]

#: The reason of a refusal that says no more than that.
WRONG: Final = "wrong-credentials"


class Refused(UnauthorizedLogin):
    """
    Not logged in, with the reason for the journal.

    @ivar why: for the operator; holds no secret.
    @ivar counts: whether it is a try that failed, for the throttle.
    @ivar final: whether the credentials are this checker's to judge, and no other's:
        a token of its issuer, which no other store should learn. They may be good in
        a moment, with another key.
    """

    def __init__(
        self,
        reason: str,
        why: str = "",
        counts: bool | None = None,
        final: bool = False,
    ) -> None:
        """
        Refuse a login.

        @param reason: a fixed word.
        @param why: by default the words of the reason.
        @param counts: by default only what is wrong counts.
        """
        super().__init__(reason)
        self.reason = reason
        self.why = why or reason.replace("-", " ")
        self.counts = reason == WRONG if counts is None else counts
        self.final = final


class Barred(Refused):
    """
    Not logged in, since the account is in a state in which nobody may use it.

    It counts as a try that failed, so that the throttle tells no state apart.
    """

    def __init__(self, reason: str, why: str) -> None:
        """
        Refuse an account.

        @param why: a clause about the account, such as "the account is disabled".
        """
        super().__init__(reason, why, counts=True)


def busy() -> Refused:
    """Return the refusal where too many are being asked for already."""
    return Refused("busy", "too many are being asked for already")
