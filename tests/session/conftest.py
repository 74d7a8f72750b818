"""
Fixtures for the tests of sessions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.login.secrets import SecretsFile, setSecret
from tests.fakes.gateway import CANARY


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretsFile:
    """Alice's password, to be read back."""
    path: Path = tmp_path_factory.mktemp("secrets") / "chap"
    setSecret(path, "alice", CANARY)
    return SecretsFile(path)
