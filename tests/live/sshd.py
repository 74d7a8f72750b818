"""
A real OpenSSH server on loopback.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.live.servers import freePort, program
from tests.tools.waiting import until

__all__ = ["Sshd"]


class Sshd:
    """
    An SSH server that lets this user in with one key.

    @ivar port: where it listens.
    @ivar options: the client's, but for how to get there.
    """

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        for name in ("host", "user"):
            command = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519"]
            command += ["-N", "", "-f", str(directory / name)]
            subprocess.run(command, check=True, timeout=60)
        self.port = freePort(kind=socket.SOCK_STREAM)
        (directory / "sshd_config").write_text(
            f"""
            Port {self.port}
            ListenAddress 127.0.0.1
            HostKey {directory}/host
            AuthorizedKeysFile {directory}/user.pub
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            """
        )
        key = (directory / "host.pub").read_text()
        (directory / "known").write_text(f"[127.0.0.1]:{self.port} {key}")
        if os.geteuid() == 0:
            # What Debian's service does before it starts sshd.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._log = directory / "log"
        command = [program("sshd", "openssh-server"), "-D", "-e"]
        command += ["-f", str(directory / "sshd_config")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.options = ["-F", "none", "-i", str(directory / "user"), "-T"]
        for option in (
            f"UserKnownHostsFile={directory}/known",
            "GlobalKnownHostsFile=none",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "ConnectTimeout=20",
        ):
            self.options += ["-o", option]

    def ready(self) -> None:
        """Wait until it listens."""
        until(lambda: b"Server listening" in self._log.read_bytes(), 20)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
