"""
The seam between a dialogue and a login.

A login declares what it can be asked for: methods of SOCKS 5 (RFC 1928 section 3),
schemes of HTTP (RFC 9110 section 11). It is asked to speak only when the proxy has
chosen just that, so that no credential goes to a proxy which did not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

from socksgw.client.errors import LoginRefused, LoginWanted
from socksgw.wire.protection import Protection
from socksgw.wire.reader import Reader

__all__ = ["HTTPAttempt", "Login", "LoginExchange"]

M = TypeVar("M")


class LoginExchange(Protocol):
    """
    The messages of a method's sub-negotiation in SOCKS 5 and 6.
    """

    @property
    def protects(self) -> bool:
        """Whether what follows can go through a protection; not in SOCKS 6."""

    @property
    def secured(self) -> bool:
        """Whether nobody on the way reads what is said, or changes it."""

    @property
    def datagrams(self) -> bool:
        """Whether datagrams beside the connection will go through a protection."""

    def write(self, octets: bytes) -> None:
        """
        Send a message.

        @raise socksgw.client.errors.ProtocolBroken: the proxy has answered it before
            it was sent.
        """

    async def read(self, decoder: Callable[[Reader], M], limit: int) -> M:
        """
        Return the proxy's next message.

        @param decoder: reads it.
        @param limit: the most octets that it may have.
        @raise socksgw.client.errors.ProxyError: it is none, or the connection ended.
        """


class HTTPAttempt:
    """
    One login by a scheme of HTTP, which may take several requests.
    """

    async def answer(self, challenge: str) -> str:
        """
        Return the value of C{Proxy-Authorization} that answers a challenge.

        It is asked once for each 407 (or 401, where a proxy says so) that has the
        scheme.

        @param challenge: what stands behind the scheme in the challenge; may be empty.
        @raise socksgw.client.errors.LoginFailed: there is no other answer than those
            that the proxy had.
        """
        raise LoginRefused("the proxy does not accept the login")

    def concluded(self, challenge: str) -> None:
        """
        Look at what a granted request says about the login.

        @param challenge: as of L{answer}; empty where the proxy said nothing.
        @raise socksgw.client.errors.LoginFailed: the proxy has not proved what it had
            to prove.
        """


class Login:
    """
    One way to log in, for any number of connections.

    @cvar methods: the octets of the methods of SOCKS 5 that are offered, in order of
        preference; empty where SOCKS 5 cannot have this login.
    @cvar scheme: the scheme of HTTP in lower case; empty for none.
    @cvar called: what people call it.
    @cvar protects: whether what follows it is protected by it, in SOCKS 5.
    """

    methods: ClassVar[bytes] = b""
    scheme: ClassVar[str] = ""
    called: ClassVar[str] = ""
    protects: ClassVar[bool] = False

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """
        Log in: the proxy has chosen one of L{methods}.

        @param method: which.
        @return: what stands between the octets and the wire from here on.
        @raise socksgw.client.errors.LoginFailed: the proxy does not let us in.
        """
        raise LoginWanted(f"{self.called} is no login of SOCKS 5")

    def http(self) -> HTTPAttempt:
        """Return one login by L{scheme}."""
        raise LoginWanted(f"{self.called} is no login of HTTP")

    def __repr__(self) -> str:
        # No field: one may be a secret.
        return f"<{type(self).__name__}>"
