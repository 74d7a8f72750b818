"""
What is told where standard output leads to the journal of systemd.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.audit.lines import having
from socksgw.console.denials import _MARKS
from tests.live import raw
from tests.live.running import HEAD, Running
from tests.live.servers import Destination, echo
from tests.tools.waiting import until

_RULES = """
[[rule]]
id = "some"
allow = ["connect"]
ports = [%d]
"""


def test_deniedAndReady(tmp_path: Path) -> None:
    """It is ready, and what it denies, with their priority; not what it allows."""
    log = tmp_path / "log"
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    with Destination(echo) as server:
        gateway = Running(
            tmp_path, HEAD + _RULES % server.port, extra={"JOURNAL_STREAM": stream}
        ).ready()
        with raw.dial(gateway.port) as client:
            raw.through(client, "127.0.0.1", server.port)
        for word in (b'quoted\\"verdict\\":\\"deny', b"x"):
            with raw.dial(gateway.port) as client:
                client.sendall(raw.GREETING)
                raw.exactly(client, 2)
                name = word[:200]
                client.sendall(
                    b"\x05\x01\x00\x03" + bytes([len(name)]) + name + b"\x00\x09"
                )
                raw.reply5(client)
        with raw.dial(gateway.port) as client:
            client.sendall(b"\x05\x01\x02")
            raw.exactly(client, 2)
        until(lambda: "<5>REFUSE" in gateway.log)
        gateway.healthy()
    lines = [line for line in gateway.log.splitlines() if line.startswith("<5>")]
    assert (
        lines[0]
        == f'<5>socksgw "socksgw" is ready: listens on 127.0.0.1:{gateway.port}'
    )
    assert all(line.startswith(("<5>DENY", "<5>REFUSE")) for line in lines[1:])
    assert len(lines) == 4
    assert "ALLOW" not in gateway.log
    assert gateway.log.startswith("<")


def test_marked() -> None:
    """In their order, each once; what a client has said is no mark."""
    allowed = (
        b'{"event":"decision","verdict":"allow","name":"\\"verdict\\":\\"deny\\""}\n'
    )
    denied = b'{"event":"decision","verdict":"deny"}\n'
    failed = b'{"event":"login-failed","claimed":"a"}\n'
    lines = [allowed, denied, failed, allowed, denied]
    assert list(having(b"".join(lines), *_MARKS)) == [
        denied[:-1], failed[:-1], denied[:-1],
    ]  # fmt: skip
    assert list(having(allowed, *_MARKS)) == []
