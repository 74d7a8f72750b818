"""
Every extension point, and every seam between the stages.

What is discovered at run time (plug-ins) is a zope C{Interface}; what is
passed in from another stage is a C{typing.Protocol}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, final, runtime_checkable

from twisted.cred.credentials import ICredentials
from twisted.cred.strcred import ICheckerFactory
from zope.interface import Attribute, Interface

from socksgw.config.reserved import ANONYMOUS
from socksgw.config.settings import Settings
from socksgw.wire.address import Address
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY, INTEGRITY
from socksgw.wire.reader import Reader

__all__ = [
    "ANONYMOUS",
    "CLEAR",
    "CONFIDENTIALITY",
    "INTEGRITY",
    "Asker",
    "Budget",
    "IAuthMethod",
    "IAuthenticator",
    "IChangingStore",
    "IConditional",
    "IConfigurableCheckerFactory",
    "IExchange",
    "IForgetful",
    "IFileCheckerFactory",
    "IGroupCatalogue",
    "IGroupSource",
    "ILockingStore",
    "INamingStore",
    "IMethodCapabilities",
    "IProtectingMethod",
    "IRenumbered",
    "IReportingStore",
    "ISocksUser",
    "IVerifiedIdentity",
    "IVerifyingMethod",
    "IWrapper",
    "NameResolver",
    "Protection",
    "SetDeadline",
    "Settings",
    "StreamProtection",
    "Timer",
    "User",
]

T = TypeVar("T")


class IFileCheckerFactory(ICheckerFactory):
    """
    A factory that declares that the argument of its checker is the path of a
    file. A relative one is resolved beside the configuration that names it,
    before the factory sees it.

    What a factory without this declaration does with a relative path is not
    known. So a relative argument that is the name of an existing file is an
    error there.
    """


class IConfigurableCheckerFactory(ICheckerFactory):
    """
    Twisted's factory of a checker, when its checker can also be an
    C{[[auth.checker]]}: a table, with C{kind} the C{authType}.

    A factory that needs no more than a string writes nothing of this: its
    table has the one key C{argument}.
    """

    keys = Attribute("As in L{IMethodCapabilities}; may be left out.")

    def fromSettings(settings: Settings, reactor: Any) -> Any:
        """
        Make the checker. It is made to see whether it can be, too: nothing is
        opened, asked or started before somebody logs in.

        @param settings: the table, without C{kind} and C{name}.
        @return: a C{twisted.cred.checkers.ICredentialsChecker}.
        @raise ValueError: it cannot be made; the text says why.
        """


class IAuthMethod(Interface):
    """
    An authentication method, found as the module-level name C{method} of a
    module C{socksgw.plugins.auth_*}.

    It never decides: it reads credentials and reports an outcome; only the
    Portal says yes. What else it can do it declares as L{IMethodCapabilities}
    has it.
    """

    name = Attribute("The word used in C{[[auth.choose]] methods}, a C{str}.")
    code = Attribute("The method's number on the wire (RFC 1928 section 3).")
    help = Attribute("One line for C{socksgw plugins}, a C{str}.")

    def build(settings: Settings, reactor: Any) -> Any:
        """
        Make the L{IAuthenticator} (or L{IWrapper}) that serves every connection
        of one generation.

        @param settings: L{Settings}: the method's own table under C{[auth]},
            or empty.
        @raise ValueError: a setting is wrong; the text says which.
        """


class IMethodCapabilities(Interface):
    """
    What an L{IAuthMethod} declares of itself: attributes of it, each of which
    may be left out. Then the worst is assumed. Nothing is concluded from the
    name or the number of a method.
    """

    anonymous = Attribute(
        """
        A C{bool}: whether its credentials can be
        C{twisted.cred.credentials.IAnonymous}, which log nobody in. Left out:
        clients to whom it is offered count as not logged in when it is judged
        what a configuration exposes, and yet such credentials are refused.
        """
    )
    cleartext = Attribute(
        """
        A C{bool}: whether a secret that is of use for another login (a
        password, a token) can be read on the client's connection. Of a method
        that builds an L{IWrapper}: whether the octets inside can be read. Left
        out: C{True}, so listeners that other hosts reach want TLS or
        C{cleartext_passwords = true}.
        """
    )
    credentials = Attribute(
        """
        A C{tuple} of the interfaces of its credentials that a checker has to
        decide about; empty where none has to (L{IVerifiedIdentity},
        C{IAnonymous}, an L{IWrapper}). Left out: some checker has to be there.
        """
    )
    certificate = Attribute(
        """
        A C{bool}: whether it needs what the connection has proved
        (C{IExchange.identity}), so that listeners must ask for a client
        certificate. Left out: C{False}.
        """
    )
    serves = Attribute(
        """
        What the banner says of those who log in by it, a C{str} such as
        C{"with user and password"}. Left out: the method's name.
        """
    )
    keys = Attribute("The keys of its table, each with its meaning, for the manual.")


class IVerifyingMethod(IAuthMethod):
    """
    A method whose credentials are L{IVerifiedIdentity}: whom it reads, it has
    verified. Where it is offered the Portal takes such credentials.
    """


class IProtectingMethod(IAuthMethod):
    """
    A method that agrees with its clients on how all that follows is
    protected. C{protection} in its table lists the levels that are accepted,
    and an C{[[auth.choose]]} may narrow the list.
    """

    protection = Attribute(
        "The levels accepted where its table names none, the preferred one first."
    )


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
        @raise socksgw.wire.reader.WireError: the client broke the protocol;
            nothing is said to it any more.
        @raise socksgw.errors.AuthenticationFailed: the client does not get in,
            whatever the Portal would say; this counts against its source
            unless it says C{counts=False}. L{writeOutcome} tells the client,
            when it is recorded.
        """

    def writeOutcome(exchange: Any, credentials: Any, granted: bool) -> Any:
        """
        Tell the client what the Portal said. A method that protects what
        follows agrees on it here, and ends with L{IExchange.protect}.

        @param credentials: what L{readCredentials} read; L{None} when it
            failed.
        @raise socksgw.errors.AuthenticationFailed: the client was granted,
            and yet does not get in: no acceptable protection, say. This is
            called again then, with C{granted} false.
        @return: an awaitable of L{None}; when C{granted} is false the
            connection is closed after it.
        """


