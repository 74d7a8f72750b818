"""
The look at what a session on the express lane carries, without a coroutine.

Most clients say with their first octets what it is. Those are looked at here, by the
steps of L{socksgw.session.looking}, to which all else is left.
"""

from __future__ import annotations

from typing import Any, Protocol, final

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.interfaces import Finding, Timer
from socksgw.policy.questions import Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.inspection import atOnce
from socksgw.relay.tally import Tally
from socksgw.route.ways import Outlet
from socksgw.session.command import Relay
from socksgw.session.looking import (
    idleOf,
    judge,
    judgeAtOnce,
    judgeOpen,
    keep,
    lookAndRelay,
    lost,
    relayOn,
)
from socksgw.session.session import Session

__all__ = ["Glance"]


class Lane(Protocol):
    """The lane of the session."""

    def looked(self, early: bytes) -> None:
        """
        Relay: the session may go on.

        @param early: octets of the client that have been read.
        """

    def fail(self, error: BaseException) -> None:
        """End the session."""

    def leave(self, relay: Relay) -> None:
        """Have the other lane go on with what moves octets."""


@final
class _Far:
    """Hears of the destination while the client's first octets are waited for."""

    __slots__ = ("glance",)

    def __init__(self, glance: Glance) -> None:
        #: L{None} when it is over.
        self.glance: Glance | None = glance

    def dataReceived(self, data: bytes | memoryview) -> None:
        if self.glance is not None:
            self.glance.look(late=bytes(data))

    def readConnectionLost(self) -> None:
        if self.glance is not None:
            self.glance.look(ended=True)

    def departed(self) -> None:
        """Do nothing: the same is told when what waits has been read."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: a plain socket has no rules to break."""

    def connectionLost(self, reason: Failure) -> None:
        if self.glance is not None:
            done = reason.check(ConnectionDone)
            self.glance.lose("closed" if done else "destination-lost")


@final
class Glance:
    """
    The look at one session.

    It is the receiver of the client's octets, and what the journal calls.

    @ivar called: whether the journal need not call any more.
    """

    __slots__ = (
        "_deadline", "_early", "_far", "_lane", "_outlet", "_reason", "_ruleset",
        "_session", "_verdict", "called",
    )  # fmt: skip

    _deadline: Timer
    _ruleset: Ruleset
    _verdict: Verdict

    def __init__(self, session: Session, outlet: Outlet, lane: Lane) -> None:
        self._session = session
        self._outlet = outlet
        self._lane = lane
        self._far = _Far(self)
        self.called = False
        # What is being judged; and why the destination was lost meanwhile.
        self._early = b""
        self._reason = ""

    def begin(self) -> None:
        """Begin: the request is answered."""
        session, client = self._session, self._session.client
        self._deadline = session.generation.inspection.setDeadline(
            idleOf(session), self._idled
        )
        early = client.surplus()
        if early:
            self.dataReceived(early)
        elif client.ended:
            self.look()
        else:
            self._outlet.take(self._far)
            client.take(self)

    def end(self) -> None:
        """Look no more: the session is over, or leaves the lane."""
        self.called = True
        self._far.glance = None
        self._deadline.clear()
        client, early = self._session.client, self._early
        client.take(None)
        if early:
            self._early = b""
            self._session.generation.inspection.memory.give(len(early))

    # The client.

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Look at the client's first octets."""
        session = self._session
        octets = bytes(data)
        settings = session.generation.inspection
        finding = atOnce(settings.inspectors.ofClient[octets[0]], octets)
        if finding is None:
            self.look(octets)
            return
        try:
            self._seen(finding, octets)
        except Exception as e:
            self._lane.fail(e)

    def readConnectionLost(self) -> None:
        """Take note that the client has said nothing, and will not."""
        self.look()

    def departed(self) -> None:
        """Do nothing: the relay will read it."""

    def violated(self, failure: SocksError) -> None:
        """Do nothing: the session hears of it."""

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the session hears of it."""

    # Judging.

    def _seen(self, finding: Finding, octets: bytes) -> None:
        """
        Judge the session by what it carries.

        @raise SocksError: it is not allowed.
        """
        session = self._session
        keep(session, finding)
        if not session.pending:
            judgeOpen(session)
            self._go(octets)
            return
        session.generation.inspection.memory.take(len(octets))
        self._early = octets
        self._deadline.clear()
        # Until it is judged.
        session.client.connection.pauseProducing()
        self._outlet.pauseProducing()
        ruleset = session.generation.policy.ruleset
        verdict = judgeAtOnce(session, ruleset)
        if verdict is None:
            self._leave(self._judging)
            return
        self._ruleset, self._verdict = ruleset, verdict
        line = session.record.inspectedLine(True, verdict.rule, "", verdict.ticket)
        session.gateway.journal.commitFor(line, self)

    def callback(self, result: object) -> None:
        """Go on: the line is written."""
        session = self._session
        try:
            if session.generation.policy.ruleset is self._ruleset:
                session.livesBy(self._verdict)
            session.pending = False
            if self._reason:
                self._leave(self._losing)
            else:
                self._go(self._early)
        except Exception as e:
            self._lane.fail(e)

    def errback(self, error: Any) -> None:
        """Fail: the line cannot be written."""
        self._lane.fail(error)

    def _go(self, octets: bytes) -> None:
        """Relay."""
        lane = self._lane
        self.end()
        lane.looked(octets)

    # The other lane.

    def look(self, early: bytes = b"", late: bytes = b"", ended: bool = False) -> None:
        """
        Have the other lane look.

        @param early: octets of the client.
        @param late: octets of the destination.
        @param ended: whether the destination has ended its side.
        """
        session, outlet = self._session, self._outlet
        self.end()

        async def relay(_: bytes, tally: Tally) -> None:
            await lookAndRelay(session, outlet, early, tally, late, ended)

        self._lane.leave(relay)

    def lose(self, reason: str) -> None:
        """Take note that the destination is lost."""
        self._reason = reason
        if not self._early:
            self._leave(self._losing)

    def _idled(self) -> None:
        self.lose("idle")

    def _leave(self, relay: Relay) -> None:
        self.called = True
        self._lane.leave(relay)

    async def _judging(self, _: bytes, tally: Tally) -> None:
        """Judge the session, and relay."""
        session, outlet = self._session, self._outlet
        try:
            await judge(session)
        except BaseException:
            self.end()
            outlet.abortConnection()
            raise
        if self._reason:
            await self._losing(b"", tally)
        else:
            early = self._early
            self.end()
            await relayOn(session, outlet, early, tally)

    async def _losing(self, _: bytes, tally: Tally) -> None:
        """End the session, whose destination is lost."""
        self.end()
        lost(self._outlet, tally, self._reason)
