"""
New connections come to some sockets of a port, chosen by a program in the kernel.
"""

from __future__ import annotations

import errno
import select
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from socksgw.workers.steering import steer


def members(host: str, count: int, stack: ExitStack) -> list[socket.socket]:
    """Return sockets that listen at one port."""
    found: list[socket.socket] = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(count):
        each = stack.enter_context(closing(socket.socket(family)))
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind((host, found[0].getsockname()[1] if found else 0))
        each.listen(128)
        found.append(each)
    return found


def spread(listening: Sequence[socket.socket], clients: int) -> Counter[int]:
    """Connect so many clients; return how many each socket has got."""
    found: Counter[int] = Counter()
    with ExitStack() as stack:
        for _ in range(clients):
            client = socket.create_connection(listening[0].getsockname()[:2], 5)
            stack.enter_context(closing(client))
            ready, _, _ = select.select(listening, [], [], 5)
            accepted, _ = ready[0].accept()
            accepted.close()
            found[listening.index(ready[0])] += 1
    return found


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_someAlone(stack: ExitStack, host: str) -> None:
    """Each that is named has a fair part, and no other has any, until all have."""
    listening = members(host, 4, stack)
    for chosen in ([2], [0, 3], [1, 2, 3]):
        steer(listening[0], chosen)
        found = spread(listening, 80)
        assert sorted(found) == chosen
        assert min(found.values()) > 80 / len(chosen) / 3
    steer(listening[1], [])
    assert sorted(spread(listening, 80)) == [0, 1, 2, 3]


def test_many(stack: ExitStack) -> None:
    """As many as there may be."""
    listening = members("127.0.0.1", 64, stack)
    steer(listening[0], range(1, 64))
    assert 0 not in spread(listening, 100)


def test_aSocketThatListensAlone(stack: ExitStack) -> None:
    """The kernel says that it has nothing to choose from."""
    alone = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
    with pytest.raises(OSError, match=r".") as raised:
        steer(alone, [])
    assert raised.value.errno in (errno.ENOENT, errno.EINVAL)
