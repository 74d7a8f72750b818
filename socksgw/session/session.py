"""
The life of one session: the only place that knows the order of its stages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from socksgw.accept.inbound import Inbound
from socksgw.errors import (
    AddressTypeNotSupported,
    AuthenticationFailed,
    ClientLost,
    ProtocolViolated,
    Revoked,
    SocksError,
)
from socksgw.interfaces import Asker, User
from socksgw.login.credentials import shownIn
from socksgw.negotiate.attempt import Attempt
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.negotiation import lead, negotiate
from socksgw.negotiate.resumption import Resumptions
from socksgw.policy.questions import Verdict
from socksgw.relay.tally import MOVED, Tally
from socksgw.session import case
from socksgw.session.command import Command, Relay
from socksgw.session.deciding import decide
from socksgw.session.refusing import refuse
from socksgw.session.resuming import begun, ended, resumed
from socksgw.session.stage import Stage
from socksgw.system.fairly import ASKING
from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.dialect import Login
from socksgw.wire.events import Event, Requested
from socksgw.wire.levels import factOf
from socksgw.wire.reader import WireError

__all__ = ["Opening", "Session"]

_log = Logger()

#: Leads a session through the stages up to its last reply.
Opening = Coroutine[Deferred[Any], Any, Relay | None]

#: Of a session whose address is dialled: its verdict is in the record.
_NONE: Final[Mapping[Address | str, Verdict]] = {}
#: Under names of the module, as in L{socksgw.wire.server}.
_ACCEPT: Final = Stage.ACCEPT
_NEGOTIATE: Final = Stage.NEGOTIATE
_LOGIN: Final = Stage.LOGIN
_POLICY: Final = Stage.POLICY
_AUDIT: Final = Stage.AUDIT
_ROUTE: Final = Stage.ROUTE
_RELAY: Final = Stage.RELAY
_SUCCEEDED: Final = Reply.SUCCEEDED
_NO_AUTHENTICATION: Final = int(Method.NO_AUTHENTICATION)


class Gateway(case.Gateway, Protocol):
    """What a session needs of the running gateway."""

    @property
    def expiring(self) -> dict[Session, None]:
        """The sessions of users whose login has an end."""

    @property
    def resumptions(self) -> Resumptions:
        """The logins that can be gone on with."""

    def recheck(self, session: Session) -> None:
        """
        Judge a session by the rules of now.

        @raise Revoked: it is allowed no longer.
        """

    def left(self, session: Session) -> None:
        """Forget a session that is over."""


def _violation(error: WireError) -> ProtocolViolated:
    """Return the failure of a session whose client broke the protocol."""
    if error.reply == Reply.ADDRESS_TYPE_NOT_SUPPORTED:
        return AddressTypeNotSupported(str(error))
    return ProtocolViolated(str(error), error.reply, error.reason or None)


@final
class Session(case.Case):
    """
    One client's way through the stages, from its first message to its record.

    @ivar stage: the stage that it is in.
    @ivar decidedAt: when its request was decided, in monotonic seconds; 0 before.
    """

    __slots__ = ("_attempt", "_changes", "_further", "_requested", "decidedAt", "stage")

    command: Command
    gateway: Gateway

    def __init__(self, gateway: Gateway, client: Inbound, number: int) -> None:
        case.Case.__init__(self, gateway, client, number)
        self.stage = _ACCEPT
        self._attempt: Attempt | None = None
        # What had changed when the rules were read that it is judged by.
        self._changes = gateway.changes
        # When the request came, and was decided.
        self._requested = self.decidedAt = 0.0
        # What came behind the request, where the client may make another one.
        self._further: bytes | None = None

    async def serve(self, opening: Opening | None = None) -> None:
        """
        Lead the client through all stages, record the end, and close.

        It never raises: what fails is recorded, and told to the client.

        @param opening: leads through the stages that are left, as L{open}, where some
            are behind it already.
        """
        # The context is the coroutine's own, a copy.
        ASKING.set(self.client.source.sourceKey)
        failure: SocksError | None = None
        try:
            try:
                await self._relayed(await (opening or self.open()))
            except WireError as e:
                failure = _violation(e)
            except CancelledError:
                failure = self.client.failure or ClientLost()
            except SocksError as e:
                # The client may keep the exception, whose frames hold the session.
                failure = e.with_traceback(None)
            except Exception:
                _log.failure("a session failed by a defect in socksgw")
                failure = SocksError("internal failure", reason="internal")
            if failure is not None:
                self.shown = None
                await refuse(self, failure, self._attempt)
                if self.stage is _RELAY or self.client.conversation.dialect.silent:
                    # Cut off: the client must not take that for the orderly end
                    # of what it speaks with its destination.
                    self.client.abort()
                elif self.client.conversation.goesOn:
                    self._further = b""
                else:
                    # It may be sending what belongs to the request.
                    asking = self.client.conversation.asking
                    self.client.finish(patient=asking is not None)
        finally:
            self.over()
        if self._further is not None:
            self.client.again(self._further)

    def over(self) -> None:
        """Let go of what the session has, which is over."""
        if self.flows is not None:
            self.flows.close()
            self.flows = None
        if self._used:
            self.leave()
        self.gateway.left(self)

    # Each of these leads through all stages that are left, up to the last reply. Their
    # frames are free while the relay lasts, which is much longer. They return what
    # moves octets from then on; None where the reply was all there is. They raise
    # SocksError where the client is refused, or something failed; WireError where it
    # broke the protocol.

    async def open(self, event: Event | None = None) -> Relay | None:
        """
        Begin.

        @param event: the client's first message, where it has been read already.
        """
        client, record = self.client, self.record
        self.stage = _NEGOTIATE
        if event is None:
            event = await client.next()
        wanted = self.greeted(event)
        login = client.conversation.login
        if login is not None:
            ended(self, self.gateway, login)
            if login.resumes is not None:
                return await self._resumed(event, login, wanted)
        return await self._led(negotiate(client, event, wanted, record.chose))

    async def chosen(self, event: Event, method: OfferedMethod) -> Relay | None:
        """
        Go on with the method that has been chosen.

        @param event: the client's first message, which has been answered.
        """
        return await self._led(lead(self.client, event, method, self.record.chose))

    async def _led(self, negotiation: Awaitable[Attempt]) -> Relay | None:
        try:
            attempt = await negotiation
        except AuthenticationFailed as e:
            self._failedAt(e)
            raise
        return await self.tried(attempt)

    async def tried(self, attempt: Attempt) -> Relay | None:
        """Go on with the login that the client tries."""
        self.attempted(attempt)
        return await self.logIn(attempt)

    def greeted(
        self, event: Event, wanted: Sequence[OfferedMethod] | None = None
    ) -> Sequence[OfferedMethod]:
        """
        Write down the client's first message.

        @param wanted: what is returned, where that is known already.
        @return: the methods that it may log in by.
        """
        client, record = self.client, self.record
        if wanted is None:
            wanted = self.generation.methods.wanted(record.listener, client.source)
        conversation = client.conversation
        record.opened(conversation.protocol, event, wanted)
        if conversation.login is not None:
            record.offered = b"".join(conversation.login.offers)
        if client.program is not None:
            record.runBy(client.program)
        return wanted

    def attempted(self, attempt: Attempt) -> None:
        """
        Write down the login that the client tries.

        @raise AuthenticationFailed: its method, or how its name is tagged, does not
            let it in.
        """
        client, record = self.client, self.record
        self._attempt = attempt
        record.method, record.claimed = attempt.method, attempt.claimed
        try:
            if attempt.failure is not None:
                raise attempt.failure
            if client.program is not None:
                # Of a client on TCP the method may have asked for it.
                record.runBy(client.program)
            tag = self.generation.login.tagIn(attempt.credentials)
            if tag:
                record.tag, record.claimed = tag, attempt.claimed
        except AuthenticationFailed as e:
            self._failedAt(e)
            raise

    def _failedAt(self, error: AuthenticationFailed) -> None:
        """Count a login that a method has refused by itself."""
        if error.counts:
            self.generation.login.failed(self.client.source)

    async def logIn(self, attempt: Attempt) -> Relay | None:
        """Check the credentials, and go on with the request."""
        client, generation, clock = self.client, self.generation, self.gateway.clock
        self.stage = _LOGIN
        if generation.handsOn:
            # The login makes the credentials forget it.
            self.shown = shownIn(attempt.credentials)
        began = clock()
        user: User = await generation.login.settle(
            attempt.credentials, attempt.method, client.source
        )
        self.loggedIn(user, began)
        await attempt.report(True)
        if attempt.holds:
            client.proved = attempt.method, attempt.credentials
        self.welcomed()
        request = client.conversation.admit(attempt.event)
        if request is None:
            return await self.awaiting(user)
        login = client.conversation.login
        if login is not None:
            begun(self, self.gateway, login, user)
        return await self._entered(request, user)

    async def _resumed(
        self, event: Event, login: Login, wanted: Sequence[OfferedMethod]
    ) -> Relay | None:
        """Go on with a login that an earlier request has made."""
        client = self.client
        self.stage = _LOGIN
        began = self.gateway.clock()
        user = await resumed(self, self.gateway, login, wanted)
        client.conversation.chooseMethod(_NO_AUTHENTICATION)
        self.loggedIn(user, began)
        request = client.conversation.admit(event)
        assert request is not None
        return await self._entered(request, user)

    async def _entered(self, request: Requested, user: User) -> Relay | None:
        """Tell a client that it is let in, and go on with its request."""
        welcome = self.client.conversation.welcome()
        if welcome:
            self.client.send(welcome)
        self.requested(user)
        return await self.judge(request)

    async def awaiting(self, user: User) -> Relay | None:
        """Read the request of a client that has been let in, and go on."""
        request = await self.client.next()
        assert isinstance(request, Requested)
        self.requested(user)
        return await self.judge(request)

    def loggedIn(self, user: User, began: float) -> None:
        """
        Write down who the client is.

        @param began: when its credentials were looked at first.
        """
        record = self.record
        self.stage = _LOGIN
        record.user, record.method = user.name, user.method
        if not user.anonymous:
            record.loggedIn = True
            record.loginTook = self.gateway.clock() - began

    def welcomed(self) -> None:
        """Take note that the client has been told that it is let in."""
        # The credentials may be a secret.
        self._attempt = None

    def requested(self, user: User) -> None:
        """
        Take note of who makes the request, which is here now.

        @raise Revoked: there is no such user any more.
        """
        gateway, client, record = self.gateway, self.client, self.record
        clock = gateway.clock
        self._requested = clock()
        client.requested()
        self.stage = _POLICY
        if gateway.changes != self._changes:
            # The configuration, or who may log in, has changed since the client
            # connected: the request is judged by what holds now.
            self._changes = gateway.changes
            self.generation = gateway.generation
            user = self._now(user)
        record.secured = factOf(client.secured, client.ipsec > 0)
        record.groups = user.groups
        self.asker = Asker(
            user, client.source, record.listener, record.secured, record.tag
        )
        if user.expires is not None:
            gateway.expiring[self] = None

    async def judge(self, request: Requested) -> Relay | None:
        """Ask the policy about the request, and go on."""
        return await self.decided(request, await decide(self, request))

    async def decided(
        self, request: Requested, refusal: SocksError | None
    ) -> Relay | None:
        """
        Write down what was decided, and go on.

        @param refusal: as of L{decide}.
        """
        gateway, record = self.gateway, self.record
        if refusal is not None:
            self.stage = _AUDIT
            record.verdict = "deny"
            record.times = self.client.came, self._requested, gateway.clock(), 0.0
            await gateway.journal.refusal(record.denial(), record.decisionLine)
            raise refusal
        line = self.allowed()
        await gateway.journal.commit(line, stranger=not record.loggedIn)
        self.written()
        return await self.route(request)

    def allowed(self) -> str:
        """
        Take note that the request is allowed.

        @return: the line that is to be written before anything else.
        """
        self.decidedAt = self.gateway.clock()
        self.stage = _AUDIT
        self.record.verdict = "allow"
        return self.record.decisionLine()

    def written(self) -> None:
        """
        Take note that the decision is in the journal.

        @raise Revoked: the request is not allowed any more.
        """
        gateway, record = self.gateway, self.record
        record.times = (
            self.client.came,
            self._requested,
            self.decidedAt,
            gateway.clock(),
        )
        if gateway.changes != self._changes:
            # It has changed again, while a name was looked up or the line written.
            gateway.recheck(self)
        self.stage = _ROUTE

    async def route(self, request: Requested) -> Relay | None:
        """Open what is allowed, and answer."""
        told, relay = await self.command.route(self, request)
        self.answer(told)
        if relay is not None:
            self.relaying()
        return relay

    def answer(self, told: tuple[Address | str, int] | None) -> None:
        """
        Answer the request: the destination is reached.

        @param told: as of L{Routed}.
        """
        self.answered()
        if told is None:
            self.client.conversation.passed()
        else:
            self.client.reply(_SUCCEEDED, told)

    def answered(self) -> None:
        """Take note that the destination is reached; the client is told at once."""
        self.record.reachedAt = self.gateway.clock()
        self.shown = None

    def relaying(self) -> None:
        """Take note that octets are moved from now on."""
        self.stage = _RELAY
        self.verdicts = _NONE

    async def relayBy(self, relay: Relay) -> Relay:
        """Go on with what moves octets: the request is answered."""
        self.relaying()
        return relay

    def _now(self, user: User) -> User:
        """
        Return the user as its store has it now.

        @raise Revoked: there is no such user any more.
        """
        login = self.generation.login
        found = login.now(user)
        if found is None:
            raise Revoked(login.gone(user))
        return found

    async def _relayed(self, relay: Relay | None) -> None:
        """
        Relay to the end, record it, close.

        @param relay: as L{open} returns it.
        """
        record, client = self.record, self.client
        if relay is None:
            self._answered()
            return
        tally = self.tally = Tally()
        over = relay(client.surplus(), tally)
        # It is of no use while its relay lasts.
        del relay
        try:
            await over
        finally:
            record.sent, record.received = tally.sent, tally.received
            record.strangers += tally.strangers
        self.relayed(tally)

    def relayed(self, tally: Tally) -> None:
        """
        Record the end of a relay, and close the client's connection.

        @param tally: what it moved, and how it ended.
        """
        record, client = self.record, self.client
        record.reason = tally.reason
        if tally.reason == MOVED:
            client.close()
            return
        self.gateway.journal.append(record.endLine(self.gateway.clock()))
        if tally.further is not None:
            self._further = tally.further
        elif tally.lingering:
            client.finish(patient=True)
        elif tally.reset:
            client.abort()
        else:
            client.close(cut=tally.reason != "closed")

    def _answered(self) -> None:
        """
        Record the end of a session whose reply was all there is, and close.
        """
        self.record.reason = "answered"
        self.gateway.journal.append(self.record.endLine(self.gateway.clock()))
        self.client.finish()
