"""
The sinks, and the directory of the journal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from socksgw.audit.sinks.discovery import sinkIn
from socksgw.audit.sinks.orders import Order, settingsOf
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.examining.sinks import examineSinks, placesOf
from socksgw.gateway.probing.asking import Asking, Probe
from socksgw.interfaces import Answer, IProbedSink, ProbeFailed, SinkFailed

__all__ = ["sinkProbes"]

#: Octets that are free on a disk that is not almost full.
_FREE: Final = 1 << 30
_OWN_USER: Final = "change owner or mode, or ask as the gateway's own user"


def sinkProbes(config: Config, asking: Asking) -> Iterator[Probe]:
    """Yield where the journal is written, and each sink."""
    orders = examineSinks(config, Problems())
    journal = Path(orders.journal)

    async def kept() -> list[Answer]:
        return await asking.aside(partial(_journal, journal))

    yield Probe("audit.journal", str(journal), kept)
    state, places = Path(orders.state), placesOf(config)
    for order in orders.sinks:

        async def ask(order: Order = order) -> list[Answer]:
            return await asking.aside(partial(_ask, order, state))

        yield Probe(places[order.name], order.kind, ask)


def _ask(order: Order, state: Path) -> list[Answer]:
    kind: Any = sinkIn(order.module, order.kind)
    if not IProbedSink.providedBy(kind):
        return [Answer(order.kind, "was not asked: it does not say how", "warning")]
    try:
        return list(kind.probe(settingsOf(order, state)))
    except SinkFailed as e:
        raise ProbeFailed(str(e)) from None


def _journal(journal: Path) -> list[Answer]:
    """
    Look whether the journal can be written.

    @raise ProbeFailed: it cannot be.
    """
    folder = journal
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ProbeFailed(f"{folder} is no directory", "move it away")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProbeFailed(f"this user may not write in {folder}", _OWN_USER)
    free = shutil.disk_usage(folder).free
    said = (
        "can be written" if folder == journal else "is not there yet, and can be made"
    )
    said += f"; {free // 1_000_000:,} MB are free"
    if free < _FREE:
        return [
            Answer(
                str(journal), said, "warning", "free space: a full disk refuses clients"
            )
        ]
    return [Answer(str(journal), said)]
