"""
Whether clients are to be sent to a gateway, and what else is not as it should be.
"""

from __future__ import annotations

from socksgw.gateway.gateway import Gateway

__all__ = ["remarks", "unready"]


def unready(gateway: Gateway) -> list[str]:
    """Return why no clients are to be sent there; nothing where they may come."""
    reasons = []
    if gateway.stopping:
        reasons.append("the gateway is stopping")
    elif not gateway.running:
        reasons.append("the gateway has not started")
    elif gateway.drained:
        reasons.append("the gateway drains")
    elif not gateway.ports():
        reasons.append("no listener is open")
    if gateway.journal.failing and gateway.config.audit.on_failure == "refuse":
        reasons.append("the journal cannot be written")
    reasons += gateway.role.unready()
    return reasons


def remarks(gateway: Gateway) -> list[str]:
    """Return what is not as it should be, and keeps nobody from being served."""
    cluster = gateway.cluster
    return [cluster.standing] if cluster is not None and cluster.standing else []
