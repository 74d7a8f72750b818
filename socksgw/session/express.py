"""
The express lane: what most sessions are, without a coroutine.

It leads a session through the same stages as L{Session.serve}, by the same steps, and
stands where that one would wait. As soon as anything else is needed than a client on a
plain socket, a method of no or of one message, a login that is remembered, CONNECT to
an address or a name, and a socket that leads there, it hands the session over to the coroutine,
which goes on with the stage that it has reached. So does whatever fails: there is one
way out (L{socksgw.session.refusing}).

L{begin} alone decides which lane a session takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, Protocol, cast, final

from twisted.cred.credentials import Anonymous
from twisted.internet.defer import CancelledError

from socksgw.errors import LeadsHere, LimitReached, SocksError
from socksgw.interfaces import User
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.exchange import Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.negotiation import certain
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
from socksgw.wire.events import Decoded, Event, Requested

__all__ = ["Express", "Serving", "begin"]

#: Whether there is an express lane; tests have sessions go without.
OPEN = True

#: What the lane waits for.
_GREETING, _PASSWORD, _REQUEST, _ANSWER, _LINE, _SOCKET, _END, _NOTHING = range(8)
_NEGOTIATE: Final = Stage.NEGOTIATE
_LOGIN: Final = Stage.LOGIN
_AUDIT: Final = Stage.AUDIT
_CONNECT: Final = CONNECT.name


class Serving(Protocol):
    """A session that is served."""

    def cancel(self) -> None:
        """End it."""


def begin(session: Session) -> Serving:
    """
    Serve a session, by the lane that is right for it.
    """
    if not OPEN or not session.client.first:
        return Running(session.serve())
    session.stage = _NEGOTIATE
    lane = Express(session)
    lane.callback(None)
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

    @ivar called: whether the journal need not call any more.
    @ivar running: the coroutine that the session was handed over to.
    """

    __slots__ = (
        "_awaited", "_event", "_method", "_outlet", "_request", "_session", "_user",
        "_verdicts", "_waits", "_ways", "called", "running",
    )  # fmt: skip

    _event: Event
    _method: OfferedMethod
    _user: User
    _request: Requested
    _verdicts: Mapping[Address | str, Verdict]
    _ways: Ways
    _awaited: Dialling | Looking

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits = _GREETING
        self._outlet: Outlet | None = None
        self.called = False
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
            elif waits is not _NOTHING:
                event = self._session.client.poll(self)
                if event is None:
                    return
                if waits is _GREETING:
                    self._greeted(event)
                elif waits is _PASSWORD:
                    self._told(*cast(Decoded, event).message)
                else:
                    self._requested(cast(Requested, event))
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
        self.called = True
        session = self._session
        # Its client may keep this.
        del self._session
        self.running = Running(session.serve(opening))

    # The stages.

    def _greeted(self, event: Event) -> None:
        """Choose a method, as L{socksgw.negotiate.negotiation.negotiate} does."""
        session = self._session
        client, conversation = session.client, session.client.conversation
        dialect = conversation.dialect
        found = None
        if not dialect.challenging:
            found = certain(dialect.offered(event), session.greeted(event))
        if found is None:
            self._hand(session.open(event))
            return
        method, code = found
        kind = type(method.authenticator)
        if kind is not NoAuthentication and kind is not UsernamePassword:
            self._hand(session.open(event))
            return
        session.record.chosen = method.name
        answer = conversation.answerOffer(code)
        if answer:
            client.send(answer)
        self._event, self._method = event, method
        if kind is UsernamePassword:
            self._waits = _PASSWORD
            conversation.expect(userpass.readRequest, userpass.REQUEST_LIMIT)
            self.callback(None)
            return
        user = session.generation.login.anybody(method.name)
        if user is None:
            self._hand(session.tried(self._attempt(Anonymous())))
            return
        session.record.user, session.record.method = user.name, user.method
        self._welcome(user)

    def _attempt(self, credentials: Any) -> Attempt:
        method, exchange = self._method, Exchange(self._session.client)
        authenticator = method.authenticator
        return Attempt(method.name, authenticator, exchange, credentials, self._event)

    def _told(self, name: bytes, password: bytes) -> None:
        """Let a client in whose password is remembered."""
        session = self._session
        client, generation, method = session.client, session.generation, self._method
        began = session.gateway.clock()
        user = None
        if not generation.handsOn:
            user = generation.login.known(name, password, method.name, client.source)
        if user is None:
            self._hand(session.tried(self._attempt(Credentials(name, password))))
            return
        session.record.claimed = name
        session.loggedIn(user, began)
        client.send(userpass.encodeStatus(0))
        self._welcome(user)

    def _welcome(self, user: User) -> None:
        """Await the request, if it is not here."""
        session = self._session
        session.stage = _LOGIN
        self._user = user
        self._waits = _REQUEST
        request = session.client.conversation.admit(self._event)
        if request is not None:
            self._requested(request)
        else:
            self.callback(None)

    def _requested(self, request: Requested) -> None:
        """Decide, and write that down."""
        session, user = self._session, self._user
        session.requested(user)
        gateway, generation, record = (
            session.gateway,
            session.generation,
            session.record,
        )
        conversation, host = session.client.conversation, request.host
        if (
            isinstance(host, BadHost)
            or conversation.dialect.commands.get(request.command) != _CONNECT
        ):
            self._hand(session.judge(request))
            return
        session.command = CONNECT
        record.command, record.protocol = _CONNECT, conversation.protocol
        record.asked, record.port = request.asked, request.port
        if isinstance(host, str):
            record.name = host
        session.remain(generation)
        self._request = request
        try:
            found = generation.policy.atOnce(
                session.asker, _CONNECT, host, request.port, session.arrive
            )
        except LimitReached as e:
            self._decided(refused(e.with_traceback(None)))
            return
        if found is None and isinstance(host, str):
            self._lookUp(host)
            return
        if found is None or found[1].obligations.leaving is not None:
            self._hand(session.judge(request))
            return
        address, verdict = found
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
            self._hand(session.decided(request, refusal))
            return
        self._allowed()

    def _lookUp(self, name: str) -> None:
        """Decide about a name when its addresses are known."""
        session, request = self._session, self._request
        found = session.generation.policy.begin(
            session.asker, _CONNECT, name, request.port, session.arrive, self._answered
        )
        if found is None:
            self._hand(session.judge(request))
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
            self._hand(session.decided(self._request, refusal))
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
            self._hand(session.route(self._request))
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
            self._hand(session.route(self._request))
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
            session.answer(outlet.bound)
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