class IRenumbered(IAuthMethod):
    """
    A method that is known by more than one number.
    """

    otherCodes = Attribute("The others, best first: a sequence of C{int}.")


class IWrapper(Interface):
    """
    What C{build} of a method returns that protects what follows, and logs
    nobody in: the client selects a method again (RFC 1928 section 3), inside.
    """

    inner = Attribute(
        """
        Names of the methods that are acceptable inside, best first: such as
        log somebody in and protect nothing themselves.
        """
    )

    def wrap(exchange: Any) -> Any:
        """
        Agree on the protection, and end with L{IExchange.protect}, or behind
        it.

        @param exchange: an L{IExchange}.
        @return: an awaitable of L{None}.
        @raise socksgw.wire.reader.WireError: the client broke the protocol.
        @raise socksgw.errors.AuthenticationFailed: it will not log in inside.
        """


class IConditional(Interface):
    """
    An L{IAuthenticator} that cannot serve every connection. Where it does not
    apply, the client is treated as if the method were not offered there: so
    methods with the same number on the wire can stand beside each other.
    """

    def applies(exchange: Any) -> bool:
        """
        @param exchange: an L{IExchange}; nothing may be read or written yet.
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

    def protect(protection: Any) -> None:
        """
        From here on every octet, each way, goes through this: what has come
        already and was not read, and all that follows.

        @param protection: a L{Protection}.
        """

    identity = Attribute(
        """
        The L{IVerifiedIdentity} that the connection itself has proved (a client
        certificate that was verified), or L{None}.
        """
    )


class IForgetful(ICredentials):
    """
    Credentials that hold a secret, and can drop it. Whoever holds them longer
    (a traceback, a cycle that waits for the garbage collector) holds no secret
    then.
    """

    def forget() -> None:
        """Drop the secret: nobody will ask for it any more."""


class IVerifiedIdentity(ICredentials):
    """
    Credentials that need no checking: who it is has been proved by
    cryptography on this connection. Made by methods and transports, never
    from what a client merely says.
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


class IGroupSource(Interface):
    """
    A checker that knows of groups, also for users whom another method logged
    in.
    """

    name = Attribute("What the journal calls it, a C{str}.")

    def groupsOf(name: str) -> Any:
        """
        The directory's names of all groups that the user is in, nested ones
        included; each as L{normal} has it.

        @return: a C{Deferred} of an iterable of C{str}, or of L{None} when
            there is no such user; it fails when the directory cannot be
            asked.
        """

    def normal(name: str) -> str:
        """
        The one form of a group's name: two names of the same group have the
        same.

        @raise ValueError: it is not the name of a group here.
        """


class IGroupCatalogue(IGroupSource):
    """
    A group source that can say whether a group exists.
    """

    def missing() -> Any:
        """
        Of the groups that L{normal} was asked about, those that do not exist,
        or of which it cannot say who is in them; in normal form.

        @return: a C{Deferred} of a C{frozenset} of C{str}; it fails when the
            directory cannot be asked.
        """


class ILockingStore(Interface):
    """
    A checker whose store locks accounts of its own accord.
    """

    def tries(perUser: int) -> None:
        """
        How many wrong passwords for one user the gateway passes on from one
        source, 0 for any number. Where the store locks an account at as few or
        fewer, the log says so when that is known.
        """


class INamingStore(Interface):
    """
    A checker that can say how its store spells the name of a user whom another
    method has logged in: Kerberos leaves the spelling to the client.
    """

    def canonicalName(name: str) -> Any:
        """
        The one name of a user.

        @param name: as the client spelled it, without a realm.
        @return: a C{Deferred} of a C{str}, or of L{None} when there is no such
            user, or none that may log in; it fails with
            L{Refused<socksgw.login.refusal.Refused>} when the store cannot be
            asked.
        """


