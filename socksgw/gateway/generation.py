"""
Everything built from one reading of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker

from socksgw.audit.process import groupsFailedLine
from socksgw.config.loading import refused
from socksgw.config.schema import Config, ListenUDP
from socksgw.gateway.examination import examine
from socksgw.gateway.host import HostAddresses
from socksgw.interfaces import IGroupSource, ILockingStore, SetDeadline
from socksgw.login.groups import DirectoryGroups
from socksgw.login.portal import Login
from socksgw.login.throttle import LoginThrottle
from socksgw.negotiate.methods import Methods
from socksgw.policy.decision import Policy
from socksgw.policy.document import Compiler
from socksgw.policy.told import Told
from socksgw.relay.association import Associations
from socksgw.relay.between import Relays
from socksgw.relay.memory import Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.route.dialer import Dialer
from socksgw.route.outward import Outward
from socksgw.route.resolvconf import HostChoice, readChoice
from socksgw.route.resolver import Resolver
from socksgw.route.udpoptions import UDPOptions
from socksgw.system.files import supposingTrust, trustGroups
from socksgw.system.watch import Watch

__all__ = ["Foundation", "Generation"]

#: Most flows of one UDP association.
_FLOWS: Final = 256
#: Where a listener says nothing.
_ANYWHERE: Final = UDPOptions(ListenUDP())


@final
class Foundation:
    """
    What outlives a generation and is shared by all of them.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Callable[[], float],
        setDeadline: SetDeadline,
        hosts: HostAddresses,
        memory: Memory,
        append: Callable[[str], None],
    ) -> None:
        """
        @param clock: monotonic seconds.
        @param append: adds a line to the journal.
        """
        self.append = append
        self.reactor = reactor
        self.clock = clock
        self.setDeadline = setDeadline
        self.hosts = hosts
        self.memory = memory
        self.pipes = Pipes()
        self.told = Told(clock)
        self.outward = Outward()
        self.watch = Watch(reactor)
        self.throttle = LoginThrottle(clock, reactor.callLater)


@final
class Generation:
    """
    What a new session uses, whole and unchanging.

    @ivar warnings: what is odd in the configuration.
    @ivar exposures: who gets in without login, and to what: a line each.
    @ivar secured: the TLS of the listeners that have it, by name.
    """

    def __init__(
        self,
        config: Config,
        base: Foundation,
        checkers: Sequence[ICredentialsChecker] | None,
        before: Generation | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        """
        @param checkers: used instead of those that C{config} names.
        @param before: the one that it follows.
        @param compiler: of C{config}, one that has done its work already.
        @raise ConfigError: with everything that is wrong.
        """
        with base.hosts.supposing(config), supposingTrust():
            found = examine(config, base.hosts, base.reactor, checkers, compiler)
        if found.errors:
            raise refused(config, found.errors)
        self.warnings = refused(config, found.warnings).findings()
        self.exposures = found.exposures
        self.secured = found.secured
        timeouts = config.timeouts
        self._base = base
        self._trusted = config.gateway.trusted_groups
        choice = HostChoice() if config.resolver.servers else readChoice()
        self._asks = (config.resolver, choice, timeouts.lookup)
        self._ownsResolver = before is None or before._asks != self._asks
        if before is None or before._asks != self._asks:
            self._resolver = Resolver.of(
                base.reactor,
                base.watch,
                config.resolver,
                choice,
                timeouts.lookup,
                base.setDeadline,
                base.clock,
            )
        else:
            self._resolver = before._resolver
        self.methods = Methods(found.choices)
        members = {name: group.members for name, group in config.groups.items()}
        self.login = Login(
            found.checkers,
            members,
            config.auth.cache,
            base.clock,
            throttle=base.throttle,
            directory=self._directory(config, found.checkers, before),
            others=self.methods.authenticators,
        )
        self._throttle = config.auth.throttle
        auth = config.auth
        self._checkedBy = (config.directory, auth.checkers, auth.checker, checkers)
        if before is not None and before._checkedBy == self._checkedBy:
            self.login.inherit(before.login)
        self.policy = Policy(found.ruleset, self._resolver, base.told)
        self.dialer = Dialer(
            base.reactor, base.watch, base.setDeadline, timeouts.connect
        )
        self.outward = base.outward
        self.watch = base.watch
        self.setDeadline = base.setDeadline
        self.bindTimeout = timeouts.bind
        self._udp = {listen.name: UDPOptions(listen.udp) for listen in config.listen}
        self.nameOf = self._resolver.nameOf
        self.associations = Associations(
            base.watch, base.setDeadline, base.clock, timeouts.udp_idle, _FLOWS
        )
        self.relays = Relays(
            RelaySettings(
                base.reactor,
                base.watch,
                base.setDeadline,
                base.memory,
                base.pipes,
                timeouts.idle,
            )
        )

    def _directory(
        self,
        config: Config,
        checkers: Sequence[ICredentialsChecker],
        before: Generation | None,
    ) -> DirectoryGroups | None:
        """
        Who asks directories for groups, and whether there still are users.
        """
        names = {name: g.directory for name, g in config.groups.items() if g.directory}
        sources = [c for c in checkers if IGroupSource.providedBy(c)]
        locking: list[Any] = [c for c in checkers if ILockingStore.providedBy(c)]
        for each in locking:
            each.tries(config.auth.throttle.per_user)
        if not sources:
            return None
        append = self._base.append
        directory = DirectoryGroups(
            sources,
            names,
            config.auth.groups_refresh,
            config.auth.groups_hold,
            config.timeouts.handshake / 2,
            self._base.clock,
            self._base.setDeadline,
            lambda *failed: append(groupsFailedLine(*failed)),
        )
        if before is not None and before.login.directory is not None:
            directory.follow(before.login.directory)
        return directory

    def apply(self) -> None:
        """It is the one in force."""
        # What is wrong with them has been told.
        trustGroups(self._trusted)
        self._base.throttle.configure(self._throttle)
        self._base.hosts.advertised = frozenset(
            options.outside for options in self._udp.values() if options.outside
        )

    def udpOf(self, listener: str) -> UDPOptions:
        """
        Return the C{[listen.udp]} of a listener, which may be gone and still have
        clients.
        """
        return self._udp.get(listener, _ANYWHERE)

    def start(self) -> None:
        """Sessions may come."""
        if self._ownsResolver:
            self._resolver.start()

    def discard(self) -> None:
        """It does not come into force after all."""
        if self._ownsResolver:
            self._resolver.stop()

    def retire(self, following: Generation) -> None:
        """
        Another one follows; sessions of this one live on, and their look-ups;
        handshakes of this one are judged by the other when they are done.
        """
        for name, tls in self.secured.items():
            tls.successor = following.secured.get(name)
        if following._resolver is not self._resolver:
            self._base.setDeadline(2 * self._asks[2], self._resolver.stop)

    def stop(self) -> None:
        """No session uses this any more."""
        self._resolver.stop()
