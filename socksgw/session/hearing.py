"""
What clients say on the express lane, up to their request.

Messages that came whole are read at one look (L{socksgw.wire.whole}), and no
conversation is made of them. Anything else is left to the coroutine, whose conversation
is retold what was said.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.cred.credentials import Anonymous

from socksgw.interfaces import User
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.exchange import Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.plugins.auth_none import NoAuthentication
from socksgw.plugins.auth_userpass import Credentials, UsernamePassword
from socksgw.session.session import Opening, Session
from socksgw.session.stage import Stage
from socksgw.system.coroutines import Running
from socksgw.wire import userpass
from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Event, Requested
from socksgw.wire.server import ServerConversation
from socksgw.wire.whole import Asked, Octets, Whole
from socksgw.wire.whole import login as readLogin

__all__ = ["NOTHING", "Hearing"]

#: What is waited for; others wait for more.
_PASSWORD, _REQUEST, NOTHING = range(3)
_NEGOTIATE: Final = Stage.NEGOTIATE
_LOGIN: Final = Stage.LOGIN
_SUCCEEDED: Final = Reply.SUCCEEDED
_NONE: Final = int(Method.NO_AUTHENTICATION)
#: The methods without messages, and with one.
_KINDS: Final = (NoAuthentication, UsernamePassword)
_LET_IN: Final = userpass.encodeStatus(0)
#: Octets behind a login that a request brings, at most.
_PADDING: Final = 3
#: Speaks nothing.
_UNKNOWN: Final = Dialect()
#: In the place of a login that was read: it is told nobody any more.
_NO_LOGIN: Final = b"\1\0\0"


def _shown(octets: bytes) -> tuple[bytes, bytes] | None:
    """
    Return the name and the password that a request brings.

    @return: L{None} where it is no such message, or there is more than padding behind.
    """
    found = readLogin(octets)
    if found is None:
        return None
    name, password, end = found
    if len(octets) - end > _PADDING or octets[end:].strip(b"\0"):
        return None
    return name, password


class Hearing:
    """
    The part of L{socksgw.session.express.Express} that the client talks to.

    @ivar listens: whether it waits for a message of the client.
    @ivar running: the coroutine that the session was handed over to.
    """

    __slots__ = (
        "_asked", "_code", "_dialect", "_event", "_method", "_offer", "_replied",
        "_request", "_rest", "_session", "_shown", "_user", "_waits", "_whole", "listens",
        "running",
    )  # fmt: skip

    _dialect: Dialect
    _whole: Whole
    _event: Event
    _method: OfferedMethod
    _request: Requested

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits = NOTHING
        # What has been said, and answered, as far as it has (retell).
        self._offer = self._asked = b""
        self._code = -1
        self._shown = False
        self._user: User | None = None
        self._replied: tuple[Address, int] | None = None
        # What has come behind that.
        self._rest: Octets = b""
        self.listens = False
        self.running: Running[None] | None = None

    def _requested(self, found: Asked | None = None) -> None:
        """
        Go on with the request.

        @param found: what it says, where it has been read; else it is what comes next.
        """
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """End the session for a failure."""
        raise NotImplementedError

    def heard(self, octets: Octets) -> None:
        """As L{socksgw.accept.inbound.Lane.heard}."""
        self.listens = False
        self._rest = octets
        try:
            if self._waits is _PASSWORD:
                self._told()
            else:
                self._requested()
        except Exception as e:
            self.fail(e)
        if self._rest:
            self._pour()

    def begin(self, octets: Octets) -> None:
        """
        Begin.

        @param octets: the first that the client has sent.
        """
        session = self._session
        session.stage = _NEGOTIATE
        client = session.client
        try:
            dialect = client.listener.dialects.get(octets[0], _UNKNOWN)
            whole = dialect.whole
            offer = None if whole is None else whole.offer(octets)
            if whole is not None and offer is not None:
                self._dialect, self._whole = dialect, whole
                client.early, client.lane = b"", self
                self._offer = offer
                self._rest = octets[len(offer) :]
                self._greeted(offer[2:])
            elif (found := self._brought(dialect, octets)) is not None:
                self._requested(found)
            else:
                self._spoken()
        except Exception as e:
            self.fail(e)
        if self._rest:
            self._pour()

    def _brought(self, dialect: Dialect, octets: Octets) -> Asked | None:
        """
        Let a client in by its request alone, which came whole.

        @return: what the request says; L{None} where it takes more.
        """
        brought = dialect.readWhole(octets)
        if brought is None:
            return None
        found, login, asked = brought
        session = self._session
        client, generation, record = session.client, session.generation, session.record
        offers = login.offers
        wanted, method, code = generation.methods.certain(
            record.listener, client.source, offers[0]
        )
        if method is None:
            return None
        kind = type(method.authenticator)
        user: User | None = None
        name, began = b"", 0.0
        if kind is NoAuthentication:
            user = generation.login.anybody(method.name)
        elif kind is UsernamePassword and not generation.handsOn:
            shown = _shown(login.presented(code) or b"")
            if shown is not None:
                began = session.gateway.clock()
                name, password = shown
                user = generation.login.known(
                    name, password, method.name, client.source
                )
        if user is None:
            return None
        record.protocol, record.offered = dialect.protocol, b"".join(offers)
        record.wanted, record.chosen = wanted, method.name
        if client.program is not None:
            record.runBy(client.program)
        login.select(code)
        if kind is NoAuthentication:
            record.user, record.method = user.name, user.method
        else:
            record.claimed = name
            session.loggedIn(user, began)
            login.say(_LET_IN)
        self._dialect = dialect
        client.early, client.lane = b"", self
        self._asked, self._rest = asked, octets[found[4] :]
        self._user, session.stage = user, _LOGIN
        client.sendAhead(login.admitted())
        return found

    def _spoken(self) -> None:
        """Begin with what the conversation reads."""
        session = self._session
        conversation = session.client.conversation
        event = conversation.next()
        dialect = conversation.dialect
        user = None
        if (
            isinstance(event, Requested)
            and conversation.login is None
            and not dialect.challenging
        ):
            user = self._entered(event, dialect)
        if user is None or event is None:
            self._hand(session.open(event))
            return
        self._dialect = dialect
        self._user, session.stage = user, _LOGIN
        asked = conversation.admit(event)
        assert asked is not None
        self._request = asked
        session.record.protocol = conversation.protocol
        self._requested((asked.command, asked.host, asked.port, asked.asked, 0))

    def _entered(self, event: Requested, dialect: Dialect) -> User | None:
        """
        Let a client in whose protocol has no logins.

        @return: L{None} where that takes more.
        """
        session = self._session
        client, generation, record = session.client, session.generation, session.record
        wanted, method, _ = generation.methods.certain(
            record.listener, client.source, dialect.offered(event)
        )
        if method is None or type(method.authenticator) is not NoAuthentication:
            return None
        user = generation.login.anybody(method.name)
        if user is None:
            return None
        session.greeted(event, wanted)
        record.user, record.method, record.chosen = user.name, user.method, method.name
        return user

    def _greeted(self, offered: bytes) -> None:
        """Choose a method, as L{socksgw.negotiate.negotiation.negotiate} does."""
        session = self._session
        client, record = session.client, session.record
        wanted, method, code = session.generation.methods.certain(
            record.listener, client.source, offered
        )
        kind = None if method is None else type(method.authenticator)
        if method is None or kind not in _KINDS:
            self._pour()
            self._hand(session.open(self._event))
            return
        record.protocol, record.offered = self._dialect.protocol, offered
        record.wanted = wanted
        record.chosen = method.name
        if client.program is not None:
            record.runBy(client.program)
        client.send(self._whole.selection(code))
        self._method, self._code = method, code
        if kind is UsernamePassword:
            self._await(_PASSWORD)
            return
        user = session.generation.login.anybody(method.name)
        if user is None:
            self._hand(session.tried(self._attempt(Anonymous())))
            return
        record.user, record.method = user.name, user.method
        self._welcome(user)

    def _await(self, waits: int) -> None:
        """Go on with the client's next message."""
        self._waits = waits
        if not self._rest:
            self.listens = True
        elif waits is _PASSWORD:
            self._told()
        else:
            self._requested()

    def _attempt(self, credentials: Any) -> Attempt:
        method, exchange = self._method, Exchange(self._session.client)
        self._pour()
        authenticator = method.authenticator
        return Attempt(method.name, authenticator, exchange, credentials, self._event)

    def _told(self) -> None:
        """Let a client in whose password is remembered."""
        session, method, octets = self._session, self._method, self._rest
        found = readLogin(octets)
        if found is None:
            self._pour()
            self._hand(session.chosen(self._event, method))
            return
        name, password, end = found
        self._rest = octets[end:]
        self._shown = True
        client, generation = session.client, session.generation
        began = session.gateway.clock()
        user = None
        if not generation.handsOn:
            user = generation.login.known(name, password, method.name, client.source)
        if user is None:
            self._hand(session.tried(self._attempt(Credentials(name, password))))
            return
        session.record.claimed = name
        session.loggedIn(user, began)
        client.send(_LET_IN)
        self._welcome(user)

    def _welcome(self, user: User) -> None:
        """Await the request."""
        self._session.stage = _LOGIN
        self._user = user
        self._await(_REQUEST)

    # Anything else.

    def _read(self) -> Requested:
        """Return the request as the conversation reads it."""
        self._pour()
        return self._request

    def _hand(self, opening: Opening) -> None:
        """
        Hand the session over.

        @param opening: leads through the stages that are left.
        """
        self._waits = NOTHING
        self.listens = False
        session = self._session
        self._pour()
        # Its client may keep this.
        session.client.lane = None
        del self._session
        self.running = Running(session.serve(opening))

    def _pour(self) -> None:
        """Leave what has come to the conversation."""
        rest, self._rest = self._rest, b""
        self._session.client.conversation.receive(rest)

    def retell(self, conversation: ServerConversation) -> None:
        """As L{socksgw.accept.inbound.Lane.retell}."""
        if self._offer:
            self._regreet(conversation)
        if not self._asked:
            # Or it comes with another process, or has not begun yet.
            return
        conversation.receive(self._asked)
        request = conversation.next()
        assert isinstance(request, Requested)
        self._request = request
        if not self._offer:
            # It brought its login, of which nothing is needed any more.
            conversation.answerOffer(_NONE)
            conversation.admit(request)
            conversation.welcome()
        if self._replied is not None:
            conversation.reply(_SUCCEEDED, self._replied)

    def _regreet(self, conversation: ServerConversation) -> None:
        """Retell what came before the request."""
        conversation.receive(self._offer)
        event = conversation.next()
        assert event is not None
        self._event = event
        if self._code < 0:
            return
        conversation.answerOffer(self._code)
        if self._shown:
            # Whatever it was, it is not needed any more.
            conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
            conversation.receive(_NO_LOGIN)
            conversation.next()
        if self._user is not None:
            conversation.admit(event)
