"""
A generation: everything that is built from one configuration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred

from socksgw.accept.asserted import AssertedLayer
from socksgw.audit.process import groupsFailedLine
from socksgw.config.loading import refused
from socksgw.config.schema import (
    Config,
    InspectConfig,
    Listen,
    ListenMulticast,
    ListenUDP,
    ResolverConfig,
    Timeouts,
)
from socksgw.gateway.departures import Departures
from socksgw.gateway.examination import Examination, examining
from socksgw.gateway.sharing import Shared
from socksgw.gateway.upstreams import Upstreams
from socksgw.interfaces import IGroupSource, ILockingStore
from socksgw.login.groups import DirectoryGroups
from socksgw.login.portal import Login
from socksgw.negotiate.methods import Methods
from socksgw.policy.decision import Policy
from socksgw.policy.document import Compiler
from socksgw.policy.leaving import Leaving
from socksgw.policy.rules import Rule
from socksgw.relay.association import Associations
from socksgw.relay.between import Relays
from socksgw.relay.inspection import Inspection
from socksgw.relay.inspectors import Inspectors, findInspectors
from socksgw.relay.membership import GroupSettings
from socksgw.relay.settings import RelaySettings
from socksgw.route.chosen import Chosen
from socksgw.route.dialer import Dialer
from socksgw.route.leaving import Departure
from socksgw.route.outward import Outward
from socksgw.route.resolvconf import HostChoice, readChoice
from socksgw.route.resolver import Resolver, filesOf
from socksgw.route.udpoptions import UDPOptions
from socksgw.route.ways import Direct, Ways
from socksgw.system.domains import HERE, OWN, Domain, Sockets
from socksgw.system.files import supposingTrust, trustNumbers
from socksgw.system.steps import Steps, Work, atOnce, inTurns
from socksgw.system.usage import Holding, shared
from socksgw.wire.address import Address

__all__ = ["Generation"]

#: Most flows of one UDP association.
_FLOWS: Final = 256
#: Where a listener says nothing.
_ANYWHERE: Final = UDPOptions(ListenUDP())
_NO_GROUPS: Final = ListenMulticast()


@final
class Generation:
    """
    What new sessions use, built from one configuration; it does not change.

    @ivar offers: which clients can log in, and how.
    @ivar warnings: the configuration's warnings.
    @ivar exposures: which clients are served without a login, and which
        destinations they reach: one line each.
    @ivar secured: the TLS settings of the listeners that have any, by the
        listener's name.
    @ivar senders: of which addresses a listener believes PROXY headers, by its name.
    @ivar asserted: what takes the word of other gateways, of the listeners that do.
    @ivar mark: which configuration it is, as records name it.
    @ivar upstreams: the hops of the configuration.
    @ivar ruleset: the rules of the configuration, without grants.
    @ivar handsOn: whether one of them is given the passwords of clients.
    """

    def __init__(
        self,
        config: Config,
        base: Shared,
        checkers: Sequence[ICredentialsChecker] | None,
        before: Generation | None,
        found: Examination,
        holding: Holding,
    ) -> None:
        """
        As L{building}.

        @param found: in which nothing is wrong.
        @param holding: has what is shared.
        """
        self._base = base
        self._holding = holding
        self.offers = found.offers
        self.warnings = refused(config, found.warnings).findings()
        self.exposures = found.exposures
        self.secured = found.secured
        self.senders = found.senders
        prefixes = {each.name: each.identity_prefix for each in config.listen}
        self.asserted = {
            name: AssertedLayer(
                keys,
                prefixes[name],
                [key.name for key in found.identities.own.values()],
            )
            for name, keys in found.identities.believed.items()
        }
        timeouts = config.timeouts
        self._trusted = found.trusted
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
        # How long a session that begins now may be in its login or look-up.
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
            issued={name: group.token for name, group in config.groups.items()},
            words=found.ruleset.localWords,
            separator=config.auth.tag_separator,
        )
        self._throttle = config.auth.throttle
        auth = config.auth
        self._checkedBy = (config.directory, auth.checkers, auth.checker, checkers)
        if before is not None and before._checkedBy == self._checkedBy:
            self.login.inherit(before.login)
        self._domains = {
            listen.name: listen.domain for listen in config.listen if listen.domain.name
        }
        self._resolvers = {
            listen.name: self._resolverOf(listen, config)
            for listen in config.listen
            if listen.domain.name
        }
        self.ruleset = found.ruleset
        self.counted = found.counted
        self.policy = Policy(
            found.ruleset,
            self._resolver,
            base.told,
            self._resolvers,
            found.deciders,
            base.meters,
            base.clock,
            base.hosts,
        )
        self._ways = _direct(base, HERE, base.networks.outwardOf(OWN), timeouts)
        networks = base.networks
        there = {
            domain: _direct(
                base, networks.socketsOf(domain), networks.outwardOf(domain), timeouts
            )
            for domain in set(self._domains.values())
        }
        self._waysThere: dict[str, Direct | Chosen] = {
            name: there[each] for name, each in self._domains.items()
        }
        self._departures = Departures(
            networks.socketsOf,
            lambda domain, departure: _direct(
                base,
                networks.socketsOf(domain),
                networks.outwardOf(domain),
                timeouts,
                departure,
            ),
            self.policy.ruleset.never.bansSelf,
            base.append,
        )
        self._listens = {listen.name: listen for listen in config.listen}
        for name, listen in self._listens.items():
            if listen.leave_by or listen.mark:
                self._waysThere[name] = self._departures.ways(listen, None, self._ways)
        self.upstreams = Upstreams(
            config.upstream,
            found.upstreams,
            base.setDeadline,
            timeouts.connect,
            base.clock,
            base.hosts.isListener,
            timeouts.bind,
            self._holding.share,
            base.append,
            found.identities.own,
            base.checks,
        )
        self.handsOn = self.upstreams.handsOn
        self._leaving: dict[tuple[str, Leaving], Ways] = {}
        self._config = config
        self.mark = config.mark
        self._udp = {listen.name: UDPOptions(listen.udp) for listen in config.listen}
        self.associations = Associations(
            base.watch, base.setDeadline, base.clock, timeouts.udp_idle, _FLOWS
        )
        self.groups = GroupSettings(
            base.watch, base.watch.soon, base.setDeadline, timeouts.udp_idle
        )
        self._groups = {listen.name: listen.multicast for listen in config.listen}
        inspect = config.inspect or InspectConfig()
        self.inspection = Inspection(
            Inspectors(findInspectors()[0].values()),
            inspect.octets,
            inspect.timeout,
            config.inspect is not None,
            inspect.mismatch == "cut",
            base.setDeadline,
            base.memory,
        )
        self.relays = Relays(
            RelaySettings(
                base.watch,
                base.setDeadline,
                base.memory,
                base.pipes,
                timeouts.idle,
            )
        )

    @classmethod
    def building(
        cls,
        config: Config,
        base: Shared,
        checkers: Sequence[ICredentialsChecker] | None,
        before: Generation | None = None,
        compiler: Compiler | None = None,
    ) -> Steps[Generation]:
        """
        Build everything, step by step, and start nothing yet.

        The addresses of C{config} have to be supposed meanwhile
        (L{HostAddresses.supposing}).

        @param base: what all generations share.
        @param checkers: used instead of those that C{config} names.
        @param before: the generation in force, which this one may replace.
        @param compiler: a compiler of C{config} that is prepared already.
        @raise ConfigError: something is wrong with the configuration.
        """
        holding = Holding(base.pool)
        try:
            with holding.building(), supposingTrust():
                found = yield from examining(
                    config, base.hosts, base.reactor, checkers, compiler, holding
                )
                if found.errors:
                    raise refused(config, found.errors)
                yield None
                return cls(config, base, checkers, before, found, holding)
        except BaseException:
            holding.release()
            raise

    @classmethod
    def first(
        cls,
        config: Config,
        base: Shared,
        checkers: Sequence[ICredentialsChecker] | None,
    ) -> Generation:
        """Build the first one, all at once, as L{building}."""
        steps = cls.building(config, base, checkers)
        return atOnce(steps, partial(base.hosts.supposing, config))

    def followed(
        self,
        config: Config,
        checkers: Sequence[ICredentialsChecker] | None,
        compiler: Compiler,
        elsewhere: Callable[[Work], Deferred[object]],
        wanted: Callable[[], bool],
    ) -> Deferred[Generation]:
        """
        Build one that may replace this one, in turns with everybody else.

        The parameters are those of L{building} and of L{inTurns}.

        @return: fires with it; fails as these do.
        """
        steps = self.building(config, self._base, checkers, self, compiler)
        supposing = partial(self._base.hosts.supposing, config)
        return Deferred.fromCoroutine(inTurns(steps, elsewhere, wanted, supposing))

    def _directory(
        self,
        config: Config,
        checkers: Sequence[ICredentialsChecker],
        before: Generation | None,
    ) -> DirectoryGroups | None:
        """
        Return what looks up groups in directories; L{None} if no checker can.
        """
        groups = config.groups.items()
        names = {name: g.inDirectory for name, g in groups if g.inDirectory}
        sources = [c for c in checkers if IGroupSource.providedBy(c)]
        locking: list[Any] = [c for c in checkers if ILockingStore.providedBy(c)]
        for each in locking:
            if self.methods.bring(each):
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

    def _resolverOf(self, listen: Listen, config: Config) -> Resolver:
        """Return what looks names up for the clients of a listener elsewhere."""
        base, domain, timeout = self._base, listen.domain, config.timeouts.lookup
        settings = listen.resolver or ResolverConfig(family=config.resolver.family)
        sockets = base.networks.socketsOf(domain)
        files = [file.exists() for file in filesOf(domain) or ()]
        return shared(
            ("resolver", domain, settings, sockets, tuple(files), timeout),
            lambda: Resolver.within(
                base.reactor,
                base.watch,
                domain,
                settings,
                sockets,
                timeout,
                base.setDeadline,
                base.clock,
            ),
            Resolver.stop,
        )

    def domainOf(self, listener: str) -> Domain:
        """Return the routing domain of a listener; C{OWN} for one that is gone."""
        return self._domains.get(listener, OWN)

    def waysOf(self, listener: str, leaving: Leaving | None = None) -> Ways:
        """
        Return the ways by which a listener's clients leave.

        @param leaving: what the rule says of that; L{None} for nothing.
        """
        direct = self._waysThere.get(listener, self._ways)
        if leaving is None:
            return direct
        ways = self._leaving.get((listener, leaving))
        if ways is None:
            listen = self._listens.get(listener) or Listen(listener)
            first = self._departures.ways(listen, leaving, direct, trusted=True)
            ways = direct = self._departures.ways(listen, leaving, direct)
            if leaving.via:
                names = self._resolvers.get(listener, self._resolver)
                domain = self.domainOf(listener)
                ways = self.upstreams.through(
                    listener, domain, first, direct, names, leaving
                )
            self._leaving[listener, leaving] = ways
        return ways

    def namesOf(self, listener: str) -> Callable[[Address, Address], Awaitable[str]]:
        """Return what looks up the names of addresses for a listener's clients."""
        return self._resolvers.get(listener, self._resolver).nameOf

    def grant(self, rules: Sequence[Rule]) -> None:
        """Put the rules of grants, and no others, before the configuration's."""
        self.policy.ruleset = self.ruleset.preceded(rules)

    def apply(self) -> None:
        """Apply the settings that hold for the whole process."""
        self._base.meters.methods |= self.methods.names
        self._base.hosts.apply(self._config)
        trustNumbers(self._trusted)
        self._base.throttle.configure(self._throttle)
        self._base.hosts.advertised = frozenset(
            options.outside for options in self._udp.values() if options.outside
        )

    def udpOf(self, listener: str) -> UDPOptions:
        """
        Return the C{[listen.udp]} of a listener.

        A listener that is removed still has clients; they get the defaults.
        """
        return self._udp.get(listener, _ANYWHERE)

    def groupsOf(self, listener: str) -> ListenMulticast:
        """
        Return the C{[listen.multicast]} of a listener.

        One that is removed serves its clients no groups any more.
        """
        return self._groups.get(listener, _NO_GROUPS)

    def stackOf(self, listener: str) -> Collection[str]:
        """Return what clients of a listener may have of the stacks below."""
        listen = self._listens.get(listener)
        return () if listen is None else listen.stack

    def start(self) -> None:
        """
        Start what sessions need.

        @raise OSError: something cannot be started.
        """
        self._resolver.start()
        for each in self._resolvers.values():
            each.start()
        self.upstreams.start()
        # What is checked has to be known before the first session.
        for rule in self.policy.ruleset.rules:
            leaving = rule.obligations.leaving
            for listen in self._config.listen if leaving is not None else ():
                if rule.listeners is None or listen.name in rule.listeners:
                    self.waysOf(listen.name, leaving)

    def discard(self) -> None:
        """Release what this generation shares: it will not be used."""
        self.stop()
        self._holding.release()

    def stop(self) -> None:
        """Check upstreams no longer; no effect when called again."""
        self.upstreams.stop()

    def retire(self, following: Generation) -> None:
        """
        Give way to another generation.

        Logins and look-ups that are under way finish with this one. TLS
        handshakes that are under way are judged by the other at their end.
        """
        for name, tls in self.secured.items():
            tls.successor = following.secured.get(name)
        # Settings that are in force, unchanged or again, have no successor.
        for tls in following.secured.values():
            tls.successor = None
        self.stop()
        self._base.setDeadline(self._grace, self._holding.release)


def _direct(
    base: Shared,
    sockets: Sockets,
    outward: Outward,
    timeouts: Timeouts,
    departure: Departure | None = None,
) -> Direct:
    """
    Return the ways of one routing domain.

    @param departure: how sessions leave, where that is chosen.
    """
    leaving = sockets if departure is None else departure.sockets
    return Direct(
        Dialer(base.reactor, base.watch, base.setDeadline, timeouts.connect, leaving),
        outward,
        base.watch,
        base.setDeadline,
        timeouts.bind,
        sockets,
        departure,
    )
