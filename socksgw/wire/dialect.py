"""
Where the protocols of clients differ from one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

from socksgw.wire.address import UNSPECIFIED4, Address
from socksgw.wire.codes import Reply
from socksgw.wire.events import Event, MethodsOffered, Requested
from socksgw.wire.reader import Reader
from socksgw.wire.stacks import Stack
from socksgw.wire.whole import Asked, Octets, Whole

__all__ = ["UNBOUND", "Brought", "Dialect", "Exchange", "Login"]

#: What a reply says where there is no address to tell.
UNBOUND: Final = (UNSPECIFIED4, 0)


class Exchange(Protocol):
    """
    One request that is passed on, and its answer, octet by octet.

    It is told what comes on both sides, and says what each is sent.

    @ivar closing: whether the client's connection ends with this answer, whatever
        the client wants.
    @ivar conclusion: what the answer says to the end of a login; empty for nothing.
    @ivar requestDone: whether the request is passed on to its end.
    @ivar answered: whether the client has the head of the final answer.
    @ivar answerDone: whether it has all of it.
    @ivar upgraded: whether both speak another protocol from here on.
    @ivar untilClose: whether the client takes the end of the connection for the end
        of the answer.
    """

    closing: bool
    conclusion: str
    requestDone: bool
    answered: bool
    answerDone: bool
    upgraded: bool
    untilClose: bool

    @property
    def method(self) -> str:
        """What is asked of the destination, a word of HTTP."""

    @property
    def safe(self) -> bool:
        """Whether the request can do no harm twice, and nothing of it is gone."""

    @property
    def repeatable(self) -> bool:
        """Whether it is L{safe}, and no word of the answer has come."""

    @property
    def surplus(self) -> bytes:
        """What came of the client behind its request."""

    @property
    def heading(self) -> bool:
        """Whether the head of an answer has come in part."""

    @property
    def early(self) -> bytes:
        """What came of the destination in the other protocol (C{upgraded})."""

    @property
    def keepsClient(self) -> bool:
        """Whether the client may make another request on its connection."""

    @property
    def keepsDestination(self) -> bool:
        """Whether the destination may be asked again on its connection."""

    def begin(self) -> bytes:
        """
        Return the request as far as it is there; again only while L{repeatable}.

        @raise WireError: the rest of it is not what its head says.
        """

    def fromClient(self, octets: bytes | memoryview) -> bytes:
        """
        Take octets of the client, and return what the destination is sent.

        @raise WireError: they do not belong to such a request.
        """

    def fromDestination(self, octets: bytes | memoryview) -> bytes:
        """
        Take octets of the destination, and return what the client is sent.

        @raise WireError: they are no answer that is passed on.
        """

    def destinationEnded(self) -> bytes:
        """
        Take note that the destination has ended its side.

        @return: what the client is sent.
        @raise WireError: that is not the end of the answer.
        """

    def refuse(self, reason: str, why: str, late: bool = False) -> bytes:
        """
        Return an answer of our own: the client has the head of none yet.

        @param reason: a fixed word, as in the record.
        @param why: for people.
        @param late: whether the time was up.
        """


class Login(Protocol):
    """
    The login of a client whose request comes first, and brings what it says.

    @ivar early: octets for the destination that stood before the login's messages.
    @ivar over: whether the client has been told how it ended.
    """

    early: bytes
    over: bool

    # A login that later requests go on with.

    @property
    def resumes(self) -> bytes | None:
        """The key of the login that the request goes on with; L{None} for none."""

    @property
    def begins(self) -> bool:
        """Whether the client wants this login to be gone on with."""

    @property
    def ends(self) -> bytes | None:
        """The key of a login that is to end with this request; L{None} for none."""

    @property
    def token(self) -> int | None:
        """The token that the request spends; L{None} for none."""

    @property
    def window(self) -> int:
        """How many tokens the client asks for; 0 for none."""

    def begun(self, key: bytes) -> None:
        """Tell the client the key of its login, once it is let in."""

    def resumed(self) -> None:
        """Tell the client that its request goes on with its login."""

    def unknown(self) -> None:
        """Tell the client that there is no login of its key."""

    def windowed(self, base: int, size: int) -> None:
        """Tell the client its tokens."""

    def spent(self, granted: bool) -> None:
        """Tell the client whether its token was spent by this request."""

    # How the stacks below are to be.

    @property
    def stack(self) -> Sequence[Stack]:
        """What the client wants of them; nothing for what they have."""

    def stacked(self, told: Sequence[Stack]) -> None:
        """Tell the client how they are, in the reply to its request."""

    # Its methods.

    @property
    def offers(self) -> Sequence[bytes]:
        """The methods that the client can have; each group only before the next."""

    def presented(self, method: int) -> bytes | None:
        """Return what the request says by a method, with padding; L{None} for nothing."""

    def select(self, method: int) -> bytes:
        """Take the method that was chosen, and return what the client is sent."""

    def message(self, decoder: Callable[[Reader], Any], limit: int) -> Any:
        """
        Read the message that the request has brought.

        @param limit: the most octets it may have.

        @raise WireError: it is none.
        """

    @property
    def brings(self) -> bool:
        """Whether the request has brought a message that is not read yet."""

    def proceed(self) -> bytes:
        """
        Have the method's messages follow.

        @return: what the client is sent first; nothing the second time.
        @raise WireError: the client has none to send.
        """

    def behind(
        self, decoder: Callable[[Reader], Any]
    ) -> tuple[Callable[[Reader], Any], int]:
        """
        Return what reads a message that follows, and what stands before it.

        @return: with the octets of that.
        """

    def say(self, octets: bytes) -> bytes:
        """Take what the method says, and return what is sent of it now."""

    def admitted(self) -> bytes:
        """Return what tells the client that it is let in; nothing the second time."""

    def refused(self) -> bytes:
        """Return what tells it that it is not; nothing the second time."""


#: A request, the login that it brings, and its octets without what they say of that.
Brought = tuple[Asked, Login, bytes]


class Dialect:
    """
    What one protocol has where each protocol has something of its own.

    It has no state: that is the conversation's. To add a protocol, write one in a module of C{socksgw.wire}, and name it in
    L{socksgw.wire.server.DIALECTS}. This class is what holds before the protocol
    is known.

    @cvar protocol: its name in C{listen.protocols}, if it has one there, and in the
        records.
    @cvar version: the number of its version.
    @cvar first: the first octets of a client by which it is told from others.
    @cvar firstLimit: the most octets of the client's first message.
    @cvar requestLimit: the most octets of a request that follows a login.
    @cvar commands: the word of each command, by its code: C{connect}, C{bind},
        C{udp}, C{multicast}, C{resolve}, C{resolve-ptr}, C{noop}; of UDP inside the
        control connection the framing, as in C{listen.udp.tunnels}, or C{udp-inside}
        where the protocol has no other.
    @cvar whole: reads the messages of a login, and of a request behind it, that came
        whole; L{None} where nothing does.
    @cvar families: the versions of the addresses that a reply can say.
    @cvar loginless: where it has no logins, why a client cannot get in that has
        to log in; else empty.
    @cvar denial: the reply to a client that does not get in; L{None} where other
        messages tell it.
    @cvar silent: whether the client hears nothing of the gateway, and believes that
        it speaks with its destination: it is refused by a reset.
    @cvar fault: the reply to a first message that breaks the protocol; L{None}
        where there is none.
    @cvar late: the reply to a first message that is not whole in time, likewise.
    @cvar secret: whether the first message may hold a password.
    @cvar challenging: whether credentials come with the request, and a client that
        has none is told which are wanted (RFC 9110 section 11.3).
    """

    protocol: ClassVar[str] = ""
    version: ClassVar[int] = 0
    first: ClassVar[bytes] = b""
    firstLimit: ClassVar[int] = 0
    requestLimit: ClassVar[int] = 0
    commands: ClassVar[Mapping[int, str]] = {}
    whole: ClassVar[Whole | None] = None
    families: ClassVar[frozenset[int]] = frozenset({4, 6})
    loginless: ClassVar[str] = ""
    denial: ClassVar[Reply | None] = None
    silent: ClassVar[bool] = False
    fault: ClassVar[Reply | None] = None
    late: ClassVar[Reply | None] = None
    secret: ClassVar[bool] = False
    challenging: ClassVar[bool] = False

    def configured(self, realm: str, reasons: bool) -> Dialect:
        """
        Return the protocol as C{[http]} wants it.

        @param realm: what clients are told that they log in to.
        @param reasons: whether refusals tell the rule and the reason.
        """
        return self

    @staticmethod
    def readFirst(reader: Reader) -> Event:
        """
        Read the client's first message.

        @raise WireError: it breaks the protocol.
        """
        raise NotImplementedError

    @staticmethod
    def readWhole(_octets: Octets, /) -> Brought | None:
        """
        Read a request at the beginning that is whole, and brings its login.

        @return: L{None} where there is none, and for what the conversation has to read.
        """
        return None

    @staticmethod
    def readMethods(reader: Reader) -> MethodsOffered:
        """
        Read which methods the client offers.

        @raise WireError: it breaks the protocol.
        """
        raise NotImplementedError

    @staticmethod
    def readRequest(reader: Reader) -> Requested:
        """
        Read the request that follows a login.

        @raise WireError: it breaks the protocol.
        """
        raise NotImplementedError

    @staticmethod
    def offered(event: Any, /) -> bytes:
        """Return the methods that the client's first message offers."""
        raise NotImplementedError

    def login(self, _request: Any, /) -> Login | None:
        """
        Return the login that a request brings, where it is answered before that.

        @param _request: L{None} where it was broken.
        @return: L{None} in protocols that have other logins, or none.
        """
        return None

    def stranger(self) -> Login | None:
        """
        Return the login of a client that speaks something else, and is to hear of it.

        It is asked where a listener speaks this protocol alone.

        @return: L{None} where nothing is said to it.
        """
        return None

    @staticmethod
    def presented(event: Any, /) -> tuple[str, bytes]:
        """
        Return the credentials that a request brings, where L{challenging}.

        @return: the scheme in lower case, and what stands behind it; empty for none.
        """
        raise NotImplementedError

    @staticmethod
    def keeps(event: Any, /) -> bool:
        """Return whether the client can make its request again, where L{challenging}."""
        raise NotImplementedError

    def encodeChallenge(self, challenges: Sequence[str], keep: bool) -> bytes:
        """
        Return the answer to a client that has to log in.

        @param challenges: each a scheme and its parameters, with C{REALM} for the
            name of the realm.
        @param keep: whether it can make its request again on this connection.
        """
        raise NotImplementedError

    @staticmethod
    def concluded(reply: bytes, conclusion: str) -> bytes:
        """
        Return a reply that ends a login, too.

        @param conclusion: the scheme, and what it has to say at its end.
        """
        raise NotImplementedError

    @staticmethod
    def goesOn(_request: Any, /) -> int | None:
        """
        Return whether the client goes on with another request after a refusal.

        @return: how many octets of this request come before it; L{None} where the
            connection ends with the refusal.
        """
        return None

    @staticmethod
    def fitted(octets: bytes, _request: Any, /) -> bytes:
        """
        Return an answer of ours in the form that the request wants.

        @param _request: L{None} where none was read.
        """
        return octets

    def exchange(self, request: Any) -> Exchange:
        """Return what passes a request on, and its answer."""
        raise NotImplementedError

    def answering(self, request: Requested) -> Dialect:
        """Return what answers a request: this protocol, in one form or another."""
        return self

    def called(self, request: Requested) -> str:
        """Return the name of the protocol in the record of a request."""
        return self.protocol

    @staticmethod
    def wantsErrors(_request: Any, /) -> bool:
        """Return whether the client wants to hear what ICMP tells of its datagrams."""
        return False

    @staticmethod
    def encodeSelection(method: int) -> bytes:
        """Return what tells the client the method that was chosen."""
        raise NotImplementedError

    @staticmethod
    def encodeReply(reply: Reply, host: Any, port: int, /) -> bytes:
        """
        Return the answer to a request.

        @param host: an L{Address<socksgw.wire.address.Address>}; a name only in
            the answer to C{resolve-ptr}.
        """
        raise NotImplementedError

    def succeeded(self, address: Address, port: int, /) -> bytes:
        """Return the reply to a request that succeeded."""
        return self.encodeReply(Reply.SUCCEEDED, address, port)

    def encodeRefusal(
        self, reply: Reply, reason: str, why: str, rule: str = "", keep: bool = False
    ) -> bytes:
        """
        Return the answer to a request that is refused.

        @param reason: a fixed word (L{socksgw.errors.SocksError}).
        @param why: for the operator; the client may be told only where that is
            configured.
        @param rule: the id of the rule that denies it, likewise.
        @param keep: whether the client may go on (L{goesOn}).
        """
        return self.encodeReply(reply, *UNBOUND)
