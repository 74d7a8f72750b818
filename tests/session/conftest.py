"""
Fixtures for the tests of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.login.secrets import SecretsFile, setSecret
from socksgw.session import express
from tests.fakes.gateway import CANARY


@pytest.fixture(scope="module", params=["express", "other lane"])
def lane(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether there is an express lane: what comes of a session is the same."""
    before, express.OPEN = express.OPEN, request.param == "express"
    yield
    express.OPEN = before


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretsFile:
    """Alice's password, to be read back."""
    path: Path = tmp_path_factory.mktemp("secrets") / "chap"
    setSecret(path, "alice", CANARY)
    return SecretsFile(path)
