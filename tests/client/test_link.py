"""
The seam between a dialogue and what carries it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError

from socksgw.client.errors import ProtocolBroken, ProxyClosed
from socksgw.client.link import ConnectionLink
from socksgw.system.watch import Watch
from tests.fakes.carriers import CARRIERS, Carried, Peer
from tests.fakes.links import MemoryLink, begun, failed, result
from tests.fakes.loops import ReactorLoop


def test_octetsBeforeTheyAreAwaited() -> None:
    """What came is told first, and in one piece; then what comes."""
    link = MemoryLink()
    link.came(b"a")
    link.came(b"b")
    assert result(begun(link.more())) == b"ab"
    running = begun(link.more())
    link.came(b"c")
    assert result(running) == b"c"


def test_endBehindOctets() -> None:
    """Octets that came before the end are told before it, and the end again and again."""
    link = MemoryLink()
    link.came(b"a")
    link.close()
    assert result(begun(link.more())) == b"a"
    for _ in range(2):
        assert isinstance(failed(begun(link.more())), ProxyClosed)


def test_cancelled() -> None:
    """Who awaits may give up; what comes later is for the next."""
    link = MemoryLink()
    running = begun(link.more())
    running.cancel()
    assert isinstance(failed(running), CancelledError)
    link.came(b"late")
    assert result(begun(link.more())) == b"late"


def test_endWhileNobodyWaits() -> None:
    """The first end counts."""
    link = MemoryLink()
    link.ended(ProxyClosed("first"))
    link.ended(ProxyClosed("second"))
    assert str(failed(begun(link.more()))) == "first"


def test_flood() -> None:
    """A proxy that sends and is not awaited is read no more, nor waited for."""
    link = MemoryLink()
    link.came(bytes(1 << 16))
    assert not link.paused
    link.came(b"!")
    assert link.paused
    assert len(result(begun(link.more()))) == (1 << 16) + 1
    assert isinstance(failed(begun(link.more())), ProtocolBroken)


@pytest.fixture
def loop() -> Iterator[ReactorLoop]:
    """The reactor that carries them."""
    made = ReactorLoop()
    yield made
    made.closeLoop()


@pytest.fixture(params=CARRIERS)
def carried(
    request: pytest.FixtureRequest, loop: ReactorLoop, tmp_path: Path
) -> Iterator[tuple[ConnectionLink, Peer]]:
    """A link on a connection of each kind, and its other end."""
    watch = Watch(loop.reactor)
    watch.start()
    made = Carried(loop, watch, tmp_path)
    connection, peer = CARRIERS[request.param](made)
    yield ConnectionLink(connection), peer
    connection.abortConnection()
    loop.settle()
    assert watch.watched == 0
    watch.stop()
    peer.plain.close()


def test_overConnection(
    carried: tuple[ConnectionLink, Peer], loop: ReactorLoop
) -> None:
    """Octets go both ways, and the orderly end is told."""
    link, peer = carried
    link.write(b"ask")
    heard: list[bytes] = []

    def hears() -> bool:
        try:
            heard.append(peer.recv())
        except BlockingIOError:
            pass
        return bool(heard)

    loop.until(hears)
    assert heard == [b"ask"]
    running = begun(link.more())
    peer.send(b"answer")
    loop.until(lambda: running.called)
    assert result(running) == b"answer"
    running = begun(link.more())
    peer.end()
    loop.until(lambda: running.called)
    assert isinstance(failed(running), ProxyClosed)


def test_resetBehindReply(
    carried: tuple[ConnectionLink, Peer], loop: ReactorLoop
) -> None:
    """A reply is read although a reset stands behind it (Dante)."""
    link, peer = carried
    peer.send(b"reply")
    peer.reset()
    running = begun(link.more())
    loop.until(lambda: running.called)
    assert result(running) == b"reply"
    running = begun(link.more())
    loop.until(lambda: running.called)
    assert isinstance(failed(running), ProxyClosed)


def test_paused(carried: tuple[ConnectionLink, Peer], loop: ReactorLoop) -> None:
    """What comes behind a dialogue waits for the next receiver."""
    link, peer = carried
    link.pause()
    peer.send(b"later")
    loop.settle()
    running = begun(link.more())
    assert not running.called
    running.cancel()
    failed(running)
    link.connection.take(link)
    running = begun(link.more())
    loop.until(lambda: running.called)
    assert result(running) == b"later"
