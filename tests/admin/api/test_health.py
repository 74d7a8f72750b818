"""
Liveness and readiness are two questions.
"""

from __future__ import annotations

from tests.live.serving import Serving


def test_health(serving: Serving) -> None:
    """Everybody may ask, at both places."""
    for client in (serving.own, serving.nobody, serving.looker):
        assert client.get("/healthz") == {"alive": True}
        assert client.get("/readyz") == {"ready": True, "reasons": [], "remarks": []}
