"""
What a configuration names, and how each is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from socksgw.config.schema import Config
from socksgw.gateway.examination import Examination
from socksgw.gateway.probing.asking import Asking, Probe
from socksgw.gateway.probing.certificates import certificateProbes
from socksgw.gateway.probing.resolvers import resolverProbes
from socksgw.gateway.probing.services import serviceProbes
from socksgw.gateway.probing.sinks import sinkProbes
from socksgw.gateway.probing.upstreams import upstreamProbes
from socksgw.interfaces import Answer, IProbed

__all__ = ["probesOf"]


def probesOf(config: Config, found: Examination, asking: Asking) -> list[Probe]:
    """
    Return everything that can be asked, in the order of the reference.

    @param found: the examination, in which there is no error.
    """
    return [
        *resolverProbes(config, asking),
        *certificateProbes(config, found),
        *_checkers(config, found),
        *_methods(found),
        *upstreamProbes(config, found, asking),
        *serviceProbes(config, found, asking),
        *sinkProbes(config, asking),
    ]


def _checkers(config: Config, found: Examination) -> Iterator[Probe]:
    """Yield the stores of users, as the configuration names them."""
    auth = config.auth
    places = [
        *((f"auth.checkers[{i}]", text) for i, text in enumerate(auth.checkers)),
        *(
            (f"auth.checker[{i}]", table.name or table.kind)
            for i, table in enumerate(auth.checker)
        ),
    ]
    # Those that verify identities come behind, and are in no table.
    for (place, what), checker in zip(places, found.checkers, strict=False):
        yield Probe(place, what, partial(_ask, checker, "checker"))


def _methods(found: Examination) -> Iterator[Probe]:
    """Yield the methods that have something to ask, each once."""
    seen: dict[int, Probe] = {}
    for choice in found.choices:
        for method in choice.methods:
            for each in (method, *method.inner):
                known: Any = each.authenticator
                if IProbed.providedBy(known) and id(known) not in seen:
                    ask = partial(_ask, known, "method")
                    seen[id(known)] = Probe(f"auth.{each.name}", each.name, ask)
    yield from seen.values()


async def _ask(thing: Any, kind: str) -> list[Answer]:
    if not IProbed.providedBy(thing):
        said = f"was not asked: this kind of {kind} does not say how"
        return [Answer(type(thing).__name__, said, "warning")]
    return list(await thing.probe())
