"""
Every extension point, and every seam between the stages.

What is discovered at run time (plug-ins) is a zope C{Interface}; what is
passed in from another stage is a C{typing.Protocol}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from twisted.cred.credentials import ICredentials
from twisted.cred.strcred import ICheckerFactory
from zope.interface import Attribute, Interface

from socksgw.asker import Asker, User
from socksgw.config.reserved import ANONYMOUS
from socksgw.config.settings import Settings
from socksgw.system.program import Program
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY, INTEGRITY
from socksgw.wire.protection import Protection, StreamProtection
from socksgw.wire.reader import Reader

__all__ = [
    "ANONYMOUS",
    "CLEAR",
    "CONFIDENTIALITY",
    "INTEGRITY",
    "Asker",
    "IAnswering",
    "IAnswers",
    "IAuthMethod",
    "IAuthenticator",
    "IBearerToken",
    "IChangingStore",
    "IConditional",
    "IConfigurableCheckerFactory",
    "IExchange",
    "IForgetful",
    "IFileCheckerFactory",
    "IGroupCatalogue",
    "IGroupSource",
    "ILocalIdentity",
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
    "Program",
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
    A factory whose checker's argument is the path of a file.

    A relative path is resolved beside the configuration that names it, before the
    factory sees it. What a factory without this declaration does with a relative
    path is not known: a relative argument that names an existing file is an error
    there.
    """


class IConfigurableCheckerFactory(ICheckerFactory):
    """
    A factory of Twisted's whose checker can also be an C{[[auth.checker]]}.

    That is a table whose C{kind} is the C{authType}. A factory that needs no more
    than a string does not declare this: its table has the one key C{argument}.
    """

    keys = Attribute("As in L{IMethodCapabilities}; may be left out.")

    def fromSettings(settings: Settings, reactor: Any) -> Any:
        """
        Make the checker.

        One is also made only to see whether it can be: it opens, asks and starts
        nothing before a user logs in.

        @param settings: the table, without C{kind} and C{name}.
        @return: a C{twisted.cred.checkers.ICredentialsChecker}.
        @raise ValueError: it cannot be made; the text says why.
        """


class IAuthMethod(Interface):
    """
    An authentication method.

    It is found as the module-level name C{method} of a module
    C{socksgw.plugins.auth_*}. It never decides: it reads credentials and reports an
    outcome; the Portal decides. What else it can do it declares as
    L{IMethodCapabilities} has it.
    """

    name = Attribute("The word used in C{[[auth.choose]] methods}, a C{str}.")
    code = Attribute(
        """
        The method's number on the wire (RFC 1928 section 3); L{None} where SOCKS has
        none, so that only HTTP can use it (C{challenge}).
        """
    )
    help = Attribute("One line for C{socksgw plugins}, a C{str}.")

    def build(settings: Settings, reactor: Any) -> Any:
        """
        Make what serves every connection of one reading of the configuration.

        @param settings: L{Settings}: the method's own table under C{[auth]},
            or empty.
        @return: an L{IAuthenticator} or an L{IWrapper}.
        @raise ValueError: a setting is wrong; the text says which.
        """


