"""
What the tests of reading share: a busy journal of several files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import traffic


@pytest.fixture(scope="package")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of some 1,500 lines in six files, half an hour long."""
    directory = tmp_path_factory.mktemp("records") / "audit"
    traffic.kept(directory, 600_000, seconds=1.2, rotate=100_000)
    return directory
