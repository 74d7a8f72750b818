"""
One gateway with an admin interface for all tests of a file.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.running import ALL, HEAD
from tests.live.serving import Serving, served


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with a Unix socket, a port, and two tokens."""
    yield from served(tmp_path_factory.mktemp("admin"), HEAD + ALL)
