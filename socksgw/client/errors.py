"""
What fails between a client and its proxy.
"""

from __future__ import annotations

__all__ = [
    "ProxyClosed",
    "ProxyError",
    "ProxyLoginFailed",
    "ProxyProtocolError",
    "ProxyRefused",
    "ProxyTimedOut",
]


class ProxyError(Exception):
    """A proxy does not do what it is asked for."""


class ProxyClosed(ProxyError):
    """The proxy ended the connection before it replied."""


class ProxyTimedOut(ProxyError):
    """The proxy did not reply in time."""


class ProxyProtocolError(ProxyError):
    """The proxy said something that its protocol does not have."""


class ProxyLoginFailed(ProxyError):
    """The proxy wants a login that there is none of, or does not accept it."""


class ProxyRefused(ProxyError):
    """
    The proxy replied that it does not do it.

    @ivar code: the reply (RFC 1928 section 6).
    """

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text)
        self.code = code
