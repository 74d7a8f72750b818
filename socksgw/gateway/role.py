"""
What a gateway is among the processes that serve together.

Most are alone (L{Role}). With C{[gateway] workers} there is one that holds and watches
(the supervisor), and those that serve the clients (the workers).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed

from socksgw.accept.admission import Commons
from socksgw.accept.diverted import DivertedPort, listenForDatagrams
from socksgw.accept.endpoints import listenOnAddress, listenOnEndpoint
from socksgw.accept.unixport import listenOnPath
from socksgw.audit import process
from socksgw.audit.journal import Journal
from socksgw.config.problems import Finding
from socksgw.config.schema import Config
from socksgw.limits.allowance import Bucket
from socksgw.limits.counters import Kept, Key, ProcessCounters
from socksgw.login.ring import Ring
from socksgw.login.throttle import LoginThrottle
from socksgw.metrics.snapshot import Snapshot
from socksgw.negotiate.resumption import Resumptions
from socksgw.route.outward import Last, nowhere
from socksgw.route.upstreams.checks import ALONE, Checks
from socksgw.system.channel import Message
from socksgw.system.domains import Domain

__all__ = ["Role", "WorkerStanding"]


class WorkerStanding(NamedTuple):
    """
    How a worker is doing.

    @ivar number: of the worker.
    @ivar pid: its process; 0 where it has none now.
    @ivar state: C{serves}, C{starts}, C{silent} (it does not answer), C{dead}.
    @ivar seconds: that the process has lasted.
    @ivar sessions: how many it has, not older than a second.
    @ivar deaths: how many processes of this number have died.
    """

    number: int
    pid: int
    state: str
    seconds: float
    sessions: int
    deaths: int


class Role:
    """
    A gateway that is alone.

    @ivar address: listens on one address, as L{listenOnAddress}.
    @ivar endpoint: listens on an endpoint of Twisted's, as L{listenOnEndpoint}.
    @ivar path: listens on a Unix socket, as L{listenOnPath}.
    @ivar datagrams: takes diverted datagrams, as L{listenForDatagrams}.
    @ivar isWhole: whether it does what is done once: the admin interface, the sinks,
        the file of quotas.
    @ivar count: how many processes serve clients.
    @ivar number: of this one among several, from 1; 0: it is not one of several.
    @ivar numbers: the number of the first session, and from each to the next.
    """

    address: Callable[..., Any] = staticmethod(listenOnAddress)
    endpoint: Callable[..., Any] = staticmethod(listenOnEndpoint)
    path: Callable[..., Any] = staticmethod(listenOnPath)
    datagrams: Callable[..., Any] = staticmethod(listenForDatagrams)
    isWhole = True
    count = 1
    number = 0
    numbers = (1, 1)

    # Another process.

    def handlesOf(self, port: Any) -> Sequence[int]:
        """
        Return the descriptors of a port, for another process.

        @return: none, where no other process can go on with it.
        """
        hands = isinstance(port, (tcp.Port, DivertedPort))
        return [port.fileno()] if hands else []

    def given(self, sockets: Sequence[socket.socket]) -> Any:
        """
        Return what a port is opened with that another process has had open.

        @param sockets: those of L{handlesOf} there; none where it was not open.
        """
        return next(iter(sockets), None)

    def prepare(self) -> None:
        """Do what takes long before another process is asked to rest; this waits."""

    def relieve(
        self, throttle: LoginThrottle, resumptions: Resumptions
    ) -> tuple[Message, list[int]]:
        """
        Have those who serve with us be succeeded, too.

        @param throttle: what counts logins here: the other process counts with it.
        @param resumptions: what is known here of logins: the other process knows it.
        @return: what L{succeed} is to be told there; the descriptors are the caller's.
        @raise OSError: there is no descriptor.
        """
        logins = throttle.together().another()
        return {"resumptions": True}, [logins, resumptions.another()]

    def goOn(self) -> None:
        """Go on as before L{relieve}: the other process has not taken over."""

    def succeed(
        self,
        told: Message,
        descriptors: list[int],
        throttle: LoginThrottle,
        resumptions: Resumptions,
    ) -> None:
        """
        Take what L{relieve} has returned in another process, before all else.

        @param descriptors: ours from then on.
        @raise ValueError: it is not right.
        """
        logins, *others = descriptors
        throttle.join(Ring(logins))
        # A gateway of an older release keeps them to itself.
        if told.get("resumptions"):
            resumptions.join(others.pop(0))

    def leave(self) -> Deferred[tuple[int, int]]:
        """
        Have the others end with their last session: another gateway serves.

        @return: fires with how many sessions have moved there by then, and how many are
            left; never fails.
        """
        return succeed((0, 0))

    # The journal.

    def openJournal(self, journal: Journal, lock: int) -> None:
        """
        Open the journal.

        @param lock: as of L{Journal.open}.
        @raise socksgw.audit.journal.JournalError: it cannot be opened.
        """
        journal.open(lock)

    def startLine(self, config: Config) -> str:
        """Return the line of the start with a configuration."""
        return process.startLine(config.gateway.name, config.digest)

    def stopLine(self, gateway: str) -> str:
        """Return the line of the end."""
        return process.stopLine(gateway)

    def counters(self, clock: Callable[[], float]) -> Kept:
        """Return what counts for limits, from monotonic seconds."""
        return ProcessCounters(clock)

    def resumptions(self, clock: Callable[[], float]) -> Resumptions:
        """Return the logins that can be gone on with, from monotonic seconds."""
        return Resumptions(clock)

    def join(self, throttle: LoginThrottle) -> None:
        """Have logins that fail count for all."""

    @property
    def checks(self) -> Checks:
        """Who checks upstreams."""
        return ALONE

    def commons(self, clock: Callable[[], float]) -> Commons | None:
        """Return what counts half-open clients, together with others."""
        return None

    def bucket(self, key: Key, rate: int, now: float) -> Bucket:
        """
        Return the bucket of a key.

        @param rate: octets per second.
        @param now: monotonic seconds.
        """
        return Bucket(rate, now)

    @property
    def sessions(self) -> int:
        """How many sessions the others have."""
        return 0

    @property
    def paused(self) -> float | None:
        """
        For how many seconds no client was accepted in a restart.

        L{None} where no workers have succeeded others: the process before tells then.
        """
        return None

    @property
    def isBusy(self) -> bool:
        """Whether others have to end before."""
        return False

    def standings(self) -> Sequence[WorkerStanding]:
        """Return how each worker is doing; none where the gateway is alone."""
        return ()

    def askAll(self, question: Message) -> Deferred[list[dict[str, Any]]]:
        """
        Ask all who serve with us.

        @return: fires with the answers; whoever has ended has none. It never fails.
        """
        return succeed([])

    def measured(self) -> Deferred[list[Snapshot]]:
        """
        Return the values of all metrics in those who serve with us.

        @return: fires with them, and with what stays counted of those that have ended;
            it never fails.
        """
        return succeed([])

    def destinations(
        self, domain: Domain, client: Any, version: int
    ) -> Deferred[Sequence[Last]]:
        """As L{Elsewhere}: ask the others where a client connected to last."""
        return nowhere(domain, client, version)

    def regranted(self) -> None:
        """Tell the others that grants have changed."""

    def unready(self) -> Sequence[str]:
        """Return why no clients are to be sent here."""
        return ()

    def begun(self) -> Deferred[Sequence[str]] | None:
        """
        Return what fires when clients are served.

        @return: it fires with what is wrong, in lines; L{None}: they are served now.
        """
        return None

    def agree(self, config: Config) -> Deferred[Sequence[Finding]] | None:
        """
        Ask the others whether they can use a configuration.

        @return: fires with what is wrong, and never fails; L{None} where nobody is to
            be asked.
        """
        return None

    def forget(self) -> None:
        """Tell the others that what was agreed on is not used."""

    def use(self) -> Deferred[int] | None:
        """
        Tell the others that it is used by now.

        @return: fires with the number of sessions that they have ended; never fails.
        """
        return None

    def relisten(self) -> None:
        """Tell the others that other ports are open now, or none."""

    def endAll(self) -> None:
        """Tell the others that all sessions are to end at once."""
