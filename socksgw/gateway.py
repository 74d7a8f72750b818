"""
The running service: its generation, its listeners, its live sessions.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.accept.admission import Census, raiseDescriptorLimit
from socksgw.accept.endpoints import (
    isMissingFamily,
    listenOnAddress,
    listenOnEndpoint,
    remedyFor,
)
from socksgw.accept.listener import Listener
from socksgw.accept.protocol import Inbound
from socksgw.audit import record
from socksgw.audit.journal import Journal, JournalError
from socksgw.config import Config, Listen
from socksgw.deadlines import Deadlines
from socksgw.errors import Draining
from socksgw.generation import Foundation, Generation
from socksgw.hosts import HostAddresses
from socksgw.limits import Limits
from socksgw.relay.memory import Memory
from socksgw.session import Session

__all__ = ["CannotStart", "Gateway", "SocksFactory"]

_log = Logger()

#: Seconds that listeners rest when the system, rather than our own count,
#: says that there are no descriptors.
_REST: Final = 0.5


class CannotStart(Exception):
    """
    The gateway cannot start; the text is for the operator, a line a cause.
    """


@final
class Gateway:
    """
    Everything that runs: one for each process.

    @ivar config: what it was built from.
    @ivar generation: what a new session uses.
    @ivar sessions: the live sessions by number.
    @ivar census: how many clients, pauses and refusals there are.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        *,
        checkers: Sequence[ICredentialsChecker] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        @param checkers: used instead of those that C{config} names.
        @param clock: monotonic seconds.
        @raise socksgw.config.ConfigError: with everything that is wrong,
            also when the configuration would make an open relay.
        """
        self.config = config
        self.clock = clock
        self._reactor = reactor
        self.deadlines = Deadlines(clock)
        self.setDeadline = self.deadlines.set
        self.census = Census(raiseDescriptorLimit())
        self.census.pause = self._pause
        self.census.resume = self._resume
        self._hosts = HostAddresses(self.bound)
        self._ports: list[Any] = []
        self._base = Foundation(
            reactor, clock, self.setDeadline, self._hosts, Memory(config.relay.memory)
        )
        self.generation = Generation(config, self._base, checkers)
        self.limits = Limits(config.limit)
        self.stateDir = config.directory / config.gateway.state_dir
        self.journal = Journal(
            self.stateDir / config.audit.journal, config.audit, reactor
        )
        self.listeners = {
            listen.name: self._listener(listen) for listen in config.listen
        }
        self.sessions: dict[int, Session] = {}
        self._number = 0
        self._running = False
        self._stopping: Deferred[None] | None = None
        self._closing = False
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor
        self._ticks = 0

    def _listener(self, listen: Listen) -> Listener:
        return Listener(
            self,
            listen.name,
            listen.protocols,
            listen.half_open,
            listen.half_open_per_source,
            self.config.timeouts.handshake,
        )

    # Starting.

    def listen(self) -> list[str]:
        """
        Listen everywhere the configuration says.

        @return: what was left out and why, a line each.
        @raise CannotStart: some listener cannot be had.
        """
        skipped = []
        for listen in self.config.listen:
            listener = self.listeners[listen.name]
            for address in listen.address:
                try:
                    port = listenOnAddress(
                        self._reactor,
                        address,
                        listener,
                        self._exhausted,
                        self._base.watch,
                    )
                except (CannotListenError, OSError) as e:
                    line = remedyFor(address, e)
                    if self.config.file or not isMissingFamily(address, e):
                        raise CannotStart(line) from None
                    skipped.append(f"left out: {line}")
                else:
                    self._ports.append(port)
            if listen.endpoint:
                self._listenOn(listen.endpoint, listener)
        return skipped

    def _listenOn(self, endpoint: str, listener: Listener) -> None:
        failures: list[str] = []

        def failed(failure: Failure) -> None:
            failures.append(remedyFor(endpoint, failure.value))

        try:
            listening = listenOnEndpoint(self._reactor, endpoint, listener)
        except ValueError as e:
            raise CannotStart(f"endpoint {endpoint}: {e}") from None
        listening.addCallbacks(self._ports.append, failed)
        if failures:
            raise CannotStart(failures[0])

    def start(self) -> None:
        """
        Open the journal; sessions may come. Without effect when started.

        @raise CannotStart: the journal cannot be opened.
        """
        if self._running:
            return
        try:
            self.journal.open()
        except JournalError as e:
            raise CannotStart(str(e)) from None
        self._running = True
        self.generation.start()
        self._base.watch.start()
        self._ticking.start(Deadlines.TICK, now=False)
        self.journal.append(record.startLine(self.config.gateway.name))

    def _tick(self) -> None:
        self.deadlines.scan()
        self._ticks += 1
        if self._ticks % 40 == 0:
            try:
                self._hosts.refresh()
            except OSError:
                # Out of descriptors, say: what is known stays.
                pass

    def bound(self) -> list[tuple[str, int]]:
        """Where we listen: addresses and ports."""
        bound = []
        for port in self._ports:
            host: Any = port.getHost()
            if hasattr(host, "host"):
                bound.append((host.host, host.port))
        return bound

    # Sessions.

    def serve(self, client: Inbound) -> Deferred[None]:
        """
        Start the session of a client that has said something.
        """
        self._number += 1
        session = Session(self, client, self._number)
        self.sessions[self._number] = session
        return Deferred.fromCoroutine(session.serve())

    def left(self, session: Session) -> None:
        """
        A session is over.
        """
        del self.sessions[session.record.session]
        if session.counted:
            self.limits.give(session.asker, session.counted)
        self.settled()

    # Descriptors.

    def _pause(self) -> None:
        for port in self._ports:
            port.stopReading()

    def _resume(self) -> None:
        for port in self._ports:
            port.startReading()

    def _exhausted(self) -> None:
        """accept(2) had no descriptor to give."""
        self.census.exhausted()
        self.setDeadline(_REST, self.census.recovered)

    # Stopping.

    def stop(self) -> Deferred[None]:
        """
        Stop accepting, let the sessions end until C{timeouts.drain}, end
        those that are left, and close the journal. A second SIGTERM or
        SIGINT ends them at once.

        @return: fires when everything is recorded and closed.
        """
        if self._stopping is not None:
            return self._stopping
        stopping: Deferred[None] = Deferred()
        self._stopping = stopping
        for port in self._ports:
            maybeDeferred(port.stopListening)
        self._ports.clear()
        if not self._running:
            stopping.callback(None)
            return stopping
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._endAll))
        self.setDeadline(self.config.timeouts.drain, self._endAll)
        self.settled()
        return stopping

    def settled(self) -> None:
        """
        A client or session went; when stopping, were they the last?
        """
        if self._stopping is None or self._closing or self.sessions:
            return
        if not any(listener.clients for listener in self.listeners.values()):
            self._closing = True
            self._reactor.callLater(0, self._close)

    def _endAll(self) -> None:
        for listener in self.listeners.values():
            for client in list(listener.clients):
                client.end(Draining("the gateway is stopping"))

    def _close(self) -> None:
        self.journal.append(record.stopLine(self.config.gateway.name))
        self._ticking.stop()
        self._base.watch.stop()
        self._base.pipes.close()
        self.generation.stop()
        assert self._stopping is not None
        self.journal.close().chainDeferred(self._stopping)


@final
class SocksFactory(Factory):
    """
    A factory for any Twisted endpoint: C{endpoint.listen(SocksFactory(gateway))}.

    The gateway is started with it. Stop it with L{Gateway.stop}.
    """

    noisy = False

    def __init__(self, gateway: Gateway, listener: str | None = None) -> None:
        """
        @param listener: the C{[[listen]]} whose protocols, limits and name
            apply; by default the first.
        @raise KeyError: there is no such listener.
        """
        self._gateway = gateway
        name = listener or next(iter(gateway.listeners))
        self._listener = gateway.listeners[name]

    def startFactory(self) -> None:
        """
        The endpoint listens.
        """
        self._gateway.start()

    def buildProtocol(self, addr: IAddress | None) -> Inbound | None:
        """
        One client's protocol, or L{None} when there is no room.
        """
        client = self._listener.buildProtocol(addr)
        if client is not None:
            # The endpoint is not ours: who knows what its sockets are set to.
            client.inherited = False
        return client
