"""
Fixtures for the tests of upstreams.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.route.upstreams.scripted import Network


@pytest.fixture(scope="module")
def host() -> Iterator[Network]:
    """A host with loopback, for all tests of a module; it leaks nothing."""
    made = Network()
    yield made
    made.close()


@pytest.fixture
def network(host: Network) -> Iterator[Network]:
    """The same, for one test."""
    host.fresh()
    yield host
    host.over()
