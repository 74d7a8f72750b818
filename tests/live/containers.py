"""
Podman, in namespaces of its own: what runs there ends with them.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.servers import missing, program
from tests.tools.waiting import until

__all__ = ["Podman", "containers"]

#: What holds the namespaces: a network with a loopback, and control groups of version 2
#: alone, which containers' runtimes want.
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
touch "$1"
exec sleep infinity
"""
#: What the image promises to do without.
_CONFINED = (
    "--read-only", "--read-only-tmpfs=false", "--cap-drop=all",
    "--security-opt=no-new-privileges",
)  # fmt: skip


class Podman:
    """
    Podman with a storage of its own.

    @ivar network: the network of its containers, for L{tests.live.netns.within}.
    """

    def __init__(self, pid: int, storage: Path) -> None:
        self.network = f"/proc/{pid}/ns/net"
        self._command = [
            "nsenter", "-t", str(pid), "-m", "-n", "-p", "-C",
            program("podman", "podman"), "--root", str(storage), "--runroot", "/run/c",
        ]  # fmt: skip

    def run(
        self, *words: str, status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """
        Run podman.

        @param status: what it has to end with; L{None} for any.
        """
        done = subprocess.run(
            [*self._command, *words],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert status in (None, done.returncode), (words, done.returncode, said)
        return done

    def start(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Have a container begin that has no rights and a root that is read-only."""
        limits = []
        for name, kind in (
            ("nofile", resource.RLIMIT_NOFILE),
            ("nproc", resource.RLIMIT_NPROC),
        ):
            # Podman asks for more than this process may.
            most = min(resource.getrlimit(kind)[1], 4096)
            limits.append(f"--ulimit={name}={most}:{most}")
        return self.run(
            "run", "--network=host", "--cgroups=disabled", *limits, *_CONFINED, *words,
            status=status,
        )  # fmt: skip


@contextmanager
def containers(directory: Path) -> Iterator[Podman]:
    """
    Have a podman.

    @param directory: an empty one.
    """
    unshare = program("unshare", "util-linux")
    program("podman", "podman")
    if os.geteuid() != 0:
        missing("root, for namespaces")
    ready, storage = directory / "ready", directory / "storage"
    with (directory / "holder.log").open("wb") as log:
        outer = subprocess.Popen(
            [unshare, "-m", "-n", "-p", "-f", "-C", "--kill-child", "--mount-proc",
             "sh", "-c", _SCRIPT, "sh", str(ready)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        until(lambda: ready.exists() or outer.poll() is not None, 60)
        assert outer.poll() is None, (directory / "holder.log").read_text()
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        yield Podman(int(children.read_text()), storage)
    finally:
        outer.send_signal(signal.SIGKILL)
        outer.wait(30)
        shutil.rmtree(storage, ignore_errors=True)
