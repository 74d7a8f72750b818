"""
The seam between logins by GSSAPI and a mechanism of it.
"""

from __future__ import annotations

from typing import Protocol

from socksgw.wire.encapsulation import Sealing

__all__ = ["Initiator", "InitiatorContext"]


class InitiatorContext(Sealing, Protocol):
    """
    One security context, from the side that begins.
    """

    @property
    def complete(self) -> bool:
        """Whether the context is established, and the proxy has proved its name."""

    @property
    def confidential(self) -> bool:
        """Whether the mechanism can encrypt; known when it is complete."""

    async def step(self, token: bytes) -> bytes:
        """
        Take a token of the proxy's.

        @param token: empty for the first step.
        @return: the token to send; empty for none.
        @raise socksgw.client.errors.LoginFailed: there is no ticket for the proxy, or
            the token is not acceptable.
        """

    def conclude(self, token: bytes) -> None:
        """
        Take the proxy's last token, after which nothing is sent.

        @raise socksgw.client.errors.LoginFailed: it is not acceptable.
        """


class Initiator(Protocol):
    """A kind of GSSAPI, with credentials; it makes a context for each connection."""

    def begin(
        self, service: str, negotiated: bool = False, datagrams: bool = False
    ) -> InitiatorContext:
        """
        Return a new context.

        @param service: the proxy's, as C{service@host}.
        @param negotiated: whether the mechanism is chosen by SPNEGO (RFC 4178), as
            HTTP has it.
        @param datagrams: whether what it protects may get lost and come in another
            order; else that is an error.
        """
