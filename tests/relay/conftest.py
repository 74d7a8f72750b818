"""
Fixtures for the tests of relays.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import capturedLogs

from tests.relay.associations import Sea


@pytest.fixture
def sea() -> Iterator[Sea]:
    """Where nothing is left at the end, and nothing is logged as a defect."""
    with capturedLogs() as logged:
        made = Sea()
        yield made
        made.atBase()
    assert [each for each in logged if "log_failure" in each] == []
