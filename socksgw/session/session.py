"""
The life of one session: the only place that knows the order of its stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, Protocol, final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from socksgw.accept.protocol import Inbound
from socksgw.errors import (
    AddressTypeNotSupported,
    AuditFailed,
    AuthenticationFailed,
    ClientLost,
    LeadsHere,
    LimitReached,
    NoAcceptableMethod,
    ProtocolViolated,
    QuotaUsedUp,
    Revoked,
    SocksError,
)
from socksgw.interfaces import Asker, User
from socksgw.negotiate.methods import Attempt, negotiate
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from socksgw.relay.between import Tally
from socksgw.session import case
from socksgw.session.command import Command, Relay
from socksgw.session.commands import commandFor
from socksgw.session.stage import Stage
from socksgw.system.fairly import ASKING
from socksgw.wire.address import Address
from socksgw.wire.codes import Method, Reply
from socksgw.wire.events import Requested
from socksgw.wire.reader import WireError

__all__ = ["Session"]

_log = Logger()

#: Of a session whose address is dialled: its verdict is in the record.
_NONE: Final[Mapping[Address, Verdict]] = {}
#: Under names of the module, as in L{socksgw.wire.server}.
_ACCEPT: Final = Stage.ACCEPT
_NEGOTIATE: Final = Stage.NEGOTIATE
_LOGIN: Final = Stage.LOGIN
_POLICY: Final = Stage.POLICY
_AUDIT: Final = Stage.AUDIT
_ROUTE: Final = Stage.ROUTE
_RELAY: Final = Stage.RELAY
_SUCCEEDED: Final = Reply.SUCCEEDED


class Gateway(case.Gateway, Protocol):
    """What a session needs of the running gateway."""

    @property
    def expiring(self) -> dict[Session, None]:
        """The sessions of users whose login has an end."""

    def recheck(self, session: Session) -> None:
        """
        Judge a session by the rules of now.

        @raise Revoked: it is allowed no longer.
        """

    def left(self, session: Session) -> None:
        """Forget a session that is over."""


def _violation(error: WireError) -> ProtocolViolated:
    if error.reply == Reply.ADDRESS_TYPE_NOT_SUPPORTED:
        return AddressTypeNotSupported(str(error))
    return ProtocolViolated(str(error), error.reply)


@final
class Session(case.Case):
    """
    One client's way through the stages, from its first message to its record.

    @ivar stage: where it is.
    """

    __slots__ = ("_attempt", "_recorded", "stage")

    command: Command
    gateway: Gateway

    def __init__(self, gateway: Gateway, client: Inbound, number: int) -> None:
        super().__init__(gateway, client, number)
        self.stage = _ACCEPT
        self._attempt: Attempt | None = None
        self._recorded = False

    async def serve(self) -> None:
        """
        Lead the client through all stages, and out. Never raises.
        """
        # In the context of this coroutine, which is a copy.
        ASKING.set(self.client.source.sourceKey)
        failure: SocksError | None = None
        try:
            try:
                relay = await self._open()
                if relay is None:
                    self._answered()
                else:
                    self.stage = _RELAY
                    await self._relayed(relay)
            except WireError as e:
                failure = _violation(e)
            except CancelledError:
                failure = self.client.failure or ClientLost()
            except SocksError as e:
                # The client may keep it, and its frames hold the session.
                failure = e.with_traceback(None)
            except Exception:
                _log.failure("a session failed by a defect in socksgw")
                failure = SocksError("internal failure", reason="internal")
            if failure is not None:
                await self._refuse(failure)
        finally:
            if self.flows is not None:
                self.flows.close()
                self.flows = None
            self.gateway.left(self)

    async def _open(self) -> Relay | None:
        """
        Lead the client through all stages up to the reply. What they needed is
        free while the relay lasts, which is much longer.

        @return: what moves octets from then on; L{None} where the reply was all
            there is.
        """
        client, generation, record = self.client, self.generation, self.record
        changes = self.gateway.changes

        self.stage = _NEGOTIATE
        event = await client.next()
        wanted = generation.methods.wanted(record.listener, client.source)
        record.opened(client.conversation.protocol, event, wanted)
        try:
            attempt = self._attempt = await negotiate(
                client, event, wanted, record.chose
            )
            record.method, record.claimed = attempt.method, attempt.claimed
            if attempt.failure is not None:
                raise attempt.failure
        except AuthenticationFailed as e:
            if e.counts:
                generation.login.failed(client.source)
            raise

        self.stage = _LOGIN
        user: User = await generation.login.settle(
            attempt.credentials, attempt.method, client.source
        )
        record.user, record.method = user.name, user.method
        record.loggedIn = not user.anonymous
        await attempt.report(True)
        # What it holds may be a secret.
        self._attempt = None
        request = client.conversation.admit(event)
        if request is None:
            event = await client.next()
            assert isinstance(event, Requested)
            request = event
        client.requested()

        self.stage = _POLICY
        if self.gateway.changes != changes:
            # Since it came: what counts is when it asks.
            changes = self.gateway.changes
            self.generation = self.gateway.generation
            user = self._now(user)
        record.secured, record.groups = client.secured, user.groups
        self.asker = Asker(user, client.source, record.listener, record.secured)
        if user.expires is not None:
            self.gateway.expiring[self] = None
        refusal = await self._decide(request)

        self.stage = _AUDIT
        self._recorded = True
        journal = self.gateway.journal
        if refusal is not None:
            await journal.refusal(record.denial(), record.decisionLine)
            raise refusal
        await journal.commit(record.decisionLine(), stranger=not record.loggedIn)

        if self.gateway.changes != changes:
            # Something changed while a name was looked up, say, or the line written.
            self.gateway.recheck(self)

        self.stage = _ROUTE
        told, relay = await self.command.route(self, request)
        client.reply(_SUCCEEDED, told)
        self.verdicts = _NONE
        return relay

    def _now(self, user: User) -> User:
        """
        Who the user is by now.

        @raise Revoked: nobody.
        """
        found = self.generation.login.now(user)
        if found is None:
            raise Revoked("the user is there no longer")
        return found

    async def _decide(self, request: Requested) -> SocksError | None:
        """
        Ask the policy, and write down what it says.

        @return: what the client is refused with, if it is.
        @raise SocksError: the policy cannot be asked such a thing.
        """
        record = self.record
        record.asked, record.port = request.asked, request.port
        record.command = f"0x{request.command:02x}"
        conversation = self.client.conversation
        tunnels = self.generation.udpOf(record.listener).tunnels
        command = self.command = commandFor(
            conversation.dialect.commands, request.command, tunnels
        )
        record.command, record.protocol = command.name, conversation.protocol
        if isinstance(request.host, str):
            record.name = request.host
        decision = await command.decide(self, request)
        record.decided(decision)
        self.obligations = decision.obligations
        if isinstance(decision.error, LimitReached):
            return self._limited(decision.error)
        if not decision.allowed:
            return decision.error
        self.verdicts = decision.verdicts
        return self._enter(decision)

    def _enter(self, decision: Decision) -> LimitReached | None:
        """
        Take what the session needs of the limits: by the rule of the first address,
        or, where that has no room, by that of the next one.

        @return: why there is none.
        """
        limits, command = self.gateway.limits, self.command.name
        refusal = None
        rules: Iterable[str] = (decision.rule,)
        if len(decision.addresses) > 1:
            rules = dict.fromkeys(self.verdicts[a].rule for a in decision.addresses)
        for rule in rules:
            try:
                self.claim = limits.take(self.asker, command, rule, self._arrived)
            except LimitReached as e:
                # Without this frame, which holds the session, and it.
                refusal = refusal or e.with_traceback(None)
            else:
                return None
        assert refusal is not None
        return self._limited(refusal)

    def _limited(self, error: LimitReached) -> LimitReached:
        self.record.limited(str(error), int(error.reply or 0), error.reason)
        return error

    async def _relayed(self, relay: Relay) -> None:
        """
        Relay to the end, record it, close.
        """
        record, client = self.record, self.client
        tally = self._tally = Tally()
        try:
            await relay(client.surplus(), tally)
        finally:
            record.sent, record.received = tally.sent, tally.received
            record.strangers += tally.strangers
        record.reason = tally.reason
        self.gateway.journal.append(record.endLine(self.gateway.clock()))
        if tally.reset:
            client.abort()
        else:
            client.close(cut=tally.reason == "destination-lost")

    def _answered(self) -> None:
        """
        Record the end of a session whose reply was all there is, and close.
        """
        self.record.reason = "answered"
        self.gateway.journal.append(self.record.endLine(self.gateway.clock()))
        self.client.finish()

    async def _refusal(self, why: str, loginFailed: bool) -> None:
        """
        Record a refusal before any decision.

        @param why: for the operator.
        """
        record, journal = self.record, self.gateway.journal

        def line() -> str:
            return (record.loginFailedLine if loginFailed else record.refusedLine)(why)

        await journal.refusal(record.refusal(), line)

    async def _refuse(self, failure: SocksError) -> None:
        """
        The one way out of a session that did not come to its end: record,
        reply, close.
        """
        client, record = self.client, self.record
        loginFailed = isinstance(failure, AuthenticationFailed)
        denial = client.conversation.dialect.denial
        if loginFailed and denial is not None:
            # No message of a login tells it.
            failure.reply = denial
        replying = failure.reply is not None and client.conversation.replyable
        record.reason = failure.reason
        record.reply = int(failure.reply or 0) if replying else 0
        if isinstance(failure, (Revoked, QuotaUsedUp, LeadsHere)):
            record.ending = str(failure)
        try:
            if not self._recorded:
                self._recorded = True
                await self._refusal(str(failure), loginFailed)
            elif record.allowed and not isinstance(failure, AuditFailed):
                self.gateway.journal.append(record.endLine(self.gateway.clock()))
        except (AuditFailed, CancelledError) as e:
            # Nothing is granted, so the refusal stands without its line (the
            # journal counts it), or without the client that it was for. The
            # frames of its traceback hold all of them.
            e.__traceback__ = None
        attempt = self._attempt
        if loginFailed and attempt is not None and not attempt.told:
            # A method that fails at that has been logged; a client that is
            # gone needs no word.
            with suppress(SocksError, WireError, CancelledError):
                await attempt.report(False)
        elif isinstance(failure, NoAcceptableMethod):
            answer = client.conversation.answerOffer(Method.NO_ACCEPTABLE)
            if answer:
                client.send(answer)
        if failure.reply is not None and replying:
            client.reply(failure.reply)
        if self.stage is _RELAY:
            # Cut off: the client must not take that for the orderly end.
            client.abort()
        else:
            client.finish()
