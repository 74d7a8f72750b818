"""
Tags behind the names of clients, such as C{alice+job-4711}.

A tag says what a client works for. It is a claim, and never an identity: the name
before it is checked, counted and remembered as if there were no tag.
"""

from __future__ import annotations

from typing import Any, final

from socksgw.config.tags import LONGEST, isTag
from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IVerifiedIdentity

__all__ = ["Tagging"]


@final
class Tagging:
    """
    How tags are told from names.
    """

    __slots__ = ("_separator",)

    def __init__(self, separator: str) -> None:
        """@param separator: between name and tag; empty for no tags."""
        self._separator = separator.encode()

    def taken(self, credentials: Any) -> str:
        """
        Cut the tag off the name in credentials.

        It stands between the first separator and an C{@}, or the end: both
        C{alice+job@CORP} and C{alice@CORP+job} are C{alice@CORP}.

        @return: the tag; empty where the name has none. Names that a connection or a
            method has proved have none.
        @raise AuthenticationFailed: it is no tag.
        """
        separator = self._separator
        if not separator or IVerifiedIdentity.providedBy(credentials):
            return ""
        whole = getattr(credentials, "username", b"")
        if not isinstance(whole, bytes) or separator not in whole:
            return ""
        name, _, rest = whole.partition(separator)
        octets, at, realm = rest.partition(b"@")
        try:
            credentials.username = name + at + realm
        except AttributeError:
            # Of a method whose credentials cannot be changed.
            raise _wrong("the method has no room for tags") from None
        tag = octets.decode("ascii", "replace")
        if not isTag(tag):
            raise _wrong(
                f"the tag is empty, longer than {LONGEST} octets, or has other "
                "characters than letters, digits and punctuation of tags"
            )
        return tag


def _wrong(why: str) -> AuthenticationFailed:
    return AuthenticationFailed(why, reason="bad-tag", counts=False)
