"""
The domain controllers of a domain of Active Directory, as its DNS names them.

Records of type SRV say which there are, in which order (RFC 2782; [MS-ADTS] section
6.3.2.3). They are asked for again when their time to live is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Any, Final, NamedTuple, Protocol, final

import dns.exception
import dns.resolver
from twisted.logger import Logger

from socksgw.login.refusal import busy
from socksgw.login.stores.ldapservers import NoServers, Server
from socksgw.system.once import Once
from socksgw.system.threads import threadsFor

__all__ = ["Domain", "Target", "inOrder", "targetsOf"]

_log = Logger()

#: Seconds that an answer counts, at least and at most; and after which is asked again
#: where there was none.
_SHORTEST: Final = 30.0
_LONGEST: Final = 3600.0
_AGAIN: Final = 5.0
#: Seconds that DNS may take.
_PATIENCE: Final = 4.0
#: Controllers that are used, at most.
_MOST: Final = 32


class Target(NamedTuple):
    """What one record says."""

    priority: int
    weight: int
    host: str
    port: int


class Random(Protocol):
    """A source of random numbers (L{random.Random})."""

    def randint(self, a: int, b: int) -> int:
        """Return an integer between two, both included."""


def inOrder(targets: Sequence[Target], random: Random) -> list[Target]:
    """
    Return targets in the order in which they are tried (RFC 2782, "Weight").

    The lowest priority is first; among equals, chance goes by weight.
    """
    found: list[Target] = []
    for priority in sorted({each.priority for each in targets}):
        # Those of weight 0 come first into the sum, and so are chosen rarely.
        left = sorted(
            (each for each in targets if each.priority == priority),
            key=lambda each: each.weight,
        )
        while left:
            chosen = random.randint(0, sum(each.weight for each in left))
            for each in left:
                chosen -= each.weight
                if chosen <= 0:
                    found.append(each)
                    left.remove(each)
                    break
    return found


def targetsOf(domain: str, site: str) -> tuple[list[Target], float]:
    """
    Ask DNS which domain controllers there are, as this host asks. It blocks.

    @param site: whose are wanted; where it has none, those of the whole domain count.
        Empty for these.
    @return: with the seconds that the answer counts.
    @raise NoServers: there are none, or DNS does not answer.
    """
    names = [f"_ldap._tcp.dc._msdcs.{domain}"]
    if site:
        names.insert(0, f"_ldap._tcp.{site}._sites.dc._msdcs.{domain}")
    why = ""
    for name in names:
        try:
            answer = dns.resolver.Resolver().resolve(
                f"{name}.", "SRV", search=False, lifetime=_PATIENCE
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            why = f"DNS has no record {name}"
            continue
        except (dns.exception.DNSException, OSError) as e:
            text = " ".join(str(e).split())[:200]
            raise NoServers(f"DNS does not answer about {name}: {text}") from None
        targets = [
            Target(
                each.priority,
                each.weight,
                each.target.to_text(omit_final_dot=True).lower(),
                each.port,
            )
            for each in answer
        ]
        assert answer.rrset is not None
        return _within(domain, targets), float(answer.rrset.ttl)
    raise NoServers(f"{why}; is the domain right, and does this host ask its DNS?")


def _within(domain: str, targets: Sequence[Target]) -> list[Target]:
    """
    Return the targets that are in the domain.

    DNS may lie: a controller proves by its certificate that it has the name, and that
    name has to be one of the domain's own.

    @raise NoServers: there are none.
    """
    end = f".{domain.lower()}"
    found = [each for each in targets if each.host.endswith(end)]
    if not found:
        named = ", ".join(each.host for each in targets[:4]) or "none"
        raise NoServers(
            f"DNS names only {named}, outside of {domain}; name such servers in url"
        )
    return found[:_MOST]


@final
class Domain:
    """
    The controllers of one domain.

    What DNS said last counts while it says nothing else.
    """

    def __init__(
        self,
        reactor: Any,
        domain: str,
        site: str,
        make: Callable[[str, int], Server],
        ask: Callable[[str, str], tuple[list[Target], float]] = targetsOf,
        random: Random | None = None,
    ) -> None:
        """
        Ask nothing yet.

        @param make: makes a server of a host and the port of C{ldap://} there.
        @param ask: as L{targetsOf}; called in a thread.
        """
        self._reactor = reactor
        self._domain = domain
        self._site = site
        self._make = make
        self._ask = ask
        self._random = random or SystemRandom()
        self._threads = threadsFor(reactor, "ldap-domain", 2, 62, busy)
        self._known: dict[tuple[str, int], Server] = {}
        self._servers: list[Server] = []
        self._until = float("-inf")
        self._trouble = Once()

    async def servers(self) -> Sequence[Server]:
        """
        Return the controllers, in the order in which they are tried.

        @raise NoServers: DNS has never named any.
        """
        now = self._reactor.seconds()
        if now < self._until:
            return self._servers
        # Those who come meanwhile take what was said last.
        if self._servers:
            self._until = now + _AGAIN
        try:
            targets, seconds = await self._threads.do(
                lambda: self._ask(self._domain, self._site)
            )
        except NoServers as e:
            if self._trouble.begins():
                _log.warn("{why}", why=str(e))
            if not self._servers:
                raise
            self._until = self._reactor.seconds() + _AGAIN
            return self._servers
        if self._trouble.ends():
            _log.info(
                "DNS names the controllers of {domain} again", domain=self._domain
            )
        self._take(targets)
        counts = min(max(seconds, _SHORTEST), _LONGEST)
        self._until = self._reactor.seconds() + counts
        return self._servers

    def _take(self, targets: Sequence[Target]) -> None:
        # A server stays the same one: connections to it are kept, and its rest counts.
        places = {(each.host, each.port) for each in targets}
        known = {key: each for key, each in self._known.items() if key in places}
        for key in places - set(known):
            known[key] = self._make(*key)
        if set(known) != set(self._known):
            names = ", ".join(sorted(host for host, _ in known))
            _log.info(
                "{domain} has the controllers {names}",
                domain=self._domain,
                names=names,
            )
        self._known = known
        ordered = inOrder(targets, self._random)
        self._servers = [known[each.host, each.port] for each in ordered]
