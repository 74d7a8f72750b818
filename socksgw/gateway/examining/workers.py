"""
C{[gateway] workers}: what goes with several processes, and what does not yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems

__all__ = ["examineWorkers", "toldWorkers", "workersOf"]


def workersOf(config: Config) -> int:
    """Return how many processes are to serve clients; 1: this one does."""
    workers = config.gateway.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


def toldWorkers(config: Config) -> Iterator[str]:
    """Yield who serves clients, in a line for people; nothing where one process does."""
    count = workersOf(config)
    if count > 1:
        auto = "; one for each core here" if config.gateway.workers == "auto" else ""
        yield f"{count} workers{auto}"


def examineWorkers(config: Config, problems: Problems) -> None:
    """Examine what several processes cannot do, or cannot divide."""
    count = workersOf(config)
    if count < 2:
        return
    if config.relay.memory // count < 1 << 20:
        problems.wrong(
            "relay.memory", f'must be "1MiB" for each of the {count} workers'
        )
