"""
An agent's sandbox that chains to the company's proxy, which is the gateway.

The sandbox is C{@anthropic-ai/sandbox-runtime}: programs inside have no network but its own
proxy, whose parent takes HTTP alone.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.shared import PASSWORD, USER
from tests.live import raw
from tests.live.names import KnownNames
from tests.live.running import Running, running, socksgw
from tests.live.servers import Web, missing, program

RUNTIME = "@anthropic-ai/sandbox-runtime@0.0.83"
CONFIGURATION = """
[[listen]]
name = "agents"
address = ["127.0.0.1:0"]
protocols = ["http"]
[http]
reasons = true
[resolver]
servers = ["127.0.0.1:%d"]
[auth]
checkers = ["passwd:users"]
[[auth.choose]]
methods = ["userpass"]
[[rule]]
id = "no-secrets"
deny = "any"
to = ["=secret.corp.test"]
message = "ask for access at the help desk"
[[rule]]
id = "agents"
allow = ["connect"]
who = ["alice"]
to = ["*.corp.test"]
resolving_to = ["loopback"]
[never]
to = []
"""


@pytest.fixture(scope="module")
def runtime(pytestconfig: pytest.Config) -> str:
    """The sandbox's program; it is kept from run to run."""
    program("bwrap", "bubblewrap")
    program("socat", "socat")
    program("rg", "ripgrep")
    done = subprocess.run(
        ["bwrap", "--unshare-net", "--unshare-pid", "--ro-bind", "/", "/", "true"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        missing("namespaces for bwrap")
    directory = pytestconfig.cache.mkdir("sandbox-runtime-0.0.83")
    found = directory / "node_modules" / ".bin" / "srt"
    if not found.exists():
        command = [program("npm", "npm"), "install", "--prefix", str(directory)]
        command += ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", RUNTIME]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except subprocess.SubprocessError as e:
            missing(f"{RUNTIME} from npm's registry: {e}")
    return str(found)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The company's gateway, with a name server that knows its names."""
    directory = tmp_path_factory.mktemp("agents")
    made = socksgw("passwd", "users", USER, cwd=directory, stdin=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    known = {"www.corp.test": "127.0.0.1", "secret.corp.test": "127.0.0.1"}
    with KnownNames(known) as names:
        yield from running(directory, CONFIGURATION % names.port)


@pytest.fixture
def inside(
    runtime: str, gateway: Running, quiet: dict[str, str], tmp_path: Path
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """C{inside(script)}: a shell script in the sandbox."""
    settings = tmp_path / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "network": {"allowedDomains": ["*.corp.test"], "deniedDomains": []},
                "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []},
            }
        )
    )
    proxy = f"http://{USER}:{PASSWORD}@127.0.0.1:{gateway.port}"
    environment = {**quiet, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [runtime, "--settings", str(settings), "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_aSandboxReachesOut(
    gateway: Running,
    inside: Callable[[str], subprocess.CompletedProcess[str]],
    web: Callable[..., Web],
    scheme: str,
) -> None:
    """What the rules allow is reached, and recorded as the sandbox's user's."""
    server = web("127.0.0.1", scheme == "https")
    url = f"{scheme}://www.corp.test:{server.port}/agent"
    done = inside(f"curl -sSk --max-time 20 {url}")
    assert "served: /agent" in done.stdout, done.stderr
    line = raw.decision(gateway, server.port)
    assert (line["protocol"], line["verdict"]) == ("http", "allow")
    assert (line["user"], line["asked"]) == (USER, "www.corp.test")


def test_theReasonReachesTheAgent(
    gateway: Running, inside: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    """
    What is denied tells who is inside by which rule.

    This is so of an http URL. Of the parent's answer to CONNECT the runtime hands
    on that it failed, 502, and no more.
    """
    done = inside("curl -sS --max-time 20 http://secret.corp.test:9/")
    assert 'Rule "no-secrets"' in done.stdout, done.stderr
    assert "ask for access at the help desk" in done.stdout
    line = raw.decision(gateway, 9)
    assert (line["verdict"], line["rule"]) == ("deny", "no-secrets")
    done = inside("curl -sS --max-time 20 https://secret.corp.test:9/")
    assert "502" in done.stderr
