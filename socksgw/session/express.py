"""
The express lane: what most sessions are, without a coroutine.

It leads a session through the same stages as L{Session.serve}, by the same steps, and
stands where that one would wait. It reads messages that came whole
(L{socksgw.wire.whole}), and makes no conversation of them. As soon as anything else is
needed than a client on a plain socket, a method of no or of one message, a login that
is remembered, CONNECT to an address or a name, and a socket that leads there, it hands
the session over to the coroutine, which goes on with the stage that it has reached, and
whose conversation is retold what was said (L{Express.retell}). So does whatever fails:
there is one way out (L{socksgw.session.refusing}).

L{begin} alone decides which lane a session takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, Protocol, final

from twisted.cred.credentials import Anonymous
from twisted.internet.defer import CancelledError

from socksgw.errors import LeadsHere, LimitReached, SocksError
from socksgw.interfaces import User
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.exchange import Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.plugins.auth_none import NoAuthentication
from socksgw.plugins.auth_userpass import Credentials, UsernamePassword
from socksgw.policy.decision import Decision, refused
from socksgw.policy.naming import Looking
from socksgw.policy.questions import UNSEEN, Verdict
from socksgw.relay.tally import Tally
from socksgw.route.ways import Dialling, Outlet, Ways
from socksgw.session.deciding import limited, settled
from socksgw.session.introducing import introduce
from socksgw.session.session import Opening, Session
from socksgw.session.stage import Stage
from socksgw.session.streams import CONNECT, looks, reached
from socksgw.system.coroutines import Running
from socksgw.wire import userpass
from socksgw.wire.address import Address, BadHost
from socksgw.wire.codes import Reply
from socksgw.wire.dialect import Dialect
from socksgw.wire.events import Event, Requested
from socksgw.wire.server import ServerConversation
from socksgw.wire.whole import Asked, Octets, Whole, login

__all__ = ["Express", "Serving", "begin"]

#: Whether there is an express lane; tests have sessions go without.
OPEN = True

#: What the lane waits for.
_PASSWORD, _REQUEST, _ANSWER, _LINE, _SOCKET, _END, _NOTHING = range(7)
_NEGOTIATE: Final = Stage.NEGOTIATE
_LOGIN: Final = Stage.LOGIN
_AUDIT: Final = Stage.AUDIT
_CONNECT: Final = CONNECT.name
_SUCCEEDED: Final = Reply.SUCCEEDED
#: The methods without messages, and with one.
_KINDS: Final = (NoAuthentication, UsernamePassword)
_LET_IN: Final = userpass.encodeStatus(0)
#: Speaks nothing.
_UNKNOWN: Final = Dialect()
#: In the place of a login that was read: it is told nobody any more.
_NO_LOGIN: Final = b"\1\0\0"


class Serving(Protocol):
    """A session that is served."""

    def cancel(self) -> None:
        """End it."""


def begin(session: Session) -> Serving:
    """
    Serve a session, by the lane that is right for it.
    """
    client = session.client
    if not OPEN or not client.early or not client.first:
        return Running(session.serve())
    lane = Express(session)
    lane.begin(client.early)
    return lane.running or lane


async def _failing(error: BaseException) -> NoReturn:
    """Have a session fail."""
    try:
        raise error
    finally:
        # Its traceback has this frame.
        del error


@final
class Express:
    """
    One session on the express lane.

    It is what the client, the journal and the relay call while the session waits for
    them, in the place of a C{Deferred}.

    @ivar listens: whether it waits for a message of the client.
    @ivar called: whether the journal need not call any more.
    @ivar running: the coroutine that the session was handed over to.
    """

    __slots__ = (
        "_asked", "_awaited", "_code", "_dialect", "_event", "_method", "_offer",
        "_outlet", "_replied", "_request", "_rest", "_session", "_shown", "_user", "_verdicts",
        "_waits", "_ways", "_whole", "called", "listens", "running",
    )  # fmt: skip

    _dialect: Dialect
    _whole: Whole
    _event: Event
    _method: OfferedMethod
    _request: Requested
    _verdicts: Mapping[Address | str, Verdict]
    _ways: Ways
    _awaited: Dialling | Looking

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits = _NOTHING
        # What has been said, and answered, as far as it has (retell).
        self._offer = self._asked = b""
        self._code = -1
        self._shown = False
        self._user: User | None = None
        self._replied: tuple[Address, int] | None = None
        # What has come behind that.
        self._rest: Octets = b""
        self._outlet: Outlet | None = None
        self.listens = self.called = False
        self.running: Running[None] | None = None

    @classmethod
    def relaying(cls, session: Session, outlet: Outlet) -> Express:
        """
        Return what waits for the end of a relay that has begun elsewhere.

        @param outlet: the relay's destination.
        """
        lane = cls(session)
        lane._waits, lane._outlet = _END, outlet
        lane.called = True
        return lane

    # What has been waited for.

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
            self._fail(e)
        if self._rest:
            self._pour()

    def callback(self, result: Any) -> None:
        """
        Go on.

        @param result: of the relay, how it has ended.
        """
        waits = self._waits
        try:
            if waits is _LINE:
                self._written()
            elif waits is _END:
                self._relayed(*result)
        except Exception as e:
            self._fail(e)

    def errback(self, error: Any) -> None:
        """Fail: the line cannot be written."""
        if self._waits is _LINE:
            self._fail(error)

    def cancel(self) -> None:
        """End the session, whose client is gone or has to go."""
        if self.running is not None:
            self.running.cancel()
        elif self._waits is not _NOTHING:
            self._fail(CancelledError())

    def _fail(self, error: BaseException) -> None:
        """End the session for a failure, as the other lane would."""
        session, outlet = self._session, self._outlet
        if self._waits is _SOCKET or self._waits is _ANSWER:
            self._awaited.cancel()
        elif outlet is not None:
            self._outlet = None
            tally = session.tally
            if tally is None or tally.relay is None:
                outlet.abortConnection()
            else:
                tally.relay.cancel()
                self._part(outlet, tally, True)
        self._hand(_failing(error))

    def _hand(self, opening: Opening) -> None:
        """
        Hand the session over.

        @param opening: leads through the stages that are left.
        """
        self._waits = _NOTHING
        self.listens = False
        self.called = True
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
        if not self._offer:
            # It comes with another process, or has not begun yet.
            return
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
        if self._user is None:
            return
        conversation.admit(event)
        if not self._asked:
            return
        conversation.receive(self._asked)
        request = conversation.next()
        assert isinstance(request, Requested)
        self._request = request
        if self._replied is not None:
            conversation.reply(_SUCCEEDED, self._replied)

    # The stages.

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
            if whole is None or offer is None:
                self._spoken()
                return
            self._dialect, self._whole = dialect, whole
            client.early, client.lane = b"", self
            self._offer = offer
            self._rest = octets[len(offer) :]
            self._greeted(offer[2:])
        except Exception as e:
            self._fail(e)
        if self._rest:
            self._pour()

    def _spoken(self) -> None:
        """Begin with what the conversation reads."""
        session = self._session
        conversation = session.client.conversation
        event = conversation.next()
        dialect, generation = conversation.dialect, session.generation
        user = method = None
        record = session.record
        if isinstance(event, Requested) and not dialect.challenging:
            source, offered = session.client.source, dialect.offered(event)
            _, method, _ = generation.methods.certain(record.listener, source, offered)
            if method is not None and type(method.authenticator) is NoAuthentication:
                user = generation.login.anybody(method.name)
        if user is None or method is None or event is None:
            self._hand(session.open(event))
            return
        session.greeted(event)
        record.chosen = method.name
        record.user, record.method = user.name, user.method
        self._dialect = dialect
        self._user, session.stage = user, _LOGIN
        asked = conversation.admit(event)
        assert asked is not None
        self._request = asked
        record.protocol = conversation.protocol
        self._requested((asked.command, asked.host, asked.port, asked.asked, 0))

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
        found = login(octets)
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

    def _requested(self, found: Asked | None = None) -> None:
        """
        Decide, and write that down.

        @param found: the request, where the conversation has read it.
        """
        session, user = self._session, self._user
        assert user is not None
        if found is None:
            octets = self._rest
            found = self._whole.request(octets)
            if found is None:
                self._hand(session.awaiting(user))
                return
            self._asked = bytes(octets[: found[4]])
            self._rest = octets[found[4] :]
        command, host, port, asked, _ = found
        session.requested(user)
        gateway, generation, record = (
            session.gateway,
            session.generation,
            session.record,
        )
        if isinstance(host, BadHost) or self._dialect.commands.get(command) != _CONNECT:
            self._hand(session.judge(self._read()))
            return
        session.command = CONNECT
        record.command = _CONNECT
        record.asked, record.port = asked, port
        if isinstance(host, str):
            record.name = host
        session.remain(generation)
        try:
            judged = generation.policy.atOnce(
                session.asker, _CONNECT, host, port, session.arrive
            )
        except LimitReached as e:
            self._decided(refused(e.with_traceback(None)))
            return
        if judged is None and isinstance(host, str):
            self._lookUp(host)
            return
        if judged is None or judged[1].obligations.leaving is not None:
            self._hand(session.judge(self._read()))
            return
        address, verdict = judged
        if not verdict.allowed:
            self._decided(Decision(verdict))
            return
        rule = verdict.rule
        record.allowed = True
        record.rule = record.decidedBy = rule
        record.addresses = (address,)
        record.ticket, record.pending = verdict.ticket, verdict.pending
        session.obligations = verdict.obligations
        session.verdicts = self._verdicts = {address: verdict}
        try:
            session.claim = gateway.limits.take(
                session.asker, _CONNECT, rule, session.arrived
            )
        except LimitReached as e:
            refusal = limited(session, e.with_traceback(None))
            self._hand(session.decided(self._read(), refusal))
            return
        self._allowed()

    def _lookUp(self, name: str) -> None:
        """Decide about a name when its addresses are known."""
        session = self._session
        found = session.generation.policy.begin(
            session.asker,
            _CONNECT,
            name,
            session.record.port,
            session.arrive,
            self._answered,
        )
        if found is None:
            self._hand(session.judge(self._read()))
        elif isinstance(found, Decision):
            self._decided(found)
        else:
            self._waits, self._awaited = _ANSWER, found

    def _answered(self, decision: Decision) -> None:
        """Go on with what was decided about a name."""
        self._waits = _NOTHING
        try:
            self._decided(decision)
        except Exception as e:
            self._fail(e)

    def _decided(self, decision: Decision) -> None:
        """Write down what was decided, as L{Session.judge} does."""
        session = self._session
        refusal = settled(session, decision)
        if (
            refusal is not None
            or len(decision.verdicts) != 1
            or decision.obligations.leaving is not None
        ):
            self._hand(session.decided(self._read(), refusal))
            return
        self._verdicts = session.verdicts
        self._allowed()

    def _allowed(self) -> None:
        """Have it written that the request is allowed."""
        session, record, gateway = (
            self._session,
            self._session.record,
            self._session.gateway,
        )
        session.decidedAt = gateway.clock()
        session.stage = _AUDIT
        record.verdict = "allow"
        self._waits = _LINE
        gateway.journal.commitFor(
            record.decisionLine(), self, stranger=not record.loggedIn
        )

    def _read(self) -> Requested:
        """Return the request as the conversation reads it."""
        self._pour()
        return self._request

    def _written(self) -> None:
        """Dial the one address that was judged."""
        self.called = True
        self._waits = _NOTHING
        session, record = self._session, self._session.record
        session.written()
        address, claim = record.addresses[0], session.claim
        verdict: Verdict = session.verdicts[address]
        obligations = verdict.obligations
        ways = session.generation.waysOf(record.listener, obligations.leaving)
        if ways.begin is None or claim is None or claim.rule != verdict.rule:
            self._hand(session.route(self._read()))
            return
        self._ways = ways
        self._waits = _SOCKET
        try:
            self._awaited = ways.begin(
                address,
                record.port,
                obligations.connect,
                self._connected,
                self._unreached,
            )
        except BlockingIOError:
            self._hand(session.route(self._read()))
        except SocksError:
            self._waits = _NOTHING
            raise

    def _unreached(self, error: SocksError) -> None:
        """Fail: the destination cannot be reached."""
        self._waits = _NOTHING
        self._fail(error)

    def _connected(self, outlet: Outlet) -> None:
        """Answer, and relay."""
        self._waits = _NOTHING
        session = self._session
        self._outlet = outlet
        try:
            if session.verdicts is self._verdicts:
                self._reached(outlet)
            else:
                reached(session, outlet, self._ways)
            client = session.client
            if client.conversing:
                session.answer(outlet.bound)
            else:
                session.answered()
                self._replied = outlet.bound
                client.send(self._whole.succeeded(*outlet.bound))
            if looks(session):
                self._go(outlet)
            else:
                self._relay(outlet)
        except Exception as e:
            self._fail(e)

    def _reached(self, outlet: Outlet) -> None:
        """
        Take note of the connection, as L{reached} does: nothing has changed since.

        @raise LeadsHere: it leads to this host, which is banned; it is closed.
        """
        session, record = self._session, self._session.record
        address = outlet.address
        record.dialled, record.bound = address, outlet.bound
        session.pending = record.pending
        own = outlet.bound[0]
        if own.packed == address.packed and session.loops(own, address, record.port):
            outlet.loseConnection()
            raise LeadsHere("the destination turned out to be this host")
        self._ways.reached(session.whose, address)
        if session.obligations.leaving is not None:
            introduce(session, outlet)

    def _relay(self, outlet: Outlet) -> None:
        """Move octets."""
        session, client, claim = (
            self._session,
            self._session.client,
            self._session.claim,
        )
        assert claim is not None
        session.found = UNSEEN
        tally = Tally()
        relay = session.generation.relays.join(
            client,
            outlet,
            tally,
            self,
            session.obligations.idle,
            claim.sending,
            claim.receiving,
        )
        if relay is None:
            self._go(outlet)
            return
        session.tally = tally
        session.relaying()
        self._waits = _END
        relay.start(client.surplus())

    def _go(self, outlet: Outlet) -> None:
        """Have the other lane relay."""
        self._outlet = None
        session = self._session
        self._hand(session.relayBy(CONNECT.relay(session, outlet)))

    def _relayed(self, reason: str, reset: bool, resetDestination: bool) -> None:
        """Record the end of the relay."""
        session, outlet = self._session, self._outlet
        tally = session.tally
        assert tally is not None
        assert outlet is not None
        self._waits = _NOTHING
        self._outlet = None
        tally.reason, tally.reset = reason, reset
        self._part(outlet, tally, resetDestination)
        session.relayed(tally)
        session.over()
        del self._session

    def _part(self, outlet: Outlet, tally: Tally, reset: bool) -> None:
        session, record = self._session, self._session.record
        session.generation.relays.joined(session.client, outlet, tally, reset)
        record.sent, record.received = tally.sent, tally.received
