"""
What is decided of a supposed request, for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from socksgw.gateway.offers import Way
from socksgw.policy.outcome import Outcome

__all__ = ["asJson"]


def asJson(outcome: Outcome, ways: Sequence[Way] = ()) -> Mapping[str, Any]:
    """Return what is decided, for programs."""
    verdict = outcome.verdict
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
        "leaves_by": outcome.leavesBy or None,
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
