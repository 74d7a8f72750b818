"""
The life of one session, one stage per line: the only place that knows their
order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from socksgw.audit.record import SessionRecord
from socksgw.errors import (
    AddressTypeNotSupported,
    AuditFailed,
    AuthenticationFailed,
    BadDestination,
    ClientLost,
    CommandNotSupported,
    LimitReached,
    NoAcceptableMethod,
    ProtocolViolated,
    SocksError,
)
from socksgw.negotiate.methods import Attempt, OfferedMethod, negotiate
from socksgw.relay.between import Tally
from socksgw.wire.address import BadHost
from socksgw.wire.codes import SOCKS4, Command, Method, Reply
from socksgw.wire.events import Event, MethodsOffered, Requested
from socksgw.wire.reader import WireError

if TYPE_CHECKING:
    from socksgw.accept.protocol import Inbound
    from socksgw.audit.journal import Journal
    from socksgw.generation import Generation
    from socksgw.interfaces import User
    from socksgw.limits import SessionLimits

__all__ = ["Session", "Stage"]

_log = Logger()


class Service(Protocol):
    """What a session needs of the gateway."""

    @property
    def generation(self) -> Generation: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def limits(self) -> SessionLimits: ...

    @property
    def clock(self) -> Callable[[], float]: ...

    def left(self, session: Session) -> None:
        """The session is over."""


class Stage(Enum):
    """The seven folders, in the order of a session."""

    ACCEPT = "accept"
    NEGOTIATE = "negotiate"
    LOGIN = "login"
    POLICY = "policy"
    ROUTE = "route"
    RELAY = "relay"
    AUDIT = "audit"


#: The commands as the policy names them; of these, what is built.
_COMMANDS: Final[Mapping[int, str]] = {
    Command.CONNECT: "connect",
    Command.BIND: "bind",
    Command.UDP_ASSOCIATE: "udp",
    Command.RESOLVE: "resolve",
    Command.RESOLVE_PTR: "resolve",
}
_BUILT: Final = frozenset({"connect"})


def _violation(error: WireError) -> ProtocolViolated:
    if error.reply == Reply.ADDRESS_TYPE_NOT_SUPPORTED:
        return AddressTypeNotSupported(str(error))
    return ProtocolViolated(str(error), error.reply)


@final
class Session:
    """
    One client, from its first message to its record.

    @ivar client: its connection.
    @ivar stage: where it is.
    @ivar record: its facts.
    @ivar counted: whether it counts against the limits on live sessions.
    """

    __slots__ = (
        "_attempt", "_gateway", "_generation", "_recorded", "client", "counted",
        "record", "stage",
    )  # fmt: skip

    def __init__(self, gateway: Service, client: Inbound, number: int) -> None:
        self._gateway = gateway
        self._generation: Generation = gateway.generation
        self._attempt: Attempt | None = None
        self._recorded = False
        self.counted = False
        self.client = client
        self.stage = Stage.ACCEPT
        self.record = SessionRecord(
            number, client.door.name, client.source, client.port, gateway.clock()
        )

    async def serve(self) -> None:
        """
        Lead the client through all stages, and out. Never raises.
        """
        try:
            try:
                await self._stages()
            except WireError as e:
                raise _violation(e) from None
            except CancelledError:
                raise self.client.failure or ClientLost() from None
        except SocksError as e:
            await self._refuse(e)
        except Exception:
            _log.failure("a session failed by a defect in socksgw")
            await self._refuse(SocksError("internal failure", reason="internal"))
        finally:
            self._gateway.left(self)

    async def _stages(self) -> None:
        client, generation, record = self.client, self._generation, self.record

        self.stage = Stage.NEGOTIATE
        event = await client.next()
        wanted = generation.methods.wanted(record.listener, client.source)
        self._note(event, wanted)
        attempt = await negotiate(client, event, wanted)

        self.stage = Stage.LOGIN
        self._attempt = attempt
        record.method, record.claimed = attempt.method, attempt.claimed
        user = await generation.login.settle(attempt.credentials, attempt.method)
        record.user, record.method = user.name, user.method
        # An outcome is told once, also when that fails.
        self._attempt = None
        await attempt.report(True)
        if not isinstance(event, Requested):
            client.conversation.authenticated()
            event = await client.next()
            assert isinstance(event, Requested)
        client.requested()

        self.stage = Stage.POLICY
        refusal = await self._decide(user, event)

        self.stage = Stage.AUDIT
        await self._record(record.decisionLine())
        if refusal is not None:
            raise refusal

        self.stage = Stage.ROUTE
        outlet = await generation.dialer.open(record.addresses, record.port)
        record.dialled, record.bound = outlet.address, outlet.bound
        client.reply(Reply.SUCCEEDED, outlet.bound)

        self.stage = Stage.RELAY
        tally = Tally()
        try:
            early = client.conversation.surplus()
            await generation.relays.between(client, outlet.socket, early, tally)
        finally:
            record.sent, record.received = tally.sent, tally.received
        record.reason = tally.reason
        self._gateway.journal.append(record.endLine(self._gateway.clock()))
        if tally.reset:
            client.abort()
        else:
            client.close()

    async def _decide(self, user: User, event: Requested) -> SocksError | None:
        """
        Ask the policy, and write down what it says.

        @return: what the client is refused with, if it is.
        @raise SocksError: the policy cannot be asked such a thing.
        """
        record = self.record
        record.asked, record.port = event.asked, event.port
        command = _COMMANDS.get(event.command)
        if command is None or (event.version == SOCKS4 and event.command > 2):
            record.command = f"0x{event.command:02x}"
            raise CommandNotSupported("SOCKS has no such command")
        record.command = command
        host = event.host
        if isinstance(host, BadHost):
            raise BadDestination(host.why)
        if isinstance(host, str):
            record.name = host
            if event.version == SOCKS4:
                record.protocol = "socks4a"
        if command not in _BUILT:
            raise CommandNotSupported(f"{command} is not built yet")
        source, listener = self.client.source, record.listener
        decision = await self._generation.policy.decide(
            user, source, listener, command, host, event.port
        )
        record.decided(decision)
        if not decision.allowed:
            return decision.error
        over = self._gateway.limits.take(listener, source)
        if over is not None:
            record.limited(over)
            return LimitReached(over)
        self.counted = True
        return None

    async def _record(self, line: str) -> None:
        """
        Nothing is dialled, and nothing refused, before its line is in the
        kernel.
        """
        self._recorded = True
        await self._gateway.journal.commit(line)

    def _note(self, event: Event, wanted: tuple[OfferedMethod, ...]) -> None:
        """
        Write down what the client's first message says of it.
        """
        record = self.record
        record.wanted = wanted
        if isinstance(event, MethodsOffered):
            record.protocol = "socks5"
            record.offered = event.methods
        elif isinstance(event, Requested):
            record.protocol = "socks4"
            record.userId = event.userId

    async def _refuse(self, failure: SocksError) -> None:
        """
        The one way out of a session that did not come to its end: record,
        reply, close.
        """
        client, record = self.client, self.record
        replying = failure.reply is not None and client.conversation.replyable
        record.reason = failure.reason
        record.reply = int(failure.reply or 0) if replying else 0
        loginFailed = isinstance(failure, AuthenticationFailed)
        try:
            if not self._recorded:
                await self._record(
                    record.loginFailedLine()
                    if loginFailed
                    else record.refusedLine(str(failure))
                )
            elif record.allowed and not isinstance(failure, AuditFailed):
                self._gateway.journal.append(record.endLine(self._gateway.clock()))
        except (AuditFailed, CancelledError):
            # Nothing is granted, so the refusal stands without its line (the
            # journal counts it), or without the client that it was for.
            pass
        if loginFailed and self._attempt is not None:
            # A method that fails at that has been logged; a client that is
            # gone needs no word.
            with suppress(SocksError, WireError, CancelledError):
                await self._attempt.report(False)
        elif isinstance(failure, NoAcceptableMethod) and record.protocol == "socks5":
            client.send(client.conversation.chooseMethod(Method.NO_ACCEPTABLE))
        elif failure.reply is not None and replying:
            client.reply(failure.reply)
        if self.stage is Stage.RELAY:
            # Cut off: the client must not take that for the orderly end.
            client.abort()
        else:
            client.finish()
