"""
The running service: its generation, its listeners, its live sessions.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from socksgw.accept.admission import Census, raiseDescriptorLimit
from socksgw.accept.inbound import Inbound
from socksgw.audit.journal import Elsewhere
from socksgw.config.schema import Config
from socksgw.gateway.awake import Awake
from socksgw.gateway.checkpoints import SignedJournal
from socksgw.gateway.cluster import clusterOf
from socksgw.gateway.drain import Drain
from socksgw.gateway.generation import Generation
from socksgw.gateway.grants import Grants
from socksgw.gateway.host import HostAddresses, Place
from socksgw.gateway.listeners import Listeners
from socksgw.gateway.pacports import PacPorts
from socksgw.gateway.parts import Part, Parts
from socksgw.gateway.pauses import Pauses
from socksgw.gateway.places import Keeper
from socksgw.gateway.rates import Rates
from socksgw.gateway.relief import Predecessor, Relief
from socksgw.gateway.reload import STOPPING, Answer, Reload
from socksgw.gateway.remains import Remains
from socksgw.gateway.revocation import Revocation
from socksgw.gateway.role import Role
from socksgw.gateway.rounds import Rounds
from socksgw.gateway.sessions import Sessions
from socksgw.gateway.sharing import Shared
from socksgw.gateway.sinks import Sinks
from socksgw.gateway.starting import CannotStart
from socksgw.gateway.state import State
from socksgw.limits.allowance import Allowances
from socksgw.limits.limits import Limits
from socksgw.metrics.facts import factsOf
from socksgw.policy.document import Compiler
from socksgw.relay.memory import Memory
from socksgw.relay.tally import MOVED
from socksgw.route.udpoptions import portShares
from socksgw.route.upstreams.standing import Standing
from socksgw.session.express import Serving, begin
from socksgw.session.moving import resume
from socksgw.session.session import Session
from socksgw.system.deadlines import Deadlines
from socksgw.system.domains import Domain
from socksgw.system.threads import inPool

__all__ = ["Gateway"]

_log = Logger()

T = TypeVar("T")


@final
class Gateway:
    """
    The running service; a process has one.

    @ivar config: the configuration in force.
    @ivar generation: what was built from it, for new sessions.
    @ivar sessions: the table of live sessions.
    @ivar expiring: the sessions whose login has an end.
    @ivar census: counts clients, pauses and refused connections.
    @ivar listeners: the listeners by name; one that is closed stays while it has
        clients.
    @ivar sinks: what follows the journal.
    @ivar failed: called with a line of text when the gateway cannot go on; the
        program that sets it should end the process.
    @ivar began: when it was built, in monotonic seconds.
    @ivar rates: how much happens at a time.
    @ivar grants: what was allowed for a while, beside the rules.
    @ivar memory: counts the octets that wait for slow readers.
    @ivar meters: what sessions count.
    @ivar resumptions: the logins that later requests go on with.
    @ivar throttle: what counts logins that fail.
    @ivar descriptors: how many the process may have.
    @ivar reloads: reads the configuration again.
    @ivar since: when the configuration in force was read, in seconds since the epoch.
    @ivar running: whether it has started.
    @ivar drained: whether no clients are accepted for now (L{drain}).
    @ivar stopping: whether L{stop} has been called.
    @ivar relief: how another process takes over.
    @ivar role: what it is among processes that serve together.
    @ivar hosts: this host's addresses.
    @ivar remains: frees what was read, and is not used any more.
    @ivar pools: returns what each pool of threads does (L{Shared.threads}).
    @ivar recheck: judges a session again, by the rules that are in force now
        (L{Revocation.check}).
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        *,
        checkers: Sequence[ICredentialsChecker] | None = None,
        reread: Callable[[], Config] | None = None,
        clock: Callable[[], float] = time.monotonic,
        role: Role | None = None,
    ) -> None:
        """
        Build everything, and open nothing yet.

        @param checkers: used instead of those that C{config} names.
        @param reread: reads the configuration again, for L{reload}.
        @param clock: returns monotonic seconds.
        @param role: what it is among processes that serve together; by default it
            is alone.
        @raise socksgw.config.ConfigError: something is wrong with the
            configuration, or it would be an open relay.
        """
        self.config = config
        self.clock = clock
        self.role = role = role or Role()
        self.began = clock()
        self._reactor = reactor
        self.deadlines = Deadlines(clock)
        self.setDeadline = self.deadlines.set
        self.descriptors = raiseDescriptorLimit()
        self.census = Census(self.descriptors)
        self.census.commons = role.commons(clock)
        self.hosts = HostAddresses(self.placed)
        self.memory = Memory(config.relay.memory)
        self._shared = Shared(
            reactor,
            clock,
            self.setDeadline,
            self.hosts,
            self.memory,
            lambda line: self.journal.append(line),
            config.directory / config.gateway.netns_dir,
            role.destinations,
        )
        self.meters = self._shared.meters
        self.resumptions = role.resumptions(clock)
        self._over = self.meters.over.append
        self.pools = self._shared.threads
        self.throttle = self._shared.throttle
        role.join(self.throttle)
        self._shared.checks = role.checks
        self._checkers = checkers
        self.since = time.time()
        self.generation = Generation.first(config, self._shared, checkers)
        self.generation.apply()
        self.cluster = clusterOf(config, reactor, self.throttle, self._usedUp)
        self._counters = self.cluster.counters if self.cluster else role.counters(clock)
        self._allowances = Allowances(reactor, clock, role.bucket)
        self.limits = Limits(self._counters, self._allowances)
        self._limit(config)
        self.watch = self._shared.watch
        self._state = State(config, self._counters, reactor, self.watch.soon, role)
        self.journal = self._state.journal
        self.networks = self._shared.networks
        self._listeners = Listeners(
            self,
            reactor,
            self.watch,
            self.exhausted,
            self.hosts,
            self.networks.socketsOf,
            role,
        )
        self._parts = Parts()
        if self.cluster is not None:
            self.adjoin(self.cluster)
        self.grants = Grants(self, self._state.directory)
        self.sinks = Sinks(self, reactor)
        if role.isWhole:
            self.adjoin(PacPorts(self, reactor))
        else:
            self.grants.follow()
        self.adjoin(self.grants)
        if role.isWhole:
            self.adjoin(SignedJournal(self), self.sinks)
        self._pauses = Pauses(self.census, self._listeners, clock, self.setDeadline)
        self.listeners = self._listeners.byName
        self._prepare(config, self.generation)
        self.reloads = Reload(self, reread)
        self.changes = 0
        self._revocation = Revocation(self, later=partial(reactor.callLater, 0))
        self.recheck = self._revocation.check
        self.sessions = Sessions(*role.numbers)
        self.expiring = self.sessions.expiring
        self.rates = Rates(self.sessions, self.meters, clock)
        self.remains = Remains(self)
        self.adjoin(self.rates, Awake(self.sessions, clock), self.remains)
        self.running = False
        predecessors: dict[Predecessor, None] = {}
        self._drain = Drain(
            reactor,
            self.sessions,
            self.listeners,
            self.setDeadline,
            self._close,
            predecessors.__len__,
            role,
        )
        self.relief = Relief(
            self.census,
            self.listeners,
            self._listeners,
            self._state,
            self._counters,
            self.meters,
            self.sessions,
            self.grants,
            self._parts,
            self._drain,
            self.setDeadline,
            predecessors,
        )
        self.drained = self.stopping = False
        self._rounds = Rounds(
            self,
            reactor,
            self._parts,
            self._revocation,
            self._state,
            self._counters,
            self._allowances,
            self._reopen,
        )
        self.failed: Callable[[str], None] = lambda line: _log.critical(
            "{line}", line=line
        )

    # Starting.

    def adjoin(self, *parts: Part) -> None:
        """
        Add parts, which are told of the gateway's life from then on.

        Parts are added before L{listen}.
        """
        for part in parts:
            self._parts.adjoin(part)

    def listen(self) -> list[str]:
        """
        Open all listeners of the configuration.

        @return: a line for each address that was left out, with the reason.
        @raise CannotStart: a listener cannot be opened, or its device or network
            namespace is not there.
        """
        self.networks.adopt(self.networks.prepare(self.config))
        self._parts.change(self.config, self.config)
        return self._listeners.open(self.config.listen, lenient=not self.config.file)

    def start(self) -> None:
        """
        Open the journal and begin to serve; no effect when called again.

        @raise CannotStart: the journal cannot be opened, or the file of quotas
            cannot be read.
        """
        if self.running:
            return
        self._state.open()
        self.journal.append(self.role.startLine(self.config))
        self._begin()

    def _begin(self) -> None:
        """Begin to serve: the journal is open."""
        self.running = True
        self.generation.start()
        self._shared.start()
        self._rounds.start()
        self._parts.start()
        self._rounds.look()

    def _usedUp(self) -> None:
        self.limits.usedUp = True

    def bound(self) -> list[tuple[str, int]]:
        """Return the addresses and ports of the open listeners."""
        return [(host, port) for host, port, _ in self.placed()]

    def ports(self) -> list[tuple[tuple[str, ...], Any]]:
        """Return the open ports, each with what tells its place."""
        return list(self._listeners.ports())

    def give(self, sockets: Mapping[tuple[str, ...], Sequence[socket.socket]]) -> None:
        """
        Have sockets that listen already used by what is opened from now on.

        Those that were given before, and are not used, are closed.

        @param sockets: by what tells their places (L{ports}).
        """
        self._listeners.dropGiven()
        self._listeners.give(sockets)

    def keptBy(self, keeper: Keeper) -> None:
        """Have the sockets of listeners kept for the next process."""
        self._listeners.keeper = keeper

    def places(self) -> list[tuple[str, ...]]:
        """Return what tells each place of the configuration, as L{ports} does."""
        return self._listeners.places(self.config.listen)

    def placed(self) -> list[Place]:
        """Return the same with the networks that these are in."""
        return list(self._listeners.bound())

    def _reopen(self, domain: Domain) -> bool:
        """
        Open the listeners of a domain anew.

        @return: whether all are open, or are not to be.
        """
        if self.stopping or self.drained or not self.role.isWhole:
            return True
        failed = self._listeners.reopen(domain)
        self.role.relisten()
        for line in failed:
            _log.error("{line}", line=line)
        self._pauses.join()
        return not failed

    # Changing.

    def reload(self) -> Deferred[Answer]:
        """
        Read the configuration again, and use it if nothing is wrong with it.

        New sessions use it from then on, and live sessions that it does not
        allow are ended. If anything is wrong, or the gateway is stopping, nothing
        changes.

        @return: fires with the result; never fails.
        """
        return succeed(STOPPING) if self.stopping else self.reloads.ask()

    def compiler(self, config: Config) -> Compiler:
        """
        Return a compiler for a configuration's policy.
        """
        return Compiler(config, self.hosts)

    def elsewhere(self, work: Callable[[], T]) -> Deferred[T]:
        """
        Do work in a thread.

        @return: fires with its result, in the reactor's thread.
        """
        pool = self._reactor.getThreadPool()
        return inPool(self._reactor, pool, work)

    def build(self, config: Config, compiler: Compiler) -> Deferred[Generation]:
        """
        Build a generation from a configuration, in turns with everybody else.

        @param compiler: a prepared compiler of C{config}.
        @return: fires with it; fails with L{ConfigError} when something is wrong with
            the configuration, and with L{Unwanted} when the gateway stops.
        """
        return self.generation.followed(
            config, self._checkers, compiler, self.elsewhere, lambda: not self.stopping
        )

    def change(self, config: Config, generation: Generation) -> Deferred[int]:
        """
        Replace the configuration in force.

        @return: fires when all sessions were judged again, with the number of those
            that were ended because it does not allow them.
        @raise CannotStart: a listener cannot be opened. After this or any other
            exception the old configuration is in force, unchanged.
        """
        changed = False
        # Steps that can fail come before the first that cannot be undone.
        try:
            generation.start()
            self._prepare(config, generation)
            self._parts.change(config, self.config)
            changed = True
            if self.drained:
                # New ones stay closed, and clients still make no further requests.
                self._listeners.close()
            else:
                self._listeners.change(config.listen)
        except BaseException:
            if changed:
                with suppress(CannotStart):
                    self._parts.change(self.config, self.config)
            self._prepare(self.config, self.generation)
            generation.discard()
            raise
        self._pauses.join()
        self.config = config
        self.since = time.time()
        self.generation.retire(generation)
        self.generation = generation
        self.grants.adopt()
        generation.apply()
        self._limit(config)
        self.journal.apply(config.audit)
        for each in list(self.relief.predecessors):
            each.reload()
        return self._revocation.changed()

    def _limit(self, config: Config) -> None:
        self.limits.apply(
            config.limit,
            config.rule,
            config.gateway.enforce == "all",
            ports=portShares(config.listen),
            parts=1 if self.cluster is None else len(self.cluster.counters.members.all),
            some=self.generation.counted,
        )

    def _prepare(self, config: Config, generation: Generation) -> None:
        self._listeners.prepare(config, generation)

    def regranted(self, ended: Sequence[str]) -> None:
        """
        Judge by other grants from now on.

        @param ended: the rules of those that are over; sessions that live by them end.
        """
        self._revocation.regranted(ended)
        self.role.regranted()

    @property
    def upstreams(self) -> list[tuple[Domain, Standing]]:
        """What is known of each upstream in use, and the network that it is used from."""
        return self.generation.upstreams.standings

    # Sessions.

    def serve(self, client: Inbound) -> Serving:
        """Start the session of a client that has sent its first octets."""
        return begin(self.sessions.begin(Session, self, client))

    def left(self, session: Session) -> None:
        """Remove a session that is over, and give back what it counted for."""
        self.sessions.end(session)
        claim, session.claim = session.claim, None
        if session.record.reason == MOVED:
            self.relief.moved(claim)
        else:
            self._over(factsOf(session.record))
            if claim is not None:
                self.limits.give(claim)
        self.settled()

    # Listeners.

    def exhausted(self) -> None:
        """
        Pause accepting, after descriptors or memory were short for a client.
        """
        self._pauses.exhausted()

    def lost(self, name: str) -> None:
        """
        Report a listener that was lost without being closed.

        The process ends then: it would look healthy, and serve nobody there.
        """
        if not self.stopping:
            self.failed(f'the listener "{name}" was lost and cannot be kept: ending')

    # Another process.

    def handOver(self, elsewhere: Elsewhere | None) -> Deferred[None]:
        """As L{Relief.handOver}."""
        self.drained = True
        return self.relief.handOver(elsewhere)

    def takeOver(self) -> None:
        """Begin to serve in place of another process, after L{Relief.inherit}."""
        self._begin()

    def arrived(self, session: Session) -> None:
        """Have a session go on that another process had, if it is allowed here."""
        resume(session)
        self._revocation.judge(session)

    # Stopping.

    def drain(self) -> None:
        """
        Accept no clients until L{undrain}; those that are connected go on.

        The process goes on, too, also when the last session is over.
        """
        if not self.drained and not self.stopping:
            self.drained = True
            self._listeners.close()
            self.role.relisten()

    def undrain(self) -> None:
        """
        Accept clients again, after L{drain}.

        @raise CannotStart: a listener cannot be opened. None is, then.
        """
        if not self.drained or self.stopping:
            return
        self._prepare(self.config, self.generation)
        try:
            self._listeners.open(self.config.listen, lenient=not self.config.file)
        except BaseException:
            self._listeners.close()
            raise
        self.drained = False
        self._pauses.join()
        self.role.relisten()

    def stop(self) -> Deferred[None]:
        """
        Stop accepting, let the sessions end, and close the journal.

        Sessions that are left after C{timeouts.drain}, or at a second SIGTERM or
        SIGINT, are ended.

        @return: fires when everything is recorded and closed.
        """
        if not self.stopping:
            self.stopping = True
            self._listeners.close(last=True)
            self._parts.draining()
            seconds = float(self.config.timeouts.drain)
            for each in list(self.relief.predecessors):
                each.stop(seconds)
            if self.running:
                self._drain.begin(seconds)
        return self._drain.over or succeed(None)

    def endAll(self) -> None:
        """End all sessions at once, after L{stop}."""
        self._drain.endAll()

    def settled(self) -> None:
        """
        Finish stopping, if the client or session that has gone was the last.
        """
        if self._drain.over is not None:
            self._drain.settled()

    def _close(self) -> Deferred[None]:
        # This writes the last sums of refusals, before the line that ends all.
        self.journal.look()
        if not self.relief.done:
            self.journal.append(self.role.stopLine(self.config.gateway.name))
        self._rounds.stop()
        self._allowances.stop()
        self._counters.release()
        self.generation.stop()
        self._shared.close()
        # A part may follow the journal to its end.
        return self._state.close().addBoth(self._closeParts)

    def _closeParts(self, result: Any) -> Deferred[Any]:
        return self._parts.close().addCallback(lambda _: result)
