"""
Liveness and readiness: C{/healthz} and C{/readyz}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from socksgw.admin.table import Answer, Asked, Entry, asJson, objectOf
from socksgw.gateway.readiness import remarks, unready

__all__ = ["ENTRIES"]

_REASONS: Final = {"type": "array", "items": {"type": "string"}}


def _alive(_: Asked) -> Answer:
    return asJson({"alive": True})


def _ready(asked: Asked) -> Answer:
    reasons = unready(asked.gateway)
    answer = {
        "ready": not reasons, "reasons": reasons, "remarks": remarks(asked.gateway)
    }  # fmt: skip
    return asJson(answer, 503 if reasons else 200)


ENTRIES: Final[Sequence[Entry]] = (
    Entry(
        "GET",
        "/healthz",
        _alive,
        "Tell that the process lives: where this is not answered, restart it.",
        {200: objectOf(alive={"const": True})},
        public="health",
    ),
    Entry(
        "GET",
        "/readyz",
        _ready,
        "Tell whether clients are to be sent here: it listens, the journal can be "
        "written, and it does not drain. Remarks say what is not as it should be, and is "
        "no reason to send clients elsewhere.",
        {
            200: objectOf(ready={"const": True}, reasons=_REASONS, remarks=_REASONS),
            503: objectOf(ready={"const": False}, reasons=_REASONS, remarks=_REASONS),
        },
        public="health",
    ),
)
