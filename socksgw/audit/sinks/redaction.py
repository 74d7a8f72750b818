"""
Take secrets out of what is told of a sink.

An error of a library may quote the address that it was given, with the password.
"""

from __future__ import annotations

import re
from typing import Final, final
from urllib.parse import unquote, urlsplit

from socksgw.audit.sinks.orders import Order

__all__ = ["Redaction", "withoutCredentials"]

#: What stands for a secret.
_HIDDEN: Final = "***"
#: Characters of the longest text about a failure.
_MOST: Final = 500
_CREDENTIALS: Final = re.compile(r"(?<=//)[^/@\s]*(?=@)")


def withoutCredentials(text: str) -> str:
    """Return a text in which no URL has a user name and a password."""
    return _CREDENTIALS.sub(_HIDDEN, text)


@final
class Redaction:
    """What is secret about one sink."""

    def __init__(self, order: Order) -> None:
        secrets = set()
        for octets in order.files.values():
            secrets.update(octets.decode("utf-8", "replace").split())
        try:
            password = urlsplit(order.target).password or ""
        except ValueError:
            password = ""
        secrets.update((password, unquote(password)))
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def of(self, text: str) -> str:
        """
        Return a text in one line, bounded, without secrets.
        """
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return " ".join(withoutCredentials(text).split())[:_MOST]
