"""
The image for containers, run by podman: without root, its root read-only.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.containers import Podman, containers
from tests.live.netns import within
from tests.live.origin import answer
from tests.live.packages import containerImage
from tests.live.servers import Destination, program
from tests.tools.waiting import until

IMAGE = "localhost/socksgw:0.1.0"
FILE = "/etc/socksgw/gateway.toml"
#: What is mounted: with users, and for the tests' servers.
CONFIGURATION = """
[gateway]
state_dir = "/var/lib/socksgw"
[admin]
[[listen]]
name = "all"
address = ["0.0.0.0:1080"]
[auth]
checkers = ["passwd:/run/secrets/users"]
[[auth.choose]]
methods = ["userpass"]
cleartext_passwords = true
[never]
except = ["127.0.0.0/8"]
[[rule]]
id = "all"
allow = ["connect"]
who = ["alice"]
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return containerImage("bookworm", tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def podman(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """A podman that has the image."""
    with containers(tmp_path_factory.mktemp("podman")) as podman:
        # In Docker's format it has a check of health.
        podman.run("pull", f"docker-archive:{image}")
        yield podman


@pytest.fixture
def mounts(podman: Podman, tmp_path: Path) -> Iterator[list[str]]:
    """
    Options that mount a configuration, a file of secrets, and a volume for the state.
    """
    (tmp_path / "gateway.toml").write_text(CONFIGURATION)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    podman.start(
        "--rm", "--user=0", "-v", f"{secrets}:/secrets", "-e=X=secret",
        IMAGE, "sh", "-c", 'echo "$X" | socksgw passwd /secrets/users alice',
    )  # fmt: skip
    podman.run("secret", "create", "users", str(secrets / "users"))
    yield [
        "-v", f"{tmp_path}/gateway.toml:{FILE}:ro", "-v", "state:/var/lib/socksgw",
        "--secret", "users,uid=1080,mode=0400",
    ]  # fmt: skip
    podman.run("secret", "rm", "users")
    podman.run("volume", "rm", "-f", "state")


def web(connection: socket.socket) -> None:
    """Answer one request."""
    connection.recv(65536)
    connection.sendall(answer(b"served"))


def fetch(podman: Podman, port: int) -> str:
    """Return what curl gets through the gateway, as a user."""
    with within(podman.network):
        done = subprocess.run(
            [program("curl", "curl"), "-sS", "-x", "socks5h://alice:secret@127.0.0.1:1080",
             f"http://127.0.0.1:{port}"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    return done.stdout + done.stderr


def healthy(podman: Podman, name: str) -> bool:
    """Run the image's check of health."""
    return podman.run("healthcheck", "run", name, status=None).returncode == 0


def test_serves(podman: Podman, mounts: list[str]) -> None:
    """A user reaches a server; health is told; it ends in order, and goes on."""
    podman.start("-d", "--name=gateway", *mounts, IMAGE)
    try:
        assert until(lambda: healthy(podman, "gateway"), 60)
        with within(podman.network):
            server = Destination(web)
        with server:
            assert fetch(podman, server.port) == "served"
        inside = podman.run(
            "exec", "gateway", "sh", "-c",
            "id -u; grep CapEff /proc/1/status; touch /x /usr/x /etc/x", status=1,
        )  # fmt: skip
        assert inside.stdout == "1080\nCapEff:\t0000000000000000\n"
        assert inside.stderr.count("Read-only file system") == 3
        podman.run("exec", "gateway", "socksgw", "drain", "--config", FILE)
        assert not healthy(podman, "gateway")
        state = json.loads(podman.run("inspect", "gateway").stdout)[0]["State"]
        assert state["Health"]["Log"][-1]["Output"] == "not ready: the gateway drains"
        podman.run("stop", "-t", "60", "gateway")
        state = json.loads(podman.run("inspect", "gateway").stdout)[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        # A new container goes on with the volume.
        verified = podman.start("--rm", *mounts, IMAGE, "socksgw", "audit", "verify",
                                "--config", FILE)  # fmt: skip
        assert "whole: " in verified.stdout
        told = podman.start("--rm", *mounts, IMAGE, "socksgw", "audit", "search",
                            "--config", FILE, "--user", "alice")  # fmt: skip
        assert "127.0.0.1" in told.stdout
    finally:
        podman.run("rm", "-f", "-t", "0", "gateway")


def test_asItIs(podman: Podman) -> None:
    """Without a mount it serves programs beside it. Nothing is there without need."""
    podman.start("-d", "--name=plain", IMAGE)
    try:
        assert until(lambda: healthy(podman, "plain"), 60)
        with within(podman.network):
            socket.create_connection(("127.0.0.1", 1080), 10).close()
        podman.run("exec", "plain", "test", "-x", "/usr/bin/socksgw")
        for needless in ("/usr/bin/apt", "/usr/bin/systemctl", "/usr/share/man/man1"):
            podman.run("exec", "plain", "test", "-e", needless, status=1)
    finally:
        podman.run("rm", "-f", "-t", "0", "plain")


def test_wrongConfiguration(podman: Podman, tmp_path: Path) -> None:
    """It ends with the status 2, and says which key it is."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(f"{CONFIGURATION}\nnonsense = 1\n")
    done = podman.start("--rm", "-v", f"{wrong}:{FILE}:ro", IMAGE, status=2)
    assert "rule[1].nonsense" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_described(podman: Podman, image: Path) -> None:
    """Its labels say what it is, of which commit; it is an image of OCI's, too."""
    (found,) = json.loads(podman.run("image", "inspect", IMAGE).stdout)
    labels = found["Labels"]
    assert labels["org.opencontainers.image.version"].startswith("0.1.0-1~deb12")
    assert labels["org.opencontainers.image.revision"] == "0123456789ab"
    assert found["Config"]["User"] == "1080:1080"
    assert set(found["Config"]["Volumes"]) == {"/var/lib/socksgw", "/run/socksgw"}
    test = found["Healthcheck"]["Test"]
    assert test == ["CMD", "socksgw", "status", "--ready", "--config", FILE]
    loaded = podman.run("load", "-i", str(image)).stdout
    assert loaded == f"Loaded image: {IMAGE}\n"
    (again,) = json.loads(podman.run("image", "inspect", IMAGE).stdout)
    assert again["ManifestType"] == "application/vnd.oci.image.manifest.v1+json"
    assert again["Labels"] == labels
