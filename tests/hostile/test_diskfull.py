"""
A disk without room for the journal.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.live.clients import Server, exactly, four, tunnel, verdict4, verdict5
from tests.live.disks import fill, smallDisk
from tests.live.running import OPEN, WORKERS, Running
from tests.tools.waiting import until

GRANTED, FAILED = 0, 1


def _flows(client: socket.socket) -> None:
    """A live session goes on."""
    sent = os.urandom(100_000)
    client.sendall(sent)
    assert exactly(client, len(sent)) == sent


@contextmanager
def _onSmallDisk(directory: Path, more: str) -> Iterator[tuple[Running, Path]]:
    """A gateway whose state is on a small disk."""
    with smallDisk(directory / "var") as disk:
        gateway = Running(directory, more + OPEN)
        try:
            yield gateway.ready(), disk
            gateway.healthy()
        finally:
            gateway.kill()


def test_aFullDiskRefusesWhatIsNew(tmp_path: Path) -> None:
    """
    While the journal cannot be written, new requests are answered with 01,
    and live sessions go on; when there is room again, the gateway serves by
    itself, and says in the journal what it refused.
    """
    audit = '[audit]\nsync = "each"\n'
    with ExitStack() as stack:
        gateway, disk = stack.enter_context(_onSmallDisk(tmp_path, audit))
        echo = stack.enter_context(Server())
        target = four(echo.place[0])
        live = stack.enter_context(closing(tunnel(gateway.port, echo.place)))
        passing = tunnel(gateway.port, echo.place)
        _flows(live)
        fill(disk)
        # A page may have room for some lines still.
        until(lambda: verdict5(gateway.port, target, echo.port) == FAILED)
        accepted = len(echo.peers)
        # One that ends now has its line written later.
        passing.close()
        replies = [verdict5(gateway.port, target, echo.port) for _ in range(4)]
        assert replies == [FAILED] * 4
        assert verdict4(gateway.port, target[1:], echo.port) == 91
        assert len(echo.peers) == accepted
        _flows(live)
        (disk / "filler").unlink()
        until(lambda: verdict5(gateway.port, target, echo.port) == GRANTED)
        until(lambda: len(gateway.journal("resumed")) == WORKERS)
        assert sum(each["refused"] for each in gateway.journal("resumed")) >= 6
        _flows(live)
        assert gateway.log.count("the journal cannot be written") == WORKERS
        assert gateway.log.count("the journal is written again") == WORKERS
        live.close()
        # Every session that was granted has its end, the early one too.
        until(lambda: len(gateway.journal("end")) == len(echo.peers))


def test_onFailureCountGoesOn(tmp_path: Path) -> None:
    """
    With C{on_failure = "count"} requests are granted without a record while
    the disk is full, and the journal says how many afterwards.
    """
    with ExitStack() as stack:
        gateway, disk = stack.enter_context(
            _onSmallDisk(tmp_path, '[audit]\non_failure = "count"\n')
        )
        echo = stack.enter_context(Server())
        target = four(echo.place[0])
        fill(disk)
        asked = 0

        def failing() -> bool:
            nonlocal asked
            asked += 1
            assert verdict5(gateway.port, target, echo.port) == GRANTED
            return "the journal cannot be written" in gateway.log

        until(failing)
        for _ in range(4):
            assert verdict5(gateway.port, target, echo.port) == GRANTED
        (disk / "filler").unlink()
        until(lambda: len(gateway.journal("resumed")) == WORKERS)
        refused = sum(each["refused"] for each in gateway.journal("resumed"))
        assert 4 <= refused <= 4 + asked
        assert len(gateway.journal("decision")) == 4 + asked - refused


def test_maxSizeIsAFullDiskToo(tmp_path: Path) -> None:
    """
    At C{max_size} the journal counts as full: new requests are refused, and
    with C{when_full = "refuse"} nothing is deleted.
    """
    directory = tmp_path / "gateway"
    directory.mkdir()
    audit = '[audit]\nmax_size = "1MB"\n'
    gateway = Running(directory, audit + OPEN)
    try:
        gateway.ready()
        with Server() as echo:
            place = four(echo.place[0]), echo.port
            replies: list[int | None] = [GRANTED]
            while replies[-1] == GRANTED and len(replies) < 10_000:
                replies.append(verdict5(gateway.port, *place))
            assert replies[-1] == FAILED
            grants = len(gateway.journal("decision"))
            assert grants == len(replies) - 2
            assert verdict5(gateway.port, *place) == FAILED
            assert len(echo.peers) == grants
        files = list((directory / "var" / "audit").glob("*.jsonl"))
        size = sum(file.stat().st_size for file in files)
        # The last tenth is for users who log in, and nobody does here.
        assert 890_000 < size <= 910_000
        until(lambda: "90% of its max_size" in gateway.log)
        gateway.stop()
        assert "Traceback" not in gateway.log
    finally:
        gateway.kill()
