"""
Everything built from one reading of the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker

from socksgw.audit.process import groupsFailedLine
from socksgw.config.loading import refused
from socksgw.config.schema import Config, ListenUDP
from socksgw.gateway.examination import examine
from socksgw.gateway.sharing import Shared
from socksgw.interfaces import IGroupSource, ILockingStore
from socksgw.login.groups import DirectoryGroups
from socksgw.login.portal import Login
from socksgw.negotiate.methods import Methods
from socksgw.policy.decision import Policy
from socksgw.policy.document import Compiler
from socksgw.relay.association import Associations
from socksgw.relay.between import Relays
from socksgw.relay.settings import RelaySettings
from socksgw.route.dialer import Dialer
from socksgw.route.resolvconf import HostChoice, readChoice
from socksgw.route.resolver import Resolver
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.ways import Direct
from socksgw.system.files import supposingTrust, trustGroups
from socksgw.system.usage import Holding, shared

__all__ = ["Generation"]

#: Most flows of one UDP association.
_FLOWS: Final = 256
#: Where a listener says nothing.
_ANYWHERE: Final = UDPOptions(ListenUDP())


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
        base: Shared,
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
        self._base = base
        self._holding = Holding(base.pool)
        try:
            with self._holding.building():
                self._build(config, checkers, before, compiler)
        except BaseException:
            self._holding.release()
            raise

    def _build(
        self,
        config: Config,
        checkers: Sequence[ICredentialsChecker] | None,
        before: Generation | None,
        compiler: Compiler | None,
    ) -> None:
        base = self._base
        with base.hosts.supposing(config), supposingTrust():
            found = examine(
                config, base.hosts, base.reactor, checkers, compiler, self._holding
            )
        if found.errors:
            raise refused(config, found.errors)
        self.warnings = refused(config, found.warnings).findings()
        self.exposures = found.exposures
        self.secured = found.secured
        timeouts = config.timeouts
        self._trusted = config.gateway.trusted_groups
        choice = HostChoice() if config.resolver.servers else readChoice()
        self._resolver = shared(
            ("resolver", config.resolver, choice, timeouts.lookup),
            lambda: Resolver.of(
                base.reactor,
                base.watch,
                config.resolver,
                choice,
                timeouts.lookup,
                base.setDeadline,
                base.clock,
            ),
            Resolver.stop,
        )
        # A session that begins now may log in, and look a name up, until then.
        self._grace = 2 * (timeouts.handshake + timeouts.lookup)
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
        self.ways = Direct(
            Dialer(base.reactor, base.watch, base.setDeadline, timeouts.connect),
            base.outward,
            base.watch,
            base.setDeadline,
            timeouts.bind,
        )
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
        """
        Be ready for sessions.

        @raise OSError: it cannot be.
        """
        self._resolver.start()

    def discard(self) -> None:
        """Let go of everything: it does not come into force after all."""
        self._holding.release()

    def retire(self, following: Generation) -> None:
        """
        Give way to another one. Sessions of this one live on, and what they are
        in the middle of is done here; handshakes of this one are judged by the
        other when they are done.
        """
        for name, tls in self.secured.items():
            tls.successor = following.secured.get(name)
        # One that stays, or has come back, has none.
        for tls in following.secured.values():
            tls.successor = None
        self._base.setDeadline(self._grace, self._holding.release)
