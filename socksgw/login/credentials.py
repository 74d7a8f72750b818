"""
Credentials of twisted.cred, and what is to be known of them without a checker.
"""

from __future__ import annotations

from traceback import clear_frames
from typing import Any

from twisted.cred.credentials import IAnonymous, IUsernamePassword

from socksgw.interfaces import IBearerToken, IForgetful, IVerifiedIdentity
from socksgw.login.tokens import NAMELESS, subjectIn

__all__ = [
    "claimed",
    "forget",
    "isEmpty",
    "isGuessable",
    "passwordIn",
    "shownIn",
    "strip",
]


def isGuessable(credentials: Any) -> bool:
    """Return whether a client that tries often enough could come by such credentials."""
    return not (
        IAnonymous.providedBy(credentials) or IVerifiedIdentity.providedBy(credentials)
    )


def isEmpty(credentials: Any) -> bool:
    """
    Return whether the password is empty.

    That is no guess: clients send one that offer a password always, and have none.
    No checker asks a store about it.
    """
    return IUsernamePassword.providedBy(credentials) and not credentials.password


def passwordIn(credentials: Any) -> bytes | None:
    """Return the password or token, L{None} where there is none in clear."""
    found: bytes | None = None
    if IUsernamePassword.providedBy(credentials):
        found = credentials.password
    elif IBearerToken.providedBy(credentials):
        found = credentials.token
    return found


def shownIn(credentials: Any) -> tuple[bytes, bytes] | None:
    """
    Return the name and the password that a client has shown, in clear and whole.

    @return: L{None} where it has shown none: by a ticket, a certificate, a token, an
        answer to a challenge.
    """
    if not IUsernamePassword.providedBy(credentials) or not credentials.password:
        return None
    return credentials.username, credentials.password


def claimed(credentials: Any) -> bytes:
    """
    Return the name that a client claims to have; it may be no name at all.

    Beside a token there may be none. Then it is the subject that the token claims, which
    is for counting alone.
    """
    name = getattr(credentials, "username", b"")
    if isinstance(name, bytes):
        if name in NAMELESS:
            return subjectIn(passwordIn(credentials) or b"") or name
        return name
    return str(name).encode("utf-8", "backslashreplace")


def forget(credentials: Any) -> None:
    """Have credentials drop their secret, if they can."""
    if IForgetful.providedBy(credentials):
        credentials.forget()


def strip(error: BaseException | None) -> None:
    """
    Cut an exception from the frames that it went through.

    So are those in whose handling it was raised. These frames hold a password, and
    with the exception in one of them they make a cycle that waits for the garbage
    collector.
    """
    while error is not None:
        # A Failure keeps the traceback, too.
        clear_frames(error.__traceback__)
        error.__traceback__ = None
        before = error.__context__
        error.__context__ = None
        error = before