class Protection(Protocol):
    """
    What stands between the octets of SOCKS and the wire after a login: GSSAPI
    encapsulation (RFC 1961 section 4), TLS inside SOCKS. One connection's.

    @ivar level: C{clear}, C{integrity} or C{confidentiality}.
    """

    @property
    def level(self) -> str: ...

    def unwrap(self, octets: bytes) -> bytes:
        """
        Octets came, cut anywhere.

        @return: what they hold, as far as it is whole.
        @raise socksgw.wire.reader.WireError: they are not what the peer would
            have sent, or were changed on the way.
        """

    def wrap(self, octets: bytes) -> bytes:
        """What to send so that the peer gets C{octets}."""

    def unwrapDatagram(self, octets: bytes) -> bytes:
        """
        One datagram (RFC 1961 section 5).

        @raise socksgw.wire.reader.WireError: as L{unwrap}.
        """

    def wrapDatagram(self, octets: bytes) -> bytes:
        """
        As L{wrap}, for one datagram.

        @raise ValueError: it is too long.
        """


@runtime_checkable
class StreamProtection(Protection, Protocol):
    """
    A L{Protection} of a stream alone. It has an end of its own, which tells it
    from one that was cut off; datagrams go beside it as they are.

    @ivar naked: whether the client has agreed to that.
    """

    naked: bool

    def close(self) -> bytes:
        """
        What to send so that the peer knows that nothing follows. Nothing is
        wrapped after this.
        """


class ISocksUser(Interface):
    """The avatar interface of the Portal."""

    name = Attribute("Who it is; L{ANONYMOUS} for nobody in particular.")
    anonymous = Attribute("Whether nobody has logged in, a C{bool}.")
    groups = Attribute("A C{frozenset} of group names.")
    method = Attribute("The policy name of the method that logged them in.")
    expires = Attribute(
        "When the login ends, in seconds since the epoch; L{None} for never."
    )
    unsure = Attribute(
        """
        A C{frozenset} of groups that nobody can say whether the user is in: an
        allow by one does not match, a deny does.
        """
    )
    doubt = Attribute("Why there are such groups, a C{str} for the operator.")


class IChangingStore(Interface):
    """
    A checker that can say whether its store changed; cached logins are
    flushed when it did. Optional: other checkers' logins live for
    C{auth.cache}.
    """

    def stamp() -> object:
        """
        A value that differs whenever the store's content may differ. Called
        several times a second: at most a C{stat(2)}.
        """

    def knows(name: bytes) -> bool:
        """
        Whether there is such a user now: sessions of one who is gone are
        ended.
        """


class IReportingStore(Interface):
    """
    A checker, or a method's authenticator, that can say what is wrong with its
    files, for the one who looks after the gateway.
    """

    def problems() -> Any:
        """
        What is wrong now: a sequence of C{str}, a line each, which names the
        file, the line and the remedy, and holds no secret. Called once a
        second: at most a C{stat(2)} while nothing changes. Called by C{socksgw
        check}, too.
        """


class User(Protocol):
    """Who asks, as the policy and the journal see it."""

    @property
    def name(self) -> str: ...
    @property
    def anonymous(self) -> bool: ...
    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def method(self) -> str: ...
    @property
    def expires(self) -> float | None: ...
    @property
    def unsure(self) -> frozenset[str]: ...
    @property
    def doubt(self) -> str: ...


@final
class Asker:
    """
    Who asks.

    @ivar secured: how the client's side is protected: C{clear},
        C{integrity} or C{confidentiality}.
    """

    __slots__ = ("listener", "secured", "source", "user")

    def __init__(
        self, user: User, source: Address, listener: str, secured: str = CLEAR
    ) -> None:
        self.user = user
        self.source = source
        self.listener = listener
        self.secured = secured


class Timer(Protocol):
    """A deadline that was set."""

    def clear(self) -> None:
        """Forget it."""


#: Calls the function in so many seconds.
SetDeadline = Callable[[float, Callable[[], None]], Timer]


class Budget(Protocol):
    """
    Who counts the octets that wait for somebody to take them
    (L{socksgw.relay.memory.Memory}).

    @ivar scarce: whether so many are held already that one connection shall
        hold few.
    """

    @property
    def scarce(self) -> bool: ...
    def take(self, octets: int) -> None: ...
    def give(self, octets: int) -> None: ...


class NameResolver(Protocol):
    """How the policy learns the addresses of a name, once per request."""

    def lookUp(self, name: str, source: Address) -> Awaitable[tuple[Address, ...]]:
        """
        Every address of C{name}, in the order of preference.

        @param name: in normal form (L{socksgw.wire.address.parseHost}).
        @param source: who asks: look-ups at a time are bounded by source.
        @raise socksgw.errors.LookupFailed: there is none, or no answer came
            in time.
        @raise socksgw.errors.LimitReached: too many look-ups of the source wait.
        """