class IMethodCapabilities(Interface):
    """
    What an L{IAuthMethod} declares of itself.

    These are attributes of it, each of which may be left out; then the worst is
    assumed. Nothing is concluded from the name or the number of a method.
    """

    anonymous = Attribute(
        """
        A C{bool}: whether its credentials can be
        C{twisted.cred.credentials.IAnonymous}, which log no user in. Left out:
        such credentials are refused, and yet the clients that it is offered to count
        as not logged in when it is judged what a configuration exposes.
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
    local = Attribute(
        """
        A C{bool}: whether it needs what the kernel says of a program on this machine
        (C{IExchange.program}). Left out: C{False}.
        """
    )
    serves = Attribute(
        """
        What the banner says of users who log in by it, a C{str} such as
        C{"with user and password"}. Left out: the method's name.
        """
    )
    challenge = Attribute(
        """
        A C{str}: the authentication scheme by which clients of HTTP use it, and the
        scheme's parameters (RFC 9110 section 11.3), such as C{'Basic realm="REALM"'};
        C{REALM} stands for the name that the configuration has. What it builds is
        then an L{IAnswering}, too. Left out: HTTP cannot use it, unless it has no
        messages (number 00).
        """
    )
    keys = Attribute("The keys of its table, each with its meaning, for the manual.")


class IVerifyingMethod(IAuthMethod):
    """
    A method whose credentials are L{IVerifiedIdentity}.

    It has verified whom it reads. Where it is offered the Portal takes such
    credentials.
    """


class IProtectingMethod(IAuthMethod):
    """
    A method that agrees with its clients on how all that follows is protected.

    C{protection} in its table lists the levels that are accepted, and an
    C{[[auth.choose]]} may narrow the list.
    """

    protection = Attribute(
        "The levels accepted where its table names none, the preferred one first."
    )


class IAuthenticator(Interface):
    """
    One method, ready for use.

    The state of one connection is in the credentials object, never here.
    """

    def readCredentials(exchange: Any) -> Any:
        """
        Lead the method's sub-negotiation up to where the Portal can decide.

        This may be a coroutine function.

        @param exchange: an L{IExchange}.
        @return: an awaitable of C{twisted.cred.credentials.ICredentials}.
        @raise socksgw.wire.reader.WireError: the client broke the protocol;
            nothing more is sent to it.
        @raise socksgw.errors.AuthenticationFailed: the client does not get in,
            whatever the Portal would decide; this counts against its source
            unless it says C{counts=False}. Once it is recorded, L{writeOutcome}
            tells the client.
        """

    def writeOutcome(exchange: Any, credentials: Any, granted: bool) -> Any:
        """
        Tell the client what the Portal decided.

        A method that protects what follows agrees on it here, and ends with
        L{IExchange.protect}.

        @param credentials: what L{readCredentials} read; L{None} when it
            failed.
        @raise socksgw.errors.AuthenticationFailed: the client was granted, and yet
            does not get in (there is no acceptable protection, say). This is
            called again then, with C{granted} false.
        @return: an awaitable of L{None}; when C{granted} is false the
            connection is closed after it.
        """


class IAnswering(IAuthenticator):
    """
    A method that can also read its credentials from requests of HTTP.

    It never tells the outcome: the answer to the request does.
    """

    def readAnswers(answers: Any) -> Any:
        """
        Read what stands behind the scheme's name, up to where the Portal can decide.

        @param answers: an L{IAnswers}.
        @return: an awaitable of credentials, such as C{readCredentials} returns.
        @raise socksgw.errors.AuthenticationFailed: as C{readCredentials}.
        """


class IAnswers(Interface):
    """What a client answers to the challenges of one method."""

    answer = Attribute("C{bytes}: what stands behind the scheme's name; may be empty.")
    identity = Attribute("As in L{IExchange}.")
    secured = Attribute("How the connection is protected: C{clear}, C{integrity} …")

    def challenge(octets: str) -> Awaitable[bytes]:
        """
        Refuse the request for now, and wait for the next one.

        @param octets: what the client is told behind the scheme's name, in ASCII.
        @return: its next C{answer}.
        @raise socksgw.errors.AuthenticationFailed: it makes its request in another
            way, or it cannot make it again.
        """

    def conclude(octets: str) -> None:
        """Tell the client this behind the scheme's name, once it is let in."""

    def deny(octets: str) -> None:
        """Tell the client this behind the scheme's name, if it is not let in."""


class IRenumbered(IAuthMethod):
    """
    A method that is known by more than one number.
    """

    otherCodes = Attribute("The others, best first: a sequence of C{int}.")


class IWrapper(Interface):
    """
    What C{build} of a method returns that only protects what follows.

    It logs no user in: the client selects a method again (RFC 1928 section 3),
    inside.
    """

    inner = Attribute(
        """
        Names of the methods that are acceptable inside, best first: such as log a
        user in and protect nothing themselves.
        """
    )

    def wrap(exchange: Any) -> Any:
        """
        Agree on the protection; the last step is L{IExchange.protect}, or is behind it.

        @param exchange: an L{IExchange}.
        @return: an awaitable of L{None}.
        @raise socksgw.wire.reader.WireError: the client broke the protocol.
        @raise socksgw.errors.AuthenticationFailed: it will not log in inside.
        """


class IConditional(Interface):
    """
    An L{IAuthenticator} that cannot serve every connection.

    Where it does not apply, the client is treated as if the method were not offered
    there. So several methods can have the same number on the wire.
    """

    def applies(exchange: Any) -> bool:
        """
        Return whether it can serve a connection.

        @param exchange: an L{IExchange}; nothing may be read or written yet.
        """


class IExchange(Interface):
    """What a sub-negotiation has of its connection."""

    def read(decoder: Callable[[Reader], T], limit: int) -> Awaitable[T]:
        """
        Read the client's next message.

        @param decoder: a straight-line decoder. When the message is not whole, the
            reader raises L{socksgw.wire.reader.NeedMoreData} in it.
        @param limit: the most octets that the message may have.
        @raise socksgw.wire.reader.WireError: raised by the decoder, or the message is
            longer than C{limit}.
        """

    def write(octets: bytes) -> None:
        """Send octets to the client."""

    def protect(protection: Any) -> None:
        """
        Have every octet, each way, go through a protection from here on.

        That is what has come already and was not read, and all that follows.

        @param protection: a L{Protection}.
        """

    identity = Attribute(
        """
        The L{IVerifiedIdentity} that the connection itself has proved (a client
        certificate that was verified), or L{None}.
        """
    )
    program = Attribute(
        """
        The L{Program} at the other end, where the kernel has said which program of
        this machine that is; else L{None}.
        """
    )


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


class IGroupSource(Interface):
    """
    A checker that knows of groups, also for users whom another method logged in.
    """

    name = Attribute("What the journal calls it, a C{str}.")

    def groupsOf(name: str) -> Any:
        """
        Ask for all groups that a user is in, nested ones included.

        @return: a C{Deferred} of an iterable of C{str}, each as L{normal} has it, or
            of L{None} when there is no such user; it fails when the directory cannot
            be asked.
        """

    def normal(name: str) -> str:
        """
        Return the one form of a group's name, the same for all its names.

        @raise ValueError: it is not the name of a group here.
        """


class IGroupCatalogue(IGroupSource):
    """
    A group source that can say whether a group exists.
    """

    def missing() -> Any:
        """
        Look for groups that do not exist, or whose members it cannot tell.

        @return: a C{Deferred} of a C{frozenset} of C{str}: those, of the groups that
            L{normal} was asked about, in normal form. It fails when the directory
            cannot be asked.
        """


class ILockingStore(Interface):
    """
    A checker whose store locks accounts of its own accord.
    """

    def tries(perUser: int) -> None:
        """
        Learn how many wrong passwords the gateway passes on to the store.

        Where the store locks an account at as few or fewer, the log says so when that
        is known.

        @param perUser: for one user from one source; 0 for any number.
        """


class INamingStore(Interface):
    """
    A checker that can say how its store spells a user's name.

    It is asked of users whom another method has logged in: Kerberos leaves the
    spelling to the client.
    """

    def canonicalName(name: str) -> Any:
        """
        Ask for the one name of a user.

        @param name: as the client spelled it, without a realm.
        @return: a C{Deferred} of a C{str}, or of L{None} when there is no such
            user, or none that may log in; it fails with
            L{Refused<socksgw.login.refusal.Refused>} when the store cannot be
            asked.
        """


class ISocksUser(Interface):
    """The avatar interface of the Portal."""

    name = Attribute("The user's name; L{ANONYMOUS} without a login.")
    anonymous = Attribute("Whether the client came in without a login, a C{bool}.")
    groups = Attribute("A C{frozenset} of group names.")
    method = Attribute("The policy's name of the method that logged the user in.")
    expires = Attribute(
        "When the login ends, in seconds since the epoch; L{None} for never."
    )
    unsure = Attribute(
        """
        A C{frozenset} of groups of which it is not known whether the user is in
        them: an allow by one does not match, a deny does.
        """
    )
    doubt = Attribute("Why there are such groups, a C{str} for the operator.")


class IChangingStore(Interface):
    """
    A checker that can say whether its store changed.

    When it did, cached logins are flushed and sessions of removed users are ended.
    Logins by other checkers are cached for C{auth.cache}.
    """

    def stamp() -> object:
        """
        Return a value that differs whenever the store's content may differ.

        This is called several times a second: it does a C{stat(2)}, at most.
        """

    def knows(name: bytes) -> bool:
        """
        Return whether there is such a user now.
        """


class IReportingStore(Interface):
    """
    A checker or an authenticator that can say what is wrong with its files.
    """

    def problems() -> Any:
        """
        Return what is wrong now, for the operator.

        This is called once a second, and by C{socksgw check}: while nothing changes,
        it does a C{stat(2)}, at most.

        @return: a sequence of C{str}, each a line that names the file, the line in it
            and the remedy, and holds no secret.
        """


class Timer(Protocol):
    """A deadline that was set."""

    def clear(self) -> None:
        """Forget it."""


#: Calls the function in so many seconds.
SetDeadline = Callable[[float, Callable[[], None]], Timer]
