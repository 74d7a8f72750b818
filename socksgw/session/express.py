"""
The express lane: what most sessions are, without a coroutine.

It leads a session through the same stages as L{Session.serve}, by the same steps, and
stands where that one would wait. What the client says is read in
L{socksgw.session.hearing}. As soon as anything else is needed than a client on a plain
socket or in TLS, a method of no or of one message, a login that is remembered, CONNECT
to an address or a name, and a socket that leads there, it hands the session over to the
coroutine, which goes on with the stage that it has reached. So does whatever fails:
there is one way out (L{socksgw.session.refusing}).

L{begin} alone decides which lane a session takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, Protocol, final

from twisted.internet.defer import CancelledError

from socksgw.errors import LeadsHere, LimitReached, NotCounted, SocksError
from socksgw.policy.decision import Decision, Judged, refused
from socksgw.policy.naming import Looking
from socksgw.policy.questions import UNSEEN, Verdict
from socksgw.relay.tally import Tally
from socksgw.route.ways import Dialling, Outlet, Ways
from socksgw.session.command import Relay
from socksgw.session.deciding import limited, settled
from socksgw.session.glance import Glance
from socksgw.session.hearing import NOTHING, Hearing
from socksgw.session.introducing import introduce
from socksgw.session.session import Opening, Session
from socksgw.session.stage import Stage
from socksgw.session.streams import CONNECT, looks, reached
from socksgw.system.coroutines import Running
from socksgw.system.sockets import keepAlive
from socksgw.wire.address import Address, BadHost
from socksgw.wire.whole import Asked

__all__ = ["Express", "Serving", "begin"]

#: Whether there is an express lane; tests have sessions go without.
OPEN = True

#: What the lane waits for besides the client.
_ANSWER, _LINE, _SOCKET, _END, _LOOK = range(NOTHING + 1, NOTHING + 6)
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


def _awake(outlet: Outlet) -> None:
    """Have a destination asked whether it is there, which nobody sees to later."""
    plain = outlet.plain
    if plain is not None:
        keepAlive(plain)


@final
class Express(Hearing):
    """
    One session on the express lane.

    It is what the client, the journal and the relay call while the session waits for
    them, in the place of a C{Deferred}.

    @ivar called: whether the journal need not call any more.
    """

    __slots__ = ("_awaited", "_glance", "_outlet", "_verdicts", "_ways", "called")

    _verdicts: Mapping[Address | str, Verdict]
    _ways: Ways
    _awaited: Dialling | Looking
    _glance: Glance

    def __init__(self, session: Session) -> None:
        Hearing.__init__(self, session)
        self._outlet: Outlet | None = None
        self.called = False

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
        except Exception as e:
            self.fail(e)

    def errback(self, error: Any) -> None:
        """Fail: the line cannot be written."""
        if self._waits is _LINE:
            self.fail(error)

    def cancel(self) -> None:
        """End the session, whose client is gone or has to go."""
        if self.running is not None:
            self.running.cancel()
        elif self._waits is not NOTHING:
            self.fail(CancelledError())

    def fail(self, error: BaseException) -> None:
        """End the session for a failure, as the other lane would."""
        session, outlet = self._session, self._outlet
        if self._waits is _SOCKET or self._waits is _ANSWER:
            self._awaited.cancel()
        elif outlet is not None:
            self._outlet = None
            tally = session.tally
            if self._waits is _LOOK:
                self._glance.end()
                del self._glance
                outlet.abortConnection()
            elif tally is None or tally.relay is None:
                outlet.abortConnection()
            else:
                tally.relay.cancel()
                self._part(outlet, tally, True)
        self._hand(_failing(error))

    def _hand(self, opening: Opening) -> None:
        self.called = True
        super()._hand(opening)

    # The stages behind the request.

    def _requested(self, found: Asked | None = None) -> None:
        """
        Decide, and write that down.

        @param found: the request, where it has been read.
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
        generation, record = session.generation, session.record
        if isinstance(host, BadHost) or self._dialect.commands.get(command) != _CONNECT:
            self._hand(session.judge(self._read()))
            return
        session.command = CONNECT
        record.command = _CONNECT
        record.policy = generation.mark
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
        except NotCounted:
            self._hand(session.judge(self._read()))
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
        self._allow(address, verdict)

    def _allow(self, address: Address, verdict: Verdict) -> None:
        """Take what the session needs, since its one address is allowed."""
        session, record = self._session, self._session.record
        rule = verdict.rule
        record.allowed = True
        record.rule = record.decidedBy = rule
        record.addresses = (address,)
        record.ticket, record.pending = verdict.ticket, verdict.pending
        session.obligations = verdict.obligations
        session.verdicts = self._verdicts = {address: verdict}
        try:
            session.claim = session.gateway.limits.take(
                session.asker, _CONNECT, rule, session.arrived
            )
        except LimitReached as e:
            refusal = limited(session, e.with_traceback(None))
            self._hand(session.decided(self._read(), refusal))
            return
        except NotCounted:
            # The other lane asks the policy anew, and waits.
            self._hand(session.judge(self._read()))
            return
        self._allowed()

    def _lookUp(self, name: str) -> None:
        """Decide about a name when its addresses are known."""
        session = self._session
        found: Judged | Looking | None
        try:
            found = session.generation.policy.begin(
                session.asker,
                _CONNECT,
                name,
                session.record.port,
                session.arrive,
                self._answered,
            )
        except NotCounted:
            found = None
        if found is None:
            self._hand(session.judge(self._read()))
        elif isinstance(found, (tuple, Decision)):
            self._answer(found)
        else:
            self._waits, self._awaited = _ANSWER, found

    def _answered(self, judged: Judged) -> None:
        """Go on with what was decided about a name."""
        self._waits = NOTHING
        try:
            self._answer(judged)
        except Exception as e:
            self.fail(e)

    def _answer(self, judged: Judged) -> None:
        if isinstance(judged, Decision):
            self._decided(judged)
        else:
            address, verdict, self._session.record.waited = judged
            self._allow(address, verdict)

    def _decided(self, decision: Decision) -> None:
        """Write down what was decided, as L{Session.judge} does."""
        session = self._session
        try:
            refusal = settled(session, decision)
        except NotCounted:
            self._hand(session.judge(self._read()))
            return
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

    def _written(self) -> None:
        """Dial the one address that was judged."""
        self.called = True
        self._waits = NOTHING
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
            self._waits = NOTHING
            raise

    def _unreached(self, error: SocksError) -> None:
        """Fail: the destination cannot be reached."""
        self._waits = NOTHING
        self.fail(error)

    def _connected(self, outlet: Outlet) -> None:
        """Answer, and relay."""
        self._waits = NOTHING
        session = self._session
        self._outlet = outlet
        if self._rest:
            # It came with the request, just now.
            self._pour()
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
                client.send(self._dialect.succeeded(*outlet.bound))
            if looks(session):
                self._inspect(outlet)
            else:
                session.found = UNSEEN
                self._relay(outlet)
        except Exception as e:
            self.fail(e)

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

    def _inspect(self, outlet: Outlet) -> None:
        """Look at the first octets, as L{socksgw.session.looking.lookAndRelay} does."""
        session = self._session
        session.relaying()
        session.tally = Tally()
        self._waits = _LOOK
        self._glance = Glance(session, outlet, self)
        self._glance.begin()

    def looked(self, early: bytes) -> None:
        """As L{socksgw.session.glance.Lane.looked}."""
        self._waits = NOTHING
        del self._glance
        outlet = self._outlet
        assert outlet is not None
        self._relay(outlet, early)

    def leave(self, relay: Relay) -> None:
        """As L{socksgw.session.glance.Lane.leave}."""
        # They refer to each other.
        del self._glance
        assert self._outlet is not None
        _awake(self._outlet)
        self._outlet = None
        self._hand(self._session.relayBy(relay))

    def _relay(self, outlet: Outlet, early: bytes | None = None) -> None:
        """
        Move octets.

        @param early: octets that came behind the request, where they are taken.
        """
        session, client, claim = (
            self._session,
            self._session.client,
            self._session.claim,
        )
        assert claim is not None
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
        session.tally = tally
        session.relaying()
        self._waits = _END
        relay.start(client.surplus() if early is None else early)

    def _relayed(self, reason: str, reset: bool, resetDestination: bool) -> None:
        """Record the end of the relay."""
        session, outlet = self._session, self._outlet
        tally = session.tally
        assert tally is not None
        assert outlet is not None
        self._waits = NOTHING
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
