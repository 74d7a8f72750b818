"""
The upstreams: connection, TLS, and the login, as sessions have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from twisted.internet.task import LoopingCall

from socksgw.config.schema import Config
from socksgw.errors import UpstreamRefused
from socksgw.gateway.examination import Examination
from socksgw.gateway.probing.asking import Asking, Probe
from socksgw.gateway.upstreams import Upstreams
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.policy.leaving import DIRECT
from socksgw.route.dialer import Dialer
from socksgw.route.resolvconf import HostChoice, readChoice
from socksgw.route.resolver import Resolver
from socksgw.route.upstreams.probing import said
from socksgw.system.deadlines import Deadlines
from socksgw.system.usage import Holding, UsagePool
from socksgw.system.watch import Watch
from socksgw.wire.codes import Reply

__all__ = ["upstreamProbes"]


def upstreamProbes(
    config: Config, found: Examination, asking: Asking
) -> Iterator[Probe]:
    """Yield each upstream, as the first chain that has it leads there."""
    if not config.upstream:
        return
    reactor = asking.reactor
    deadlines = Deadlines(reactor.seconds)
    LoopingCall(deadlines.scan).start(Deadlines.TICK, now=False)
    watch = Watch(reactor)
    watch.start()
    choice = HostChoice() if config.resolver.servers else readChoice()
    names = Resolver.of(
        reactor, watch, config.resolver, choice, config.timeouts.lookup,
        deadlines.set, reactor.seconds,
    )  # fmt: skip
    names.start()
    upstreams = Upstreams(
        config.upstream,
        found.upstreams,
        deadlines.set,
        # What is late is told by the upstream, and not by who waits for it.
        min(_SHARE * asking.seconds, config.timeouts.connect),
        reactor.seconds,
        lambda *_: False,
        config.timeouts.bind,
        Holding(UsagePool()).share,
        lambda _: None,
        found.identities.own,
    )
    dialer = Dialer(reactor, watch, deadlines.set, config.timeouts.connect)
    for i, table in enumerate(config.upstream):
        before = _before(config, table.name)
        target = None if table.url.startswith(_GREETED) else _NOWHERE
        prober = upstreams.prober(table.name, before, dialer.open, names, target)
        yield Probe(
            f"upstream[{i}]",
            table.name,
            partial(_ask, prober, table.url, before, table.pass_through),
        )


def _before(config: Config, name: str) -> list[list[str]]:
    """
    Return the places that lead to an upstream; none where a chain begins with it.
    """
    found: list[list[str]] | None = None
    for rule in config.rule:
        for i, place in enumerate(rule.via or ()):
            if name in place:
                if i == 0:
                    return []
                found = found or [
                    [each for each in before if each != DIRECT]
                    for before in (rule.via or ())[:i]
                ]
    return found or []


#: SOCKS 5 alone has a login that is over before the request.
_GREETED: Final = "socks5"
#: It has one reply for who is refused and for what fails.
_VAGUE: Final = "socks4"
#: Where the others are asked to connect to: nobody has that name (RFC 2606).
_NOWHERE: Final = ("socksgw-probe.invalid", 443)
#: The part of the time of a probe that the upstream has.
_SHARE: Final = 0.9
_THROUGH: Final = "it was asked through"


async def _ask(
    prober: Any, url: str, before: list[list[str]], passing: bool
) -> list[Answer]:
    way = "" if not before else f"{_THROUGH} {' → '.join(each[0] for each in before)}; "
    try:
        works = await prober.probe()
    except UpstreamRefused as e:
        return [_refused(url, way, e)]
    except Exception as e:
        words = said(e)
        raise ProbeFailed(way + words.said, words.remedy) from None
    if not works:
        raise ProbeFailed(
            f"{way}what is before it does not work, or this host lacks something",
            "see the other answers",
        )
    done = (
        "accepts connections, and gets its clients' logins" if passing else "lets us in"
    )
    return [Answer(url, way + done)]


def _refused(url: str, way: str, error: UpstreamRefused) -> Answer:
    """Return what the answer to a request means that leads nowhere."""
    text = str(error).partition('": ')[2]
    if error.reply == Reply.NOT_ALLOWED:
        why = f"answers, and its rules refuse a name that nobody has: {text}"
    elif url.startswith(_VAGUE):
        why = f"answers; whether it lets us in, SOCKS 4 does not tell: {text}"
    else:
        return Answer(url, f"{way}lets us in; of a name that nobody has: {text}")
    return Answer(
        url,
        way + why,
        "warning",
        "its rules may come before its login: have it connect to what they allow, by "
        'check = { target = "HOST:PORT" }',
    )
