"""
What becomes of a request that a proxy does not grant.

Each class has the fixed word of the gateway's records (L{SocksError.reason}), and the
reply that tells a SOCKS client the same. Every class is a Twisted C{ConnectError},
too: programs catch that around any endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from twisted.internet.error import ConnectError

from socksgw.errors import LimitReached, SocksError
from socksgw.wire.codes import SOCKS4, SOCKS6, Reply

__all__ = [
    "AddressTypeNotSupported",
    "CommandNotSupported",
    "ConnectionRefused",
    "FAILURES",
    "GeneralFailure",
    "HostUnreachable",
    "IdentMismatch",
    "IdentUnreachable",
    "LoginFailed",
    "LoginRefused",
    "LoginWanted",
    "NetworkUnreachable",
    "NoMethodAccepted",
    "NotAllowed",
    "ProtocolBroken",
    "ProxyClosed",
    "ProxyDistrusted",
    "ProxyError",
    "ProxyRefused",
    "ProxyTimedOut",
    "ProxyUnreachable",
    "RequestRejected",
    "TTLExpired",
    "TokenRefused",
    "TooManyLogins",
    "UnassignedReply",
    "refusal",
    "unreached",
]


class ProxyError(SocksError, ConnectError):
    """The proxy cannot be used, or does not grant the request."""

    reason = "upstream-refused"

    def __init__(self, text: str) -> None:
        """@param text: for people; it never holds a secret."""
        # Not ConnectError's, whose text begins with the class's documentation.
        Exception.__init__(self, text)
        self.osError = None

    def __str__(self) -> str:
        return str(self.args[0])


class ProxyUnreachable(ProxyError):
    """No connection to the proxy could be made."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-unreachable"


class ProxyTimedOut(ProxyError):
    """The proxy has not answered in time."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-timeout"


class ProxyDistrusted(ProxyError):
    """The proxy has not proved by TLS that it is the one which is meant."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-tls"


class ProtocolBroken(ProxyError):
    """The proxy has sent what its protocol does not know, or not at this point."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-protocol"


class ProxyClosed(ProxyError):
    """
    The proxy has closed the connection where a reply was due.

    Some refuse in this way (C{ssh -D}).
    """

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-closed"


# Logins.


class LoginFailed(ProxyError):
    """The proxy does not let the client in."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-login"


class NoMethodAccepted(LoginFailed):
    """The proxy accepts no method that was offered (RFC 1928 section 3: FF)."""


class LoginRefused(LoginFailed):
    """The proxy does not accept the credentials."""


class LoginWanted(LoginFailed):
    """The proxy asks for a login which the client does not have, or does not do."""


class TooManyLogins(ProxyError, LimitReached):
    """This process logs in so often at a time that no more may wait."""

    reason = "resources"


class TokenRefused(ProxyError):
    """
    The proxy refuses the token that a request with initial data spends (SOCKS 6).

    It may have served this request already, where a network has delivered it twice: the
    destination may have the data. The credentials are not at fault.
    """

    reply = Reply.GENERAL_FAILURE


# Refusals: one class for each reply of SOCKS 5 and 4.


class ProxyRefused(ProxyError):
    """
    The proxy has answered that it does not do what was asked.

    @ivar code: the reply of SOCKS, or the status of HTTP.
    @ivar told: the proxy's own words; empty where the protocol has none.
    """

    reply = Reply.GENERAL_FAILURE
    meaning: ClassVar[str] = "the proxy refuses"

    def __init__(self, code: int, told: str = "") -> None:
        super().__init__(f"{self.meaning} ({told or f'reply {code:02X}'})")
        self.code = code
        self.told = told


class GeneralFailure(ProxyRefused):
    """General SOCKS server failure (01)."""

    meaning = "the proxy tells a general failure"


class NotAllowed(ProxyRefused):
    """Connection not allowed by ruleset (02)."""

    reply = Reply.NOT_ALLOWED
    meaning = "the proxy's rules do not allow it"


