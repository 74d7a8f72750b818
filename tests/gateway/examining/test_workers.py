"""
C{[gateway] workers}: what several processes cannot do is an error with its place.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from socksgw.config.loading import ConfigError, loads
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.examining.workers import examineWorkers, workersOf


def found(text: str, workers: str = "4") -> list[str]:
    """What is wrong with a configuration."""
    problems = Problems()
    config = loads(f"[gateway]\nworkers = {workers}\n{text}", "gw.toml", Path())
    examineWorkers(config, problems)
    return [f"{each.path}: {each.text}" for each in problems.errors]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('[relay]\nmemory = "2MiB"\n', "relay.memory"),
    ],
)
def test_notForSeveral(text: str, path: str) -> None:
    """One process may have it, several may not."""
    (wrong,) = found(text)
    assert wrong.startswith(f"{path}: ")
    assert found(text, "1") == []


def test_howMany() -> None:
    """A number, or one for each core that the process may use."""
    auto = loads('[gateway]\nworkers = "auto"\n', "gw.toml", Path())
    assert workersOf(auto) == len(os.sched_getaffinity(0))
    for wrong in ("0", "65", '"many"', "true"):
        with pytest.raises(ConfigError, match=r"gateway\.workers: must be"):
            loads(f"[gateway]\nworkers = {wrong}\n", "gw.toml", Path())
