"""
Fixtures for the tests of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.login.secrets import SecretsFile, setSecret
from socksgw.session import express
from socksgw.session.stage import Stage
from socksgw.wire.whole import Octets
from tests.fakes.gateway import CANARY


@pytest.fixture(scope="module", params=["express", "other lane"])
def lane(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether there is an express lane: what comes of a session is the same."""
    begun: list[Stage] = []
    begin = express.Express.begin

    def counting(lane: express.Express, octets: Octets) -> None:
        begun.append(lane._session.stage)
        begin(lane, octets)

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(express.Express, "begin", counting)
        patching.setattr(express, "OPEN", request.param == "express")
        yield
    assert express.OPEN
    if request.param != "express":
        assert not begun


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretsFile:
    """Alice's password, to be read back."""
    path: Path = tmp_path_factory.mktemp("secrets") / "chap"
    setSecret(path, "alice", CANARY)
    return SecretsFile(path)
