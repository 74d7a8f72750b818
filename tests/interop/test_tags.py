"""
A tag in the name, by real clients: who logs in, what is recorded, which rule decides.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.running import LOOPBACK, Running, running, socksgw
from tests.live.servers import Web, program
from tests.tools.waiting import until

TEXT = (
    """
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "socks4", "http"]
[auth]
checkers = ["passwd:users"]
tag_separator = "+"
throttle = { per_user = 3, per_source = 0 }
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "jobs"
allow = ["connect"]
tag = ["job-*"]
limits = { per = "tag", sessions = 1 }
[[rule]]
id = "denied"
deny = "any"
tag = ["*"]
[[rule]]
id = "people"
allow = ["connect"]
who = ["alice"]
[[expect]]
who = "alice"
tag = "job-1"
to = "9.9.9.9:443"
verdict = "allow"
rule = "jobs"
"""
    + LOOPBACK
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("tags")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    yield from running(directory, TEXT)


def curl(
    gateway: Running, name: str, url: str, scheme: str, password: str = PASSWORD
) -> int:
    """The exit status of curl."""
    command = [
        program("curl", "curl"), "-q", "-sS", "-f", "-p", "-o", "/dev/null",
        "-U", f"{name}:{password}", "-x", f"{scheme}://127.0.0.1:{gateway.port}", url,
    ]  # fmt: skip
    return subprocess.run(command, check=False, timeout=60).returncode


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "http"])
@pytest.mark.parametrize(
    ("tag", "rule"),
    [("", "people"), ("job-4711", "jobs"), ("job-4711@x", None), ("release", "denied")],
)
def test_curl(
    gateway: Running, web: Callable[..., Web], scheme: str, tag: str, rule: str | None
) -> None:
    """Logged in as the name before the tag; the tag is recorded, and judged."""
    site = web()
    before = len(gateway.journal("decision"))
    name = f"{USER}+{tag}" if tag else USER
    status = curl(gateway, name, f"http://127.0.0.1:{site.port}/hello", scheme)
    if rule is None:
        # Another user: the tag ends at the @.
        assert status != 0
        return
    assert (status == 0) == (rule != "denied")
    line: dict[str, Any] = until(lambda: gateway.journal("decision")[before:])[-1]
    assert (line["user"], line.get("tag", ""), line["rule"]) == (USER, tag, rule)


def test_guesses(gateway: Running) -> None:
    """A tag that is none, and wrong passwords by other tags."""
    name = USER.encode()
    for whole in (name + b"+", name + b"+a b"):
        with raw.dial(gateway.port) as client:
            client.sendall(raw.GREETING_LOGIN + raw.login(whole, PASSWORD.encode()))
            assert raw.exactly(client, 4) == b"\5\2\1\1"
    lines = until(lambda: gateway.journal("login-failed")[-2:])
    assert {line["reason"] for line in lines} == {"bad-tag"}
    for number in range(4):
        with raw.dial(gateway.port, source=("127.0.0.7", 0)) as client:
            login = raw.login(name + b"+%d" % number, b"wrong-%d" % number)
            client.sendall(raw.GREETING_LOGIN + login)
            assert raw.exactly(client, 4) == b"\5\2\1\1"
    found = until(
        lambda: [x for x in gateway.journal("login-failed") if x.get("tag") == "3"]
    )
    assert [(line["claimed"], line["reason"]) for line in found] == [
        (USER, "throttled")
    ]


def test_explain(gateway: Running, web: Callable[..., Web]) -> None:
    """C{--tag}, and the tag of a record."""
    site = web()
    url = f"http://127.0.0.1:{site.port}/hello"
    assert curl(gateway, f"{USER}+job-1", url, "socks5") == 0
    line = raw.decision(gateway, site.port)
    path = ("--config", str(gateway.directory / "gw.toml"))
    told = socksgw("explain", "--record", str(line["n"]), *path)
    assert 'rule "jobs": matches' in told.stdout, told.stdout + told.stderr
    asked = ("explain", "--user", USER, "connect", "9.9.9.9:443", *path)
    assert "depends on --tag" in socksgw(*asked).stdout
    assert 'allow by rule "people"' in socksgw(*asked, "--tag", "").stdout
    assert 'deny by rule "denied"' in socksgw(*asked, "--tag", "x").stdout
    wrong = socksgw(*asked, "--tag", "a b")
    assert (wrong.returncode, "--tag" in wrong.stderr) == (2, True)
