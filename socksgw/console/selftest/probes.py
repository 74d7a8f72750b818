"""
What is tried at each place, in each protocol, by each login.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from socksgw.console.proxyoptions import Misused
from socksgw.console.selftest.behind import vectorsBehind
from socksgw.console.selftest.connecting import Entered, Means, connects
from socksgw.console.selftest.logins import Material, Missing, waysOf
from socksgw.console.selftest.others import othersOf
from socksgw.console.selftest.places import Place
from socksgw.console.selftest.speaking import Access, Speaker, tlsFor
from socksgw.console.selftest.vectors import VECTORS
from socksgw.gateway.probing.asking import Probe
from socksgw.interfaces import Answer
from socksgw.system.inwords import Words
from socksgw.system.tlsclient import ClientTLS

__all__ = ["probesOf"]

Asked = Callable[[], Awaitable[Sequence[Answer]]]


def probesOf(
    places: Sequence[Place],
    away: Mapping[Place, Words],
    options: argparse.Namespace,
    material: Material,
    means: Means,
) -> Iterator[Probe]:
    """
    Yield everything, and at last the look at the journal.

    @param away: the places that are not reached.
    @raise Misused: a file of TLS cannot be used.
    """
    counter = _Counter()
    for place in places:
        if place.skipped:
            told = Answer(place.shown, place.skipped, "warning", place.remedy)
            yield Probe(place.path, place.shown, _telling(told))
            continue
        if place in away:
            words = away[place]
            told = Answer(place.shown, words.said, "failed", words.remedy)
            yield Probe(place.path, place.shown, _telling(told))
            continue
        for what, ask in _at(place, options, material, means):
            yield Probe(place.path, f"{place.shown} {what}", counter.counted(ask))
    if means.witness.looks:
        yield Probe("audit.journal", "the journal", counter.last(_looked(means)))


def _at(
    place: Place, options: argparse.Namespace, material: Material, means: Means
) -> Iterator[tuple[str, Asked]]:
    """
    Yield what is tried at one place.

    @raise Misused: as of L{probesOf}.
    """
    try:
        context = tls = None
        if place.secured:
            context = tlsFor(place.ca, options.certificate, options.key)
            tls = ClientTLS(place.name, place.ca, options.certificate, options.key)
        ways = {each: [*waysOf(each, place, material)] for each in place.protocols}
    except (OSError, ValueError) as e:
        raise Misused(f"--ca, --certificate or --key: {e}") from None
    access = Access(
        place.where, context, place.name, place.headed, means.witness.expects
    )
    missing: dict[Missing, list[str]] = {}
    for protocol in place.protocols:
        vectors = [v for v in VECTORS if v.protocol == protocol and not v.before]
        if not place.loginless:
            # They are refused before anything is decided.
            vectors = [v._replace(decided=False) for v in vectors]
        speaker = Speaker(access, means.seconds)
        yield protocol, _vectored(speaker, vectors, means)
        for way in ways[protocol]:
            if isinstance(way, Missing):
                missing.setdefault(way, []).append(protocol)
                continue
            entered = Entered(place, protocol, tls, way)
            yield protocol, _behind(entered, means)
            for attempt in (connects, *othersOf(protocol, place)):
                yield protocol, _answered(attempt, entered, means)
    for each, protocols in missing.items():
        yield each.method, _telling(_lacking(each, protocols))


def _lacking(missing: Missing, protocols: Sequence[str]) -> Answer:
    return Answer(
        f"{', '.join(protocols)}: login by {missing.method}",
        "not tried, nor what comes after it: "
        + ("it needs " if missing.remedy.startswith("--") else "")
        + missing.why,
        "warning",
        missing.remedy,
    )


class _Counter:
    """Has one thing asked when all others have answered."""

    def __init__(self) -> None:
        self._left = 0
        self._over: Deferred[None] = Deferred()

    def counted(self, ask: Asked) -> Asked:
        """Return the same, counted."""
        self._left += 1

        async def counting() -> Sequence[Answer]:
            try:
                return await ask()
            finally:
                self._left -= 1
                if not self._left:
                    self._over.callback(None)

        return counting

    def last(self, ask: Asked) -> Asked:
        """Return what waits for all that are counted."""

        async def waiting() -> Sequence[Answer]:
            if self._left:
                await self._over
            return await ask()

        return waiting


def _telling(answer: Answer) -> Asked:
    async def told() -> Sequence[Answer]:
        return [answer]

    return told


def _vectored(speaker: Speaker, vectors: Sequence[Any], means: Means) -> Asked:
    async def said() -> Sequence[Answer]:
        found: list[Answer] = await means.aside(lambda: speaker.all(vectors))
        return found

    return said


def _behind(entered: Entered, means: Means) -> Asked:
    async def said() -> Sequence[Answer]:
        return await vectorsBehind(entered, means)

    return said


def _answered(
    attempt: Callable[[Entered, Means], Awaitable[Answer | None]],
    entered: Entered,
    means: Means,
) -> Asked:
    async def tried() -> Sequence[Answer]:
        found = await attempt(entered, means)
        return [] if found is None else [found]

    return tried


def _looked(means: Means) -> Asked:
    async def looked() -> Sequence[Answer]:
        found: Answer = await means.aside(lambda: means.witness.answer(means.seconds))
        return [found]

    return looked
