"""
What the gateway raises.

Every class carries the reply it suggests to the client (RFC 1928 section 6);
L{SocksError.reason} is a short fixed word for the journal, the exception's
text is for the operator and never holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from socksgw.wire.codes import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = [
    "AddressTypeNotSupported",
    "AuditFailed",
    "AuthenticationFailed",
    "BadDestination",
    "CannotLeave",
    "CertificateRefused",
    "ClientLost",
    "CommandNotSupported",
    "ConnectFailed",
    "Draining",
    "HandshakeTimedOut",
    "Killed",
    "Inspected",
    "LeadsHere",
    "LimitReached",
    "LookupFailed",
    "NoAcceptableMethod",
    "NotAllowed",
    "NotCounted",
    "ProtocolViolated",
    "QuotaUsedUp",
    "Revoked",
    "SocksError",
    "Unanswered",
    "UpstreamFailed",
    "UpstreamRefused",
    "UserRefused",
]


class SocksError(Exception):
    """
    A client is refused, or what it asked for cannot be done.

    @cvar reply: the suggested reply, or L{None} where nothing can be said
        any more (the client is gone, or no reply exists at this stage).
    @cvar reason: one fixed lower-case word (with hyphens) for the journal.
    @cvar rule: the rule that denies what an allowed session wants; empty for none.
    """

    reply: Reply | None = Reply.GENERAL_FAILURE
    reason = "failed"
    rule = ""

    def __init__(
        self, text: str = "", reply: Reply | None = None, reason: str | None = None
    ) -> None:
        super().__init__(text)
        if reply is not None:
            self.reply = reply
        if reason is not None:
            self.reason = reason


class ClientLost(SocksError):
    """The client went away before its session began."""

    reply = None
    reason = "client-lost"


class HandshakeTimedOut(SocksError):
    """The client did not make its request before the deadline."""

    reply = None
    reason = "handshake-timeout"


class ProtocolViolated(SocksError):
    """The client sent something that its protocol does not know."""

    reason = "protocol"


class AddressTypeNotSupported(ProtocolViolated):
    """The request's ATYP is unknown."""

    reply = Reply.ADDRESS_TYPE_NOT_SUPPORTED
    reason = "address-type"


class NoAcceptableMethod(SocksError):
    """The client offered no method that is acceptable here."""

    reply = None
    reason = "no-acceptable-method"


class Unanswered(NoAcceptableMethod):
    """The client was told to log in, and did not: many connect anew for that."""

    reason = "login-wanted"


class AuthenticationFailed(SocksError):
    """
    The credentials were not accepted, or could not be checked.

    @ivar counts: whether it counts against the client's source: not what is
        no fault of the client.
    """

    reply = None
    reason = "authentication"

    def __init__(
        self,
        text: str = "",
        reply: Reply | None = None,
        reason: str | None = None,
        counts: bool = True,
    ) -> None:
        super().__init__(text, reply, reason)
        self.counts = counts


class CertificateRefused(SocksError):
    """The client's certificate was not accepted, or is missing."""

    reply = None
    reason = "certificate"


class CommandNotSupported(SocksError):
    """There is no such command here."""

    reply = Reply.COMMAND_NOT_SUPPORTED
    reason = "command"


class BadDestination(SocksError):
    """The destination is neither a strict literal nor a host name, or has port 0."""

    reason = "bad-destination"


class NotAllowed(SocksError):
    """The policy denies the request."""

    reply = Reply.NOT_ALLOWED
    reason = "policy"


class LeadsHere(NotAllowed):
    """A connection turned out to lead to this host, which is banned."""

    reason = "self"


class LimitReached(SocksError):
    """A limit on sessions, descriptors, look-ups or the like is reached."""

    reason = "limit"


class QuotaUsedUp(LimitReached):
    """
    All octets of a quota's window have moved.

    It is of no use to try again before the next window.
    """

    reply = Reply.NOT_ALLOWED
    reason = "quota"


class NotCounted(Exception):
    """
    It is not known yet whether a limit is reached, since other machines count, too.

    Nothing was counted. What was asked for is to be tried again.

    @ivar known: what to wait for before.
    """

    def __init__(self, known: Awaitable[None]) -> None:
        super().__init__()
        self.known = known


class LookupFailed(SocksError):
    """The name does not exist, or no answer came in time."""

    reply = Reply.HOST_UNREACHABLE
    reason = "no-such-host"


class ConnectFailed(SocksError):
    """No connection to the destination could be made."""

    reply = Reply.HOST_UNREACHABLE
    reason = "unreachable"


class UpstreamFailed(ConnectFailed):
    """
    An upstream does not work: it was not reached, or did not do its part.

    Another one may be tried.

    @ivar upstream: its name.
    @ivar counts: whether that is its own fault beyond doubt.
    """

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-unreachable"

    def __init__(
        self,
        text: str = "",
        reply: Reply | None = None,
        reason: str | None = None,
        upstream: str = "",
        counts: bool = True,
    ) -> None:
        super().__init__(text, reply, reason)
        self.upstream = upstream
        self.counts = counts


class UpstreamRefused(ConnectFailed):
    """An upstream works, and says that it does not do what it was asked for."""

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-refused"


class CannotLeave(ConnectFailed):
    """Nothing can leave as the configuration says: by that address, or with that mark."""

    reply = Reply.GENERAL_FAILURE
    reason = "leave-by"


class UserRefused(ConnectFailed):
    """
    An upstream cannot be used for this client, whatever it may do for others.

    It does not let the client in by the client's own password, or there is none to
    hand on, or it cannot be told who the client is. It is not tried again, with this
    upstream or another: each may count wrong passwords.
    """

    reply = Reply.GENERAL_FAILURE
    reason = "upstream-login"


class AuditFailed(SocksError):
    """The journal could not take the decision's line."""

    reason = "audit"


class Revoked(SocksError):
    """What was allowed when it began is allowed no longer."""

    reply = Reply.NOT_ALLOWED
    reason = "revoked"


class Killed(SocksError):
    """An operator has ended it; the text says who."""

    reply = Reply.NOT_ALLOWED
    reason = "killed"


class Inspected(SocksError):
    """What a session carries is not what it is allowed for."""

    reply = Reply.NOT_ALLOWED
    reason = "inspected"


class Draining(SocksError):
    """The gateway is stopping."""

    reason = "draining"
