"""
C{socksgw grant}, as the chapter has it, against a gateway that runs.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from socksgw.login.passwords import setPassword
from tests.live.running import Running, running, socksgw


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With the configuration of the chapter."""
    directory = tmp_path_factory.mktemp("grant")
    (found,) = re.findall(
        r"\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", chapters()["grants"]
    )
    text = re.sub(r"(?m)^    ", "", found)
    text = text.replace("127.0.0.1:1080", "127.0.0.1:0")
    text = text.replace("/run/socksgw/admin.sock", f"{directory}/admin.sock")
    for user in ("alice", "bob"):
        setPassword(directory / "users", user, b"canary-55d0")
        token = directory / f"{user}-token"
        token.touch(0o600)
        token.write_text(f"canary-55d1-{user}-0123456789\n")
    yield from running(directory, text)


def chapter() -> list[list[str]]:
    """The commands of the chapter, without their first word."""
    (found,) = re.findall(
        r"\.\. code-block:: console\n\n((?:    .*\n|\n)+)", chapters()["grants"]
    )
    text = re.sub(r"(?m)^    ", "", found).replace("\\\n", " ")
    lines = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return [shlex.split(line)[1:] for line in lines]


def grant(gateway: Running, *arguments: str, who: str = "alice") -> Any:
    """Run it as somebody."""
    place = ("--config", "gw.toml", "--token-file", f"{who}-token")
    return socksgw("grant", *arguments, *place, cwd=gateway.directory)


ASKED = ("--who", "bob", "--to", "a.db.example", "--port", "5432", "--ticket", "INC-8")


def test_theChapter(gateway: Running) -> None:
    """Asked for, approved, listed, revoked; what is printed is what stands there."""
    request, approve, list_, revoke = chapter()
    found = socksgw(*request, cwd=gateway.directory)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout in re.sub(r"(?m)^    ", "", chapters()["grants"])
    own = [word.replace("bob", "alice") for word in approve]
    assert socksgw(*own, cwd=gateway.directory).returncode == 1
    found = socksgw(*approve, cwd=gateway.directory)
    assert found.returncode == 0, found.stderr
    assert re.match(
        r"grant 1 \(INC-7\) is active, until \S+: connect for", found.stdout
    )
    listed = socksgw(*list_, cwd=gateway.directory)
    assert re.search(r"1 +active +INC-7 .* token:alice +token:bob", listed.stdout)
    assert socksgw(*revoke, cwd=gateway.directory).returncode == 0
    acts = [line["act"] for line in gateway.journal("grant")]
    assert acts == ["requested", "approved", "revoked"]
    refused = [e for e in gateway.journal("admin") if e["result"].startswith("who has")]
    assert [(e["who"], e["act"]) for e in refused] == [("token:alice", "grant-approve")]


def test_json(gateway: Running) -> None:
    """Every fact, for programs; names are exact."""
    found = grant(gateway, "request", *ASKED, "--for", "1h", "--json")
    said = json.loads(found.stdout)
    assert said["asked"]["to"] == ["=a.db.example"]
    assert said["asked"]["ports"] == [5432]
    number = str(said["number"])
    pending = grant(gateway, "list", "--state", "pending", "--json", who="bob")
    assert [str(each["number"]) for each in json.loads(pending.stdout)] == [number]
    assert grant(gateway, "revoke", number, "--why", "no").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("request", *ASKED, "--for", "9h"), 2, "at most 4h"),
        (("request", *ASKED, "--to", "8.8.8.8", "--for", "1h"), 1, "wider"),
        (("approve", "4711"), 1, "no grant 4711"),
        (("approve", "x"), 2, "invalid int"),
    ],
)
def test_refused(
    gateway: Running, arguments: tuple[str, ...], status: int, said: str
) -> None:
    """With the reason, and the status that says what kind it is."""
    found = grant(gateway, *arguments)
    assert (found.returncode, found.stdout) == (status, "")
    assert said in found.stderr


def test_notReached(tmp_path: Path) -> None:
    """Nobody is there."""
    found = socksgw("grant", "list", "--endpoint", f"unix:{tmp_path}/none")
    assert found.returncode == 3
    assert "does the gateway run" in found.stderr
