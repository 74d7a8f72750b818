"""
A disk without room for the journal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from operator import gt
from pathlib import Path

from tests.live.clients import (
    Server,
    exactly,
    four,
    opened,
    request4,
    tunnel,
    verdict4,
    verdict5,
)
from tests.live.disks import fill, smallDisk
from tests.live.raw import asked
from tests.live.running import OPEN, WORKERS, Running, socksgw
from tests.tools.waiting import until

GRANTED, FAILED = 0, 1


def _flows(client: socket.socket) -> None:
    """A live session goes on."""
    sent = os.urandom(100_000)
    client.sendall(sent)
    assert exactly(client, len(sent)) == sent


@contextmanager
def _onSmallDisk(
    directory: Path, text: str, octets: int = 1 << 18
) -> Iterator[tuple[Running, Path]]:
    """A gateway whose state is on a small disk."""
    with smallDisk(directory / "var", octets) as disk:
        gateway = Running(directory, text)
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
        gateway, disk = stack.enter_context(_onSmallDisk(tmp_path, audit + OPEN))
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


#: What says that a client is served, and that it is not, by protocol.
_TOLD = {"socks5": (0, 1), "socks6": (0, 1), "socks4": (90, 91), "http": (200, 503)}
_TWO = "[gateway]\nworkers = 2\n" + OPEN.replace(
    "[[listen]]", f"[[listen]]\nprotocols = {json.dumps([*_TOLD])}", 1
)
#: Clients that ask in a row.
_MANY = 24


class _Asking:
    """
    Clients that ask for a destination, each protocol in turn.

    @ivar granted: the places of those who were told that they are served.
    @ivar refused: how many were told that they are not.
    """

    def __init__(self, gateway: Running, destination: Server) -> None:
        self.granted: list[str] = []
        self.refused = 0
        self._port = gateway.port
        self._host, self._destination = destination.place

    def many(self) -> int:
        """Have many ask, eight at a time; return how many of them were refused."""
        before = self.refused
        with ThreadPoolExecutor(8) as pool:
            for place, isServed in pool.map(self._one, [*_TOLD] * (_MANY // 4)):
                if isServed:
                    self.granted.append(place)
                else:
                    self.refused += 1
        return self.refused - before

    def _one(self, protocol: str) -> tuple[str, bool]:
        """Have one ask, who is told something in any case."""
        with closing(opened(self._port)) as client:
            host, port = self._host, self._destination
            if protocol == "http":
                place = f"{host}:{port}"
                client.sendall(
                    f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()
                )
                told = int(exactly(client, 13).removeprefix(b"HTTP/1.1 "))
            elif protocol == "socks4":
                client.sendall(request4(four(host)[1:], port))
                told = exactly(client, 8)[1]
            else:
                told = asked(client, host, port, int(protocol[-1]))
            yes, no = _TOLD[protocol]
            assert told in (yes, no), (protocol, told)
            near, number = client.getsockname()
            return f"{near}:{number}", told == yes


def test_aDiskThatTwoWorkersFill(tmp_path: Path) -> None:
    """
    Two workers fill the disk with their lines, and each time there is room again, they
    do so once more: nobody is served without a line, whoever is refused is told so in
    its protocol, both workers refuse, both serve again by themselves, and there is one
    whole journal with the end of each session.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(smallDisk(tmp_path / "var", 900_000))
        # They go one after the other.
        fillers = [disk / f"filler{number}" for number in range(2)]
        for file, octets in zip(fillers, (80_000, 700_000), strict=True):
            file.write_bytes(bytes(octets))
        gateway = Running(tmp_path, _TWO)
        stack.callback(gateway.kill)
        echo = stack.enter_context(Server())
        asking = _Asking(gateway.ready(), echo)
        live = stack.enter_context(closing(tunnel(gateway.port, echo.place)))

        def resumed() -> dict[int, list[int]]:
            """The numbers of the lines by which each worker says that it goes on."""
            found: dict[int, list[int]] = {1: [], 2: []}
            for line in gateway.journal("resumed"):
                found[line["worker"]].append(line["n"])
            return found

        def failed() -> list[int]:
            """How often each worker has told that it cannot go on."""
            told = "worker {}: the journal cannot be written"
            return [gateway.log.count(told.format(number)) for number in (1, 2)]

        for file in fillers:
            told, lines = failed(), resumed()

            def isFull(told: list[int] = told) -> bool:
                """Whether nobody is served by either."""
                return asking.many() == _MANY and all(map(gt, failed(), told))

            until(isFull, 120)
            _flows(live)
            file.unlink()
            until(
                lambda lines=lines: all(
                    len(resumed()[worker]) > len(before)
                    for worker, before in lines.items()
                )
            )

        def serve() -> bool:
            """Whether each has served since it went on; nobody is refused any more."""
            assert asking.many() == 0
            latest = {line["worker"]: line["n"] for line in gateway.journal("decision")}
            return all(latest[worker] > max(has) for worker, has in resumed().items())

        until(serve)
        _flows(live)
        near, number = live.getsockname()
        live.close()
        recorded = [line["client"] for line in gateway.journal("decision")]
        assert sorted(recorded) == sorted([*asking.granted, f"{near}:{number}"])
        until(lambda: len(gateway.journal("end")) == len(recorded))
        assert len(echo.peers) == len(recorded)
        refused = sum(line["refused"] for line in gateway.journal("resumed"))
        assert refused == asking.refused
        gateway.healthy()
        verified = socksgw("audit", "verify", "--config", "gw.toml", cwd=tmp_path)
        assert verified.returncode == 0, verified.stdout
        assert f"whole: {len(gateway.journal())} lines" in verified.stdout


def test_aWorkerThatDiesWhileTheDiskIsFull(tmp_path: Path) -> None:
    """
    Another takes its place, which refuses until there is room, and serves then; the
    journal has both, and is whole.
    """
    with ExitStack() as stack:
        gateway, disk = stack.enter_context(_onSmallDisk(tmp_path, _TWO, 1 << 20))
        echo = stack.enter_context(Server())
        asking = _Asking(gateway, echo)
        fill(disk)
        until(lambda: asking.many() == _MANY)
        (dead,) = [x["pid"] for x in gateway.journal("worker") if x["worker"] == 1]
        os.kill(dead, signal.SIGKILL)
        until(lambda: gateway.log.count("worker 1 serves (process ") == 2)
        until(lambda: asking.many() == _MANY)
        (disk / "filler").unlink()
        until(lambda: len(gateway.journal("worker")) == 4)
        lines = gateway.journal("worker")
        states = {(1, "started"): 2, (2, "started"): 1, (1, "died"): 1}
        assert Counter((line["worker"], line["state"]) for line in lines) == states
        since = max(line["n"] for line in lines)
        until(lambda: asking.many() == 0)

        def serve() -> bool:
            """Whether both serve."""
            assert asking.many() == 0
            latest = [x for x in gateway.journal("decision") if x["n"] > since]
            return {line["worker"] for line in latest} == {1, 2}

        until(serve)
        served = [line["client"] for line in gateway.journal("decision")]
        assert sorted(served) == sorted(asking.granted)
        until(lambda: len(echo.peers) == len(served))


def test_onFailureCountGoesOn(tmp_path: Path) -> None:
    """
    With C{on_failure = "count"} requests are granted without a record while
    the disk is full, and the journal says how many afterwards.
    """
    with ExitStack() as stack:
        gateway, disk = stack.enter_context(
            _onSmallDisk(tmp_path, '[audit]\non_failure = "count"\n' + OPEN)
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
