"""
The share of one worker in a configuration.
"""

from __future__ import annotations

from attrs import evolve

from socksgw.config.convert import Octets
from socksgw.config.schema import Config, Grants

__all__ = ["shareOf"]


def shareOf(config: Config, count: int) -> Config:
    """
    Return the configuration of one worker of several.

    What is done once is the supervisor's. What is bounded in all is divided, and never
    rounded up.
    """
    return evolve(
        config,
        gateway=evolve(config.gateway, workers=1, reload_on_change=False),
        relay=evolve(config.relay, memory=Octets(config.relay.memory // count)),
        audit=evolve(config.audit, sinks=(), sink=(), signing_key=""),
        metrics=evolve(config.metrics, otlp=None),
        admin=None,
        grants=_withoutApprovers(config.grants),
        pac=None,
    )


def _withoutApprovers(settings: Grants | None) -> Grants | None:
    """Return what may be granted; whoever approves does so at the admin interface."""
    if settings is None:
        return None
    return evolve(
        settings,
        approvers=None,
        may=tuple(evolve(each, approvers=None) for each in settings.may),
    )