class NetworkUnreachable(ProxyRefused):
    """Network unreachable (03)."""

    reply = Reply.NETWORK_UNREACHABLE
    reason = "network-unreachable"
    meaning = "the network is unreachable from the proxy"


class HostUnreachable(ProxyRefused):
    """Host unreachable (04)."""

    reply = Reply.HOST_UNREACHABLE
    reason = "host-unreachable"
    meaning = "the host is unreachable from the proxy, or has no such name there"


class ConnectionRefused(ProxyRefused):
    """Connection refused (05)."""

    reply = Reply.CONNECTION_REFUSED
    reason = "refused"
    meaning = "the destination refuses the connection"


class TTLExpired(ProxyRefused):
    """TTL expired (06)."""

    reply = Reply.TTL_EXPIRED
    reason = "ttl-expired"
    meaning = "the proxy's attempt took too long, or too many hops"


class CommandNotSupported(ProxyRefused):
    """Command not supported (07)."""

    reply = Reply.COMMAND_NOT_SUPPORTED
    meaning = "the proxy does not know the command"


class AddressTypeNotSupported(ProxyRefused):
    """Address type not supported (08)."""

    reply = Reply.ADDRESS_TYPE_NOT_SUPPORTED
    meaning = "the proxy does not take such an address"


class UnassignedReply(ProxyRefused):
    """A reply without a meaning in RFC 1928 (09 to FF)."""

    meaning = "the proxy refuses with a reply that has no meaning"


class RequestRejected(ProxyRefused):
    """SOCKS 4: request rejected or failed (91)."""

    meaning = "the proxy rejects the request, or it has failed"

    def __init__(self, code: int, told: str = "") -> None:
        super().__init__(code, told or f"reply {code}")


class IdentUnreachable(RequestRejected):
    """SOCKS 4: the proxy cannot reach the client's identd (92)."""

    meaning = "the proxy cannot reach an ident server of this host"


class IdentMismatch(RequestRejected):
    """SOCKS 4: the client's identd tells another user (93)."""

    meaning = "the ident server of this host tells another user"


_FIVE: Final[Mapping[int, type[ProxyRefused]]] = {
    0x01: GeneralFailure,
    0x02: NotAllowed,
    0x03: NetworkUnreachable,
    0x04: HostUnreachable,
    0x05: ConnectionRefused,
    0x06: TTLExpired,
    0x07: CommandNotSupported,
    0x08: AddressTypeNotSupported,
}
_FOUR: Final[Mapping[int, type[ProxyRefused]]] = {
    92: IdentUnreachable,
    93: IdentMismatch,
}


#: SOCKS 6: the connection attempt timed out.
_TIMED_OUT: Final = 9


#: Every class that is raised.
FAILURES: Final[tuple[type[ProxyError], ...]] = (
    *(ProxyUnreachable, ProxyTimedOut, ProxyDistrusted, ProtocolBroken, ProxyClosed),
    *(NoMethodAccepted, LoginRefused, LoginWanted, TokenRefused),
    *(*_FIVE.values(), UnassignedReply, RequestRejected, *_FOUR.values()),
)


def refusal(version: int, code: int) -> ProxyRefused:
    """
    Return what a reply of SOCKS means that is not success.

    @param version: 4, 5 or 6.
    """
    if version == SOCKS4:
        return _FOUR.get(code, RequestRejected)(code)
    if version == SOCKS6 and code == _TIMED_OUT:
        return TTLExpired(code)
    return _FIVE.get(code, UnassignedReply)(code)


def unreached(error: Exception) -> ProxyUnreachable:
    """
    Return the failure of a connection that has come to nothing.

    @param error: why, in a text as Twisted's.
    """
    text = str(error).rstrip(".") or type(error).__name__
    return ProxyUnreachable(f"the proxy cannot be reached: {text}")
