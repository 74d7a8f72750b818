"""
Methods of authentication: what a plug-in is, and what it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from zope.interface import Attribute, Interface

from socksgw.config.settings import Settings
from socksgw.wire.reader import Reader

__all__ = [
    "IAnswering",
    "IAnswers",
    "IAuthMethod",
    "IAuthenticator",
    "IConditional",
    "IExchange",
    "IMethodCapabilities",
    "IProtectingMethod",
    "IRenumbered",
    "IVerifyingMethod",
    "IWrapper",
]

T = TypeVar("T")


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
        @raise socksgw.errors.AuthenticationFailed: not L{protects}.
        """

    protects = Attribute(
        """
        A C{bool}: whether anything can go through a L{protect}ion. In SOCKS 6 what
        follows the login does not (draft-olteanu-intarea-socks-6-11 section 6).
        """
    )
    secured = Attribute(
        """
        How the connection is protected already: C{clear}, C{integrity} or
        C{confidentiality}.
        """
    )
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
