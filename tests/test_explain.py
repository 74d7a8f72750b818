"""
Asking the policy: `socksgw explain`, `[[expect]]`, `include`, `socksgw diff`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import OPEN, Running, socksgw, until

POLICY = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.1"]
[groups]
staff = ["alice"]
[schedules]
office = { days = "mon-fri", hours = "08:00-18:00", zone = "UTC" }
[[rule]]
id = "night"
deny = ["connect"]
during = ["office"]
ports = [25]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff"]
from = ["10.0.0.0/8"]
[[rule]]
id = "names"
allow = ["connect"]
to = ["*.example"]
"""


def explain(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    (tmp_path / "gw.toml").write_text(POLICY)
    done = socksgw("explain", "--config", "gw.toml", *arguments, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ["--user", "alice", "--from", "10.1.1.1", "connect", "8.8.8.8:80"],
            0,
            "staff",
        ),
        (
            ["--user", "bob", "--from", "10.1.1.1", "connect", "8.8.8.8:80"],
            1,
            "default",
        ),
        (["--user", "alice", "connect", "8.8.8.8:80"], 2, "--from"),
        (["connect", "127.0.0.1:80"], 1, "never"),
        (["--resolving-to", "8.8.8.8", "connect", "a.example:80"], 0, "names"),
        (["--resolving-to", "10.0.0.1", "connect", "a.example:80"], 1, "resolving_to"),
        (["connect", "a.other:80"], 1, "default"),
        (
            [
                "--at",
                "2026-03-02T10:00:00+00:00",
                "--resolving-to",
                "8.8.8.8",
                "connect",
                "a.example:25",
            ],
            1,
            "night",
        ),
        (
            [
                "--at",
                "2026-03-01T10:00:00+00:00",
                "--resolving-to",
                "8.8.8.8",
                "connect",
                "a.example:25",
            ],
            0,
            "during",
        ),
        (["connect", "0177.0.0.1:80"], 2, "strict"),
        (["--at", "2026-03-01T10:00:00", "connect", "8.8.8.8:80"], 2, "offset"),
        ([], 2, "COMMAND HOST:PORT"),
    ],
)
def test_explain(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    """The verdict as exit status; what it depends on is named, not guessed."""
    found, text = explain(tmp_path, *arguments)
    assert found == status, text
    assert said in text


def test_explainAsJSON(tmp_path: Path) -> None:
    """Every rule that was tried, with the first condition that failed."""
    status, text = explain(
        tmp_path, "--json", "--resolving-to", "8.8.8.8", "--resolving-to", "127.0.0.1",
        "--at", "2026-03-02T10:00:00+00:00", "connect", "a.example:80",
    )  # fmt: skip
    found = json.loads(text)
    assert (status, found["verdict"], found["rule"]) == (0, "allow", "names")
    assert found["addresses"] == ["8.8.8.8"]
    assert found["struck"] == [["127.0.0.1", "never: loopback"]]
    assert found["rules"][0]["tried"] == [
        {"rule": "night", "unmet": "ports"},
        {"rule": "staff", "unmet": "who"},
        {"rule": "names", "unmet": None},
    ]


EXPECT = """
[[expect]]
who = "alice"
from = "10.1.1.1"
command = "connect"
to = "8.8.8.8:80"
verdict = "{verdict}"
rule = "staff"
"""


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (EXPECT.format(verdict="allow"), 0, "is good"),
        (EXPECT.format(verdict="deny"), 2, "expect[0]: expects deny"),
        (
            EXPECT.format(verdict="allow").replace('from = "10.1.1.1"\n', ""),
            2,
            "depends on `from`",
        ),
        ('[[expect]]\nto = "a.example:80"\nverdict = "allow"', 2, "`resolving_to`"),
        ('[[expect]]\nto = "a.other:80"\nverdict = "deny"', 0, "is good"),
        ('[[expect]]\nto = "8.8.8.8:x"\nverdict = "deny"', 2, "the port"),
    ],
)
def test_expect(tmp_path: Path, more: str, status: int, said: str) -> None:
    """Expectations are run by `check`; what they do not say is not guessed."""
    (tmp_path / "gw.toml").write_text(POLICY + more)
    done = socksgw("check", "gw.toml", cwd=tmp_path)
    assert done.returncode == status, done.stdout
    assert said in done.stdout


def test_expectationsBeforeTheStart(tmp_path: Path) -> None:
    """With an expectation that fails the gateway does not start."""
    gateway = Running(tmp_path, POLICY + EXPECT.format(verdict="deny"))
    assert gateway.process.wait(30) == 2
    assert "expect[0]: expects deny" in gateway.log


def test_include(tmp_path: Path) -> None:
    """Included rules follow, by the names of the files; errors name the file."""
    rules = tmp_path / "rules.d"
    rules.mkdir()
    (rules / "b.toml").write_text(
        '[[rule]]\nid = "b"\ndeny = "any"\nto = ["8.0.0.0/8"]'
    )
    (rules / "a.toml").write_text('[[rule]]\nid = "a"\nallow = "any"\nports = [80]')
    (tmp_path / "gw.toml").write_text('include = ["rules.d/*.toml"]\n' + POLICY)
    for port, rule in ((80, "a"), (81, "b")):
        done = socksgw(
            "explain", "--config", "gw.toml", "connect", f"8.8.8.8:{port}", cwd=tmp_path
        )
        assert f'by rule "{rule}"' in done.stdout
    (rules / "b.toml").write_text('[[rule]]\nid = "b"\ndeny = "any"\nto = ["nowhere"]')
    (rules / "c.toml").write_text('[[listen]]\nname = "x"')
    (rules / "d.toml").write_text("[[rule]\n")
    done = socksgw("check", "gw.toml", cwd=tmp_path)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "rules.d/c.toml: listen: unknown key" in said
    assert "rules.d/d.toml: line 1" in said or "rules.d/d.toml: " in said


def test_diff(tmp_path: Path, gateway: Callable[..., Running]) -> None:
    """Recorded traffic, judged by another policy."""
    running = gateway(OPEN)
    for _ in range(3):
        import socket

        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(b"\x05\x01\0\x05\x01\0\x01\x7f\0\0\x01\0\x01")
            until(lambda c=client: c.recv(20), 10)
    until(lambda: len(running.journal("decision")) == 3)
    directory = running.directory
    (directory / "new.toml").write_text(OPEN.replace('["connect"]', '["udp"]'))
    same = socksgw("diff", "gw.toml", "gw.toml", cwd=directory)
    assert (same.returncode, same.stdout.split("\n")[-2]) == (
        0,
        "of 3 decisions 0 would change",
    )
    other = socksgw("diff", "gw.toml", "new.toml", cwd=directory)
    assert other.returncode == 1
    assert "3 × anonymous connect 127.0.0.1:1" in other.stdout
    assert "of 3 decisions 3 would change" in other.stdout
