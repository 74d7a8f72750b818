"""
Credentials that the Portal treats otherwise than most.
"""

from __future__ import annotations

from twisted.cred.credentials import ICredentials
from zope.interface import Attribute

__all__ = [
    "IAssertedIdentity",
    "IBearerToken",
    "IForgetful",
    "ILocalIdentity",
    "IVerifiedIdentity",
]


class IForgetful(ICredentials):
    """
    Credentials that hold a secret, and can drop it.

    What holds them longer (a traceback, a cycle that waits for the garbage
    collector) holds no secret then.
    """

    def forget() -> None:
        """Drop the secret: it is not needed any more."""


class IBearerToken(ICredentials):
    """
    A token whose bearer is the user that it names: a JSON Web Token, say.

    Whoever reads it can log in by it.
    """

    username = Attribute(
        "The name that was said beside it, C{bytes}; empty where there is none."
    )
    token = Attribute("The token, C{bytes}.")


class IVerifiedIdentity(ICredentials):
    """
    Credentials that need no checking.

    Cryptography has proved on this connection who the user is. Methods and transports
    make them, never from what a client merely says.
    """

    username = Attribute(
        """
        The name, C{bytes} in UTF-8, with no realm, and with no escapes: the
        Portal refuses a backslash, what cannot be printed, and an C{@} where
        there is a realm.
        """
    )
    realm = Attribute("The realm, a C{str}; empty where there is none.")
    expires = Attribute(
        "When the proof ends, in seconds since the epoch; L{None} for never."
    )


class ILocalIdentity(IVerifiedIdentity):
    """
    An identity that this machine's kernel has proved.

    Its name is a word that begins with C{uid:}, and may be no other user's.
    """

    words = Attribute(
        "What else C{who} may call it: a C{frozenset} of words C{uid:…} and C{gid:…}."
    )


class IAssertedIdentity(IVerifiedIdentity):
    """
    An identity that another gateway has verified, and signed.

    Its name is the one that the user has there.
    """

    groups = Attribute(
        "The groups that the user is in there, a C{frozenset} of C{str}."
    )
