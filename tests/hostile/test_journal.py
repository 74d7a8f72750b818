"""
What others do to the journal of a gateway that runs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.clients import (
    GREETING,
    Server,
    exactly,
    four,
    opened,
    powerless,
    request5,
    tunnel,
)
from tests.live.running import (
    OPEN,
    WORKERS,
    Running,
    environment,
    socksgw,
    withWorkers,
)
from tests.tools.waiting import until


def test_aJournalThatIsDeletedWhileItRuns(tmp_path: Path) -> None:
    """
    Within a second or so: an alarm, and a new file; clients are served, and
    their lines are there.
    """
    gateway = Running(tmp_path)
    try:
        gateway.ready()
        with Server() as server:
            with closing(tunnel(gateway.port, server.place)):
                until(lambda: gateway.journal("decision"))
                for file in (tmp_path / "var" / "audit").glob("*.jsonl"):
                    file.unlink()
                until(lambda: gateway.journal("missing"), 3)
            with closing(tunnel(gateway.port, server.place)):
                assert gateway.journal("decision")
        until(lambda: "were moved, deleted or cut" in gateway.log)
        gateway.stop()
        assert len(gateway.journal("end")) == 2
        verified = socksgw("audit", "verify", "--config", "gw.toml", cwd=tmp_path)
        assert verified.returncode == 1
        assert "NOT whole" in verified.stdout
        log = gateway.log.splitlines()
        head = [line.split()[-1] for line in log if "journal head" in line][-1]
        assert f"{gateway.journal()[-1]['n']}:" in head
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


def _refused(gateway: Running) -> int:
    """How many refusals its journal tells of."""
    summed: int = sum(line["count"] for line in gateway.journal("refusals"))
    return len(gateway.journal("refused")) + summed


def test_aReloadAppliesMaxSizeAndStrangersAreSummed(
    gateway: Callable[..., Running],
) -> None:
    """Refused clients are counted, and what max_size says holds at once."""
    started = gateway('[audit]\nmax_size = "10MB"\n' + OPEN)
    # Each worker writes so many lines before it sums.
    count = 1200 * WORKERS
    for _ in range(count):
        with closing(opened(started.port)) as client:
            # Only a method that nobody knows (RFC 1928 section 3).
            client.sendall(b"\x05\x01\x80")
            assert client.recv(2) == b"\x05\xff"
    until(lambda: _refused(started) == count)
    assert started.journal("refusals")
    text = withWorkers('[audit]\nmax_size = "20MB"\n' + OPEN)
    (started.directory / "gw.toml").write_text(text)
    started.process.send_signal(signal.SIGHUP)
    until(lambda: started.journal("reloaded"))
    assert "takes effect at the next start" not in started.log


def _denied(gateway: Running) -> int:
    """How many denials its journal tells of."""
    summed: int = sum(line["count"] for line in gateway.journal("denials"))
    lines = gateway.journal("decision")
    return summed + [line["verdict"] for line in lines].count("deny")


def test_aFloodOfDeniedRequests(gateway: Callable[..., Running]) -> None:
    """All are refused and counted, most in sums; each grant has its line."""
    started = gateway(OPEN)
    # Each worker writes so many lines before it sums.
    count, grants = 1200 * WORKERS, 0
    denied = GREETING + request5(four("10.0.0.1"), 23, 2)
    with Server() as server:
        for n in range(count):
            with closing(opened(started.port)) as client:
                client.sendall(denied)
                assert exactly(client, 4) == b"\x05\x00\x05\x02"
            if n % 100 == 0:
                tunnel(started.port, server.place).close()
                grants += 1
    until(lambda: _denied(started) == count)
    lines = started.journal("decision")
    assert sum(line["verdict"] == "allow" for line in lines) == grants
    (first, *_) = started.journal("denials")
    assert (first["user"], first["first"]) == ("anonymous", "bind 10.0.0.1:23")
    started.stop()
    assert started.journal()[-1]["event"] == "stop"


@pytest.mark.parametrize("command", ["follow", "verify"])
def test_whoMayNotReadTheJournalIsTold(tmp_path: Path, command: str) -> None:
    """One line with the remedy, and status 2."""
    (tmp_path / "gw.toml").write_text(OPEN)
    directory = tmp_path / "var" / "audit"
    directory.mkdir(parents=True)
    directory.parent.chmod(0)
    done = subprocess.run(
        [
            *powerless(),
            sys.executable,
            "-m",
            "socksgw.console.command",
            "audit",
            command,
            "--config",
            "gw.toml",
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    directory.parent.chmod(0o700)
    assert done.returncode == 2
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "Permission denied" in line
    assert "gateway's user" in line
