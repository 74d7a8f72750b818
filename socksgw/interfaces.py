"""
Every extension point, and every seam between the stages.

What is discovered at run time (plug-ins) is a zope C{Interface}; what is
passed in from another stage is a C{typing.Protocol}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from zope.interface import Attribute, Interface

from socksgw.wire.address import Address
from socksgw.wire.reader import Reader

__all__ = [
    "IAuthMethod",
    "IAuthenticator",
    "IChangingStore",
    "IExchange",
    "ISocksUser",
    "NameResolver",
    "SetDeadline",
    "Timer",
    "User",
    "Watcher",
]

T = TypeVar("T")


class IAuthMethod(Interface):
    """
    An authentication method, found as the module-level name C{method} of a
    module C{socksgw.plugins.auth_*}.

    It never decides: it reads credentials and reports an outcome; only the
    Portal says yes.
    """

    name = Attribute("The word used in C{[[auth.choose]] methods}, a C{str}.")
    code = Attribute("The method's number on the wire (RFC 1928 section 3).")
    help = Attribute("One line for C{socksgw plugins}, a C{str}.")

    def build(settings: Mapping[str, Any], reactor: Any) -> Any:
        """
        Make the L{IAuthenticator} that serves every connection of one
        generation.

        @param settings: the method's own table under C{[auth]}, or empty.
        @raise ValueError: a setting is wrong; the text says which.
        """


class IAuthenticator(Interface):
    """
    One method, ready for use. State of one connection lives on the
    credentials object, never here.
    """

    def readCredentials(exchange: Any) -> Any:
        """
        Lead the method's sub-negotiation up to the point where the Portal
        can decide. May be a coroutine function.

        @param exchange: an L{IExchange}.
        @return: an awaitable of C{twisted.cred.credentials.ICredentials}.
        @raise socksgw.wire.reader.WireError: the client broke the protocol.
        """

    def writeOutcome(exchange: Any, credentials: Any, granted: bool) -> Any:
        """
        Tell the client what the Portal said.

        @return: an awaitable of L{None}; when C{granted} is false the
            connection is closed after it.
        """


class IExchange(Interface):
    """What a sub-negotiation has of its connection."""

    def read(decoder: Callable[[Reader], T], limit: int) -> Awaitable[T]:
        """
        The client's next message.

        @param decoder: a straight-line decoder; it raises
            L{socksgw.wire.reader.NeedMoreData} through the reader when the
            message is not whole.
        @param limit: most octets the message may have.
        @raise socksgw.wire.reader.WireError: from the decoder, or longer
            than C{limit}.
        """

    def write(octets: bytes) -> None:
        """Send octets to the client."""


class ISocksUser(Interface):
    """The avatar interface of the Portal."""

    name = Attribute("Who it is; C{anonymous} for nobody in particular.")
    groups = Attribute("A C{frozenset} of group names.")
    method = Attribute("The policy name of the method that logged them in.")


class IChangingStore(Interface):
    """
    A checker that can say whether its store changed; cached logins are
    flushed when it did. Optional: other checkers' logins live for
    C{auth.cache}.
    """

    def stamp() -> object:
        """
        A value that differs whenever the store's content may differ. Called
        for every login: at most a C{stat(2)}.
        """

    def knows(name: bytes) -> bool:
        """
        Whether there is such a user now: sessions of one who is gone are
        ended.
        """


class User(Protocol):
    """Who asks, as the policy and the journal see it."""

    @property
    def name(self) -> str: ...

    @property
    def groups(self) -> frozenset[str]: ...

    @property
    def method(self) -> str: ...


class Timer(Protocol):
    """A deadline that was set."""

    def clear(self) -> None:
        """Forget it."""


#: Calls the function in so many seconds.
SetDeadline = Callable[[float, Callable[[], None]], Timer]


class Watcher(Protocol):
    """Who tells that a descriptor is ready (L{socksgw.watch.Watch})."""

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None: ...

    def change(self, fd: int, events: int) -> None: ...

    def remove(self, fd: int) -> None: ...

    def closing(self, fd: int) -> None: ...


class NameResolver(Protocol):
    """How the policy learns the addresses of a name, once per request."""

    def lookUp(self, name: str) -> Awaitable[tuple[Address, ...]]:
        """
        Every address of C{name}, in the order of preference.

        @param name: in normal form (L{socksgw.wire.address.parseHost}).
        @raise socksgw.errors.LookupFailed: there is none, or no answer came
            in time.
        @raise socksgw.errors.LimitReached: too many look-ups are in flight.
        """
