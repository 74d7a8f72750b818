"""
A real Prometheus, with the files in C{etc/}, reads a gateway that runs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import OPEN, ROOT, Running, running
from tests.live.servers import Daemon, Destination, echo, freePort, program
from tests.tools.waiting import until

ADMIN = """
[audit]
sinks = ["file:copy.jsonl"]
[admin]
endpoint = "tcp:127.0.0.1:{0}"
[[admin.token]]
name = "prometheus"
file = "token"
roles = ["read"]
"""


class Watched:
    """A gateway and the Prometheus that watches it."""

    def __init__(self, gateway: Running, port: int) -> None:
        self.gateway = gateway
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, path: str, **fields: str) -> Any:
        """Ask Prometheus."""
        query = urllib.parse.urlencode(fields)
        with urllib.request.urlopen(f"{self._url}{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> float | None:
        """The value of a query now, if it has one."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Both, started."""
    prometheus = program("prometheus", "prometheus")
    token = os.urandom(16).hex()
    (tmp_path / "gateway").mkdir()
    for file in (tmp_path / "gateway" / "token", tmp_path / "token"):
        file.touch(0o600)
        file.write_text(token)
    admin, port = (freePort(kind=socket.SOCK_STREAM) for _ in range(2))
    etc = ROOT / "etc" / "prometheus"
    text = (etc / "prometheus.yml").read_text("utf-8")
    for there, here in {
        '127.0.0.1:1081"]': f'127.0.0.1:{admin}"]',
        "/etc/prometheus/socksgw.token": str(tmp_path / "token"),
        "scrape_interval: 15s": "scrape_interval: 1s",
        "evaluation_interval: 15s": "evaluation_interval: 1s",
    }.items():
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(etc / "socksgw.rules.yml", tmp_path)
    command = [
        prometheus,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
    ]
    for gateway in running(tmp_path / "gateway", OPEN + ADMIN.format(admin)):
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        with Daemon(command, port, tmp_path / "prometheus", environment):
            yield Watched(gateway, port)


def test_scraped(watched: Watched, destination: Callable[..., Destination]) -> None:
    """It finds the gateway well, and what its clients have done."""
    server = destination(echo)
    for _ in range(5):
        with raw.dial(watched.gateway.port) as client:
            raw.through(client, "127.0.0.1", server.port)
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
    sessions = 'sum(socksgw_sessions_total{job="socksgw",verdict="allow"})'
    until(lambda: watched.value(sessions) == 5, 30)
    (target,) = watched.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    sent = 'socksgw_octets_total{listener="main",direction="sent"}'
    until(lambda: watched.value(sent) == 25)
    assert watched.value("count(socksgw_connect_seconds_bucket)") == 14
    assert watched.value("sum(socksgw_connect_seconds_count)") == 5
    until(lambda: watched.value('socksgw_sink_up{kind="file"}') == 1)
    until(lambda: watched.value("socksgw_sink_behind_lines") == 0)
    assert watched.value("socksgw_sink_position > 0")
    # It knows what they are and mean.
    about = watched.ask("metadata", metric="socksgw_sessions_total") or watched.ask(
        "metadata", metric="socksgw_sessions"
    )
    (known,) = about.values()
    assert known[0]["type"] == "counter"
    (group,) = watched.ask("rules")["groups"]
    until(lambda: watched.ask("rules")["groups"][0]["lastEvaluation"] > "1")
    assert len(group["rules"]) == 12
    assert {rule["health"] for rule in watched.ask("rules")["groups"][0]["rules"]} <= {
        "ok",
        "unknown",
    }
    assert watched.ask("alerts")["alerts"] == []
