"""
The upstreams of one generation, and the ways that lead through them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import SystemRandom
from typing import Final, Protocol, TypeVar, final

from socksgw.audit.process import upstreamLine
from socksgw.client.socks6 import Socks6Proxy
from socksgw.config.schema import Upstream
from socksgw.config.upstreamurl import parsePlace
from socksgw.gateway.upstreamclients import UpstreamClient
from socksgw.interfaces import Asker, SetDeadline
from socksgw.login.realm import ANYBODY
from socksgw.policy.leaving import DIRECT, Leaving
from socksgw.route.chosen import Chosen
from socksgw.route.upstreams.asserting import Asserting
from socksgw.route.upstreams.balance import BALANCES
from socksgw.route.upstreams.chain import chained
from socksgw.route.upstreams.checks import ALONE, Check, Checked, Checks, Prober
from socksgw.route.upstreams.ground import Connect, Ground, Straight
from socksgw.route.upstreams.health import Health
from socksgw.route.upstreams.hop import Hop
from socksgw.route.upstreams.manner import Manner
from socksgw.route.upstreams.place import Place
from socksgw.route.upstreams.sessions import Sessions
from socksgw.route.upstreams.standing import Standing
from socksgw.route.upstreams.through import Through
from socksgw.route.upstreams.trip import Names, Opener
from socksgw.route.ways import Direct
from socksgw.system.assertionkeys import SigningKey
from socksgw.system.domains import OWN, Domain
from socksgw.system.sockets import fastConnect
from socksgw.system.stack import Dress
from socksgw.wire.address import UNSPECIFIED4, Address

__all__ = ["Upstreams"]

T = TypeVar("T")

_NO_KEYS: Final[Mapping[str, SigningKey]] = {}


class Share(Protocol):
    """Shares a value with other generations (L{socksgw.system.usage.Holding.share})."""

    def __call__(self, key: object, make: Callable[[], T]) -> T:
        """Return the value of a key."""


@final
class Upstreams:
    """
    The hops that a configuration names, and what is made of them.

    A hop is one for each routing domain that has listeners: whether an upstream can be
    reached is another matter in each.
    """

    def __init__(
        self,
        tables: Sequence[Upstream],
        clients: Mapping[str, UpstreamClient],
        setDeadline: SetDeadline,
        timeout: float,
        clock: Callable[[], float],
        isOwn: Callable[[Address, int, str], bool],
        bindTimeout: float,
        share: Share,
        append: Callable[[str], None],
        signing: Mapping[str, SigningKey] = _NO_KEYS,
        checks: Checks = ALONE,
    ) -> None:
        """
        Take the parts.

        @param tables: examined before.
        @param clients: what speaks to each, by its name.
        @param timeout: seconds for a whole chain, where the rule has no others.
        @param isOwn: whether a listener of the gateway is at an address and port, as
            the clients of a listener see it.
        @param bindTimeout: seconds that a peer is waited for.
        @param append: adds a line to the journal.
        @param signing: by which key who the client is is signed for an upstream, by
            its name.
        @param checks: which process checks them.
        """
        self._signing = signing
        self._who = checks
        # Whether a change of health is in the journal already.
        self._known = False
        self._tables = {each.name: each for each in tables}
        self._share = share
        self._append = append
        self._clients = clients
        self._random = SystemRandom()
        self._bindTimeout = bindTimeout
        self._setDeadline = setDeadline
        self._timeout = timeout
        self._clock = clock
        self._isOwn = isOwn
        self._hops: dict[tuple[str, Domain], Hop] = {}
        self._checks: dict[Hop, Check] = {}
        self._running = False

    def start(self) -> None:
        """Begin to check."""
        self._running = True
        for each in self._checks.values():
            each.start()

    def stop(self) -> None:
        """Check no longer; no effect when called again."""
        self._running = False
        checks, self._checks = self._checks, {}
        for each in checks.values():
            each.stop()

    @property
    def handsOn(self) -> bool:
        """Whether one of them is given the passwords of clients."""
        return any(each.pass_through for each in self._tables.values())

    @property
    def standings(self) -> list[tuple[Domain, Standing]]:
        """What is known of the upstreams that were in use, in each domain."""
        return [(domain, hop.standing) for (_, domain), hop in self._hops.items()]

    def _hopTo(self, name: str, domain: Domain) -> Hop:
        """Return the hop of an upstream, as a domain's connections reach it."""
        hop = self._hops.get((name, domain))
        if hop is None:
            hop = self._hops[name, domain] = self._hop(self._tables[name], domain)
        return hop

    def _hop(self, table: Upstream, domain: Domain) -> Hop:
        client = self._clients[table.name]
        # A reload that does not change its table forgets nothing of it.
        standing = self._share(
            ("upstream", repr(table), domain), lambda: self._standing(table, domain)
        )
        key = self._signing.get(table.name)
        manner = Manner(
            table.name,
            client.proxy,
            table.udp,
            client.passing if table.pass_through else None,
            client.tls,
            client.certified,
            None if key is None else Asserting(key, table.name),
            Sessions(Socks6Proxy.within) if table.session else None,
        )
        there = table.resolve == "there"
        host, port = client.url.host, client.url.port
        return Hop(
            standing, host, port, manner, self._setDeadline, there, table.fast_open
        )

    def _standing(self, table: Upstream, domain: Domain) -> Standing:
        def changed(state: str, why: str) -> None:
            if self._known:
                return
            line = upstreamLine(
                table.name,
                domain.tag,
                state,
                why,
                standing.sessions,
                standing.opened,
                standing.failed,
            )
            append(line)

        append = self._append
        clock, random, check = self._clock, self._random, table.check
        if check is None:
            health = Health(clock, random, changed)
        else:
            health = Health(clock, random, changed, check.fall, check.rise, True)
        standing = Standing(table.name, health)
        return standing

    def _check(
        self, hop: Hop, domain: Domain, before: Opener, names: Names, listener: str
    ) -> None:
        """
        Have an upstream checked, if its table says so and it is not yet.

        @param before: what leads to it.
        @param names: what looks its name up.
        @param listener: whose routing domain that begins in.
        """
        table = self._tables[hop.name].check
        if table is None or hop in self._checks or not self._who.own:
            return
        prober = self._prober(hop, before, names, listener)
        check = self._checks[hop] = Check(
            partial(self._checked, hop.standing, domain),
            prober.probe,
            table.every,
            self._timeout,
            self._setDeadline,
            self._random,
        )
        if self._running:
            check.start()

    def _prober(
        self,
        hop: Hop,
        before: Opener,
        names: Names,
        listener: str = "",
        nowhere: tuple[str, int] | None = None,
    ) -> Prober:
        table = self._tables[hop.name].check
        own = parsePlace(table.target) if table and table.target else None
        return Prober(
            hop,
            before,
            own or nowhere,
            self._timeout,
            self._clock,
            names,
            Asker(ANYBODY, UNSPECIFIED4, listener),
            own is None,
        )

    def prober(
        self,
        name: str,
        before: Sequence[Sequence[str]],
        connect: Connect,
        names: Names,
        nowhere: tuple[str, int] | None = None,
    ) -> Prober:
        """
        Return what tries an upstream, once or again.

        @param before: the upstreams of each place that leads to it.
        @param connect: connects to the first of them, or to it.
        @param names: what looks their names up.
        @param nowhere: a name and a port that it is asked for where its table has no
            target; it looks the name up.
        """
        order = BALANCES["sessions"](self._random)
        places = [
            Place([self._hopTo(each, OWN) for each in place], order) for place in before
        ]
        ground = Ground(connect, lambda *_: False)
        hop = self._hopTo(name, OWN)
        return self._prober(hop, chained(ground, places), names, nowhere=nowhere)

    def _checked(self, standing: Standing, domain: Domain, reason: str) -> None:
        """Take note of a check, and tell other processes of it."""
        health = standing.health
        before = health.out
        health.checked(reason)
        self._who.tell(Checked(standing.name, domain.tag, reason, health.out != before))

    def heard(self, checked: Checked) -> None:
        """Take note of a check that another process has made, and has recorded."""
        for domain, standing in self.standings:
            if (standing.name, domain.tag) == checked[:2]:
                self._known = checked.changed
                try:
                    for _ in range(checked.times):
                        standing.health.checked(checked.reason, False)
                finally:
                    self._known = False

    @property
    def failing(self) -> list[Checked]:
        """What another process has to hear that begins now."""
        return [
            Checked(each.name, domain.tag, each.health.why, True, check.fall)
            for domain, each in self.standings
            if each.health.out and (check := self._tables[each.name].check)
        ]

    def through(
        self,
        listener: str,
        domain: Domain,
        first: Direct | Chosen,
        direct: Direct | Chosen,
        names: Names,
        leaving: Leaving,
    ) -> Through:
        """
        Return new ways for the sessions of a listener.

        @param domain: the listener's.
        @param first: those that lead to the first upstream.
        @param direct: those to destinations, as the last resort.
        @param names: what looks its name up.
        """

        def isOwn(address: Address, port: int) -> bool:
            return self._isOwn(address, port, listener)

        def path(used: Sequence[Standing]) -> Opener:
            hops = [self._hopTo(each.name, domain) for each in used]
            return chained(ground, [Place([hop], order) for hop in hops])

        opening = None
        if any(self._tables[x].fast_open for x in leaving.via[0] if x != DIRECT):
            opening = first.dressed(Dress(fastConnect)).connect
        ground = Ground(first.connect, isOwn, opening)
        order = BALANCES[leaving.balance](self._random)
        places: list[Place] = []
        for each in leaving.via:
            hops = [self._hopTo(name, domain) for name in each if name != DIRECT]
            for hop in hops:
                self._check(hop, domain, chained(ground, places), names, listener)
            last = Straight(direct.connect) if DIRECT in each else None
            places.append(Place(hops, order, last))
        return Through(
            chained(ground, places),
            self._timeout,
            self._clock,
            names,
            path,
            first,
            direct,
            isOwn,
            self._setDeadline,
            self._bindTimeout,
        )
