"""
Fixtures for all tests.
"""

from __future__ import annotations

import gc
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.fakes.threads import PATIENCE, ThreadedReactor
from tests.live import nursery
from tests.live.postgres import Postgres
from tests.live.running import Running, running
from tests.live.servers import Certificate
from tests.tools.certificates import Authority, pemOf, server

# The tests may run under nohup, and a process that ignores SIGHUP hands that on.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A busy machine makes any example slow; that is no failure.
settings.register_profile("socksgw", deadline=None)
settings.load_profile("socksgw")


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """Leaves nothing that the garbage collector does not look at, as a reload does."""
    yield
    gc.unfreeze()


#: These wait most of the time, so they begin while others keep the processors busy.
_FIRST = ("tests/interop/", "tests/hostile/")
#: Those whose longest wait is one test's or one fixture's.
_VERY_FIRST = (
    "tests/interop/test_transparent.py",
    "tests/interop/test_networks.py",
    "tests/interop/test_tokens.py",
    "tests/interop/test_transports.py",
    "tests/hostile/test_proxied.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files begin early: of several processes, none is last by far."""

    def turn(item: pytest.Item) -> int:
        return 2 - item.nodeid.startswith(_FIRST) - item.nodeid.startswith(_VERY_FIRST)

    items.sort(key=turn)


def pytest_unconfigure() -> None:
    """Leave no process behind."""
    nursery.closed()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """
    Starts gateways: C{gateway(configuration, *arguments)}. Each is stopped
    at the end, and must have been well (L{Running.healthy}).
    """
    numbers = itertools.count()
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> Running:
            directory = tmp_path / f"gateway{next(numbers)}"
            return stack.enter_context(
                contextmanager(running)(directory, *arguments, **options)
            )

        yield start


@pytest.fixture
def reactor() -> Iterator[ThreadedReactor]:
    """A reactor for threads, shut down at the end: no thread is left."""
    before = set(threading.enumerate())
    made = ThreadedReactor()
    yield made
    for stop in made.atShutdown:
        stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of every TLS server."""
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; each test makes a database of its own."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A directory with a certificate, a key and a CA."""
    root = Authority()
    server(root).write(tmp_path, "gw")
    (tmp_path / "ca.pem").write_bytes(pemOf(root.certificate))
    return tmp_path
