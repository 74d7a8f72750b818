"""
C{[metrics.otlp]}: what cannot be, with the key and the remedy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import loads
from socksgw.gateway.examining import metrics
from socksgw.gateway.examining.metrics import examineMetrics
from socksgw.gateway.examining.problems import Problems

GOOD = 'url = "http://127.0.0.1:4318/v1/metrics"'


def found(text: str, directory: Path) -> list[str]:
    """What is wrong with a C{[metrics.otlp]}."""
    problems = Problems()
    config = loads(f"[metrics.otlp]\n{text}\n", "gw.toml", directory)
    examineMetrics(config, problems)
    return [f"{each.path}: {each.text}" for each in problems.errors]


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ('url = "grpc://127.0.0.1:4317"', "url", "must be as http"),
        ('url = "http://user:word@127.0.0.1/"', "url", "without a password"),
        ('url = "http://[::1"', "url", "must be as http"),
        ('url = "http:///v1"', "url", "must be as http"),
        (f'{GOOD}\nevery = "10ms"', "every", "at least"),
        (f'{GOOD}\ntoken_file = "none"', "token_file", "none"),
        (f'{GOOD}\nca = "none"', "ca", "none"),
    ],
)
def test_wrong(tmp_path: Path, text: str, path: str, why: str) -> None:
    """Each with its path."""
    (problem,) = found(text, tmp_path)
    assert problem.startswith(f"metrics.otlp.{path}: ")
    assert why in problem


def test_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with it, unless the extra is not installed."""
    monkeypatch.setattr(metrics, "_PACKAGES", ("twisted",))
    assert found(GOOD, tmp_path) == []
    monkeypatch.setattr(metrics, "_PACKAGES", ("twisted", "nothing.there"))
    (problem,) = found(GOOD, tmp_path)
    assert "socksgw[otel]" in problem
