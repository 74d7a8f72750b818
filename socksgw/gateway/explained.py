"""
What is decided of a supposed request, for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from socksgw.config.schema import Listen
from socksgw.gateway.offers import Offers
from socksgw.policy.facts import Facts
from socksgw.policy.leaving import Leaving
from socksgw.policy.outcome import Outcome

__all__ = ["asJson"]

#: The commands for which sessions leave by what rules and listeners say.
_LEAVING: Final = ("connect", "bind", "udp")


def asJson(outcome: Outcome, facts: Facts, offers: Offers) -> Mapping[str, Any]:
    """
    Return what is decided, for programs.

    @param facts: of the request.
    @param offers: how such a client comes in.
    """
    verdict = outcome.verdict
    ways = offers.waysFor(facts)
    leaves = verdict.allowed and facts.command in _LEAVING
    listens = offers.listens(ways) if leaves else ()
    return {
        "ways_in": [
            {
                "listener": way.listener,
                "method": way.method,
                "entry": way.entry,
                "client_certificate": way.certificate,
            }
            for way in ways
        ],
        "verdict": "allow" if verdict.allowed else "deny",
        "rule": verdict.rule,
        "why": verdict.why,
        "depends_on": outcome.doubt,
        "via": outcome.via or None,
        "leaves_by": _leavesBy(verdict.obligations.leaving, listens) or None,
        "proxy_header": outcome.header or None,
        "deciders": list(outcome.deciders),
        "judged": "name" if outcome.byName else "address",
        "addresses": [str(address) for address in outcome.addresses],
        "struck": [[str(address), why] for address, why in outcome.struck],
        "rules": [
            {
                "address": None if address is None else str(address),
                "tried": [{"rule": s.rule, "unmet": s.unmet} for s in steps],
            }
            for address, steps in outcome.steps
        ],
    }


def _leavesBy(leaving: Leaving | None, listens: Sequence[Listen]) -> str:
    """
    Return what sessions leave by; empty where the kernel alone chooses.

    @param leaving: what the rule says.
    @param listens: where the client may come in.
    """
    found: dict[str, list[str]] = {}
    for listen in listens:
        found.setdefault(_at(leaving or Leaving(), listen), []).append(listen.name)
    if len(found) < 2:
        return next(iter(found), "")
    return ", or ".join(
        f"{by or 'what the kernel chooses'} (listener "
        + ", ".join(f'"{name}"' for name in names)
        + ")"
        for by, names in found.items()
    )


def _at(leaving: Leaving, listen: Listen) -> str:
    """Return what sessions of one listener leave by."""
    parts = [leaving.orElse(listen.leave_by, listen.mark).by]
    domain = listen.domain
    # The device of a rule stands in place of the listener's.
    if domain.name and not (leaving.device and domain.kind == "device"):
        parts.append(str(domain))
    return ", ".join(filter(None, parts))
