"""
strongSwan between two network namespaces: IKEv2, and ESP by a program (libipsec), so
that the kernel needs no IPsec of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from tests.live.running import environment
from tests.live.servers import missing, program

__all__ = ["DEVICE", "Charon", "charon"]

#: Where packets come in that ESP has let through.
DEVICE = "ipsec0"
_CHARON = Path("/usr/lib/ipsec/charon")
_DAEMON = """
charon {
  load_modular = no
  load = random nonce aes sha1 sha2 hmac kdf gmp kernel-libipsec kernel-netlink \
socket-default vici
  plugins {
    vici {
      socket = %(socket)s
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
  }
  filelog {
    log {
      path = %(log)s
      default = 1
      flush_line = yes
    }
  }
}
"""
_CONNECTION = """
connections {
  test {
    version = 2
    local_addrs = %(own)s
    remote_addrs = %(peer)s
    encap = yes
    proposals = aes128-sha256-modp2048
    local {
      auth = psk
      id = %(own)s
    }
    remote {
      auth = psk
      id = %(peer)s
    }
    children {
      test {
        local_ts = %(inner)s/32
        remote_ts = %(far)s/32
        esp_proposals = aes128-sha256
      }
    }
  }
}
secrets {
  ike {
    secret = a-secret-of-this-test
  }
}
"""


@final
class Charon:
    """One end: its daemon runs, and its connection is configured."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = f"unix://{folder}/vici"

    def command(self, *arguments: str) -> str:
        """Run C{swanctl}, and return what it prints."""
        done = subprocess.run(
            [program("swanctl", "strongswan-swanctl"), arguments[0],
             "--uri", self._socket, *arguments[1:]],
            cwd=self._folder,
            env=environment(STRONGSWAN_CONF=str(self._folder / "strongswan.conf")),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + self.log
        return done.stdout

    @property
    def log(self) -> str:
        """What the daemon has said."""
        return (self._folder / "charon.log").read_text()


@contextmanager
def charon(
    folder: Path, own: str, peer: str, inner: str, far: str, netns: str = ""
) -> Iterator[Charon]:
    """
    Run one end.

    @param own: its address; the other end is at C{peer}.
    @param inner: the address inside the tunnel, which leads to C{far}.
    @param netns: the namespace; empty for this one.
    """
    if not _CHARON.exists():
        missing("strongswan-charon")
    folder.mkdir()
    given = {"own": own, "peer": peer, "inner": inner, "far": far}
    given |= {"socket": f"unix://{folder}/vici", "log": f"{folder}/charon.log"}
    settings = folder / "strongswan.conf"
    settings.write_text(_DAEMON % given)
    (folder / "swanctl.conf").write_text(_CONNECTION % given)
    inside = ["ip", "netns", "exec", netns] if netns else []
    # Its files in /run are this one's alone.
    setup = f"mount -t tmpfs tmpfs /run && exec {_CHARON}"
    process = subprocess.Popen(
        [*inside, "unshare", "-m", "sh", "-c", setup],
        env=environment(STRONGSWAN_CONF=str(settings)),
        stdout=sys.stderr,
    )
    try:
        until = time.monotonic() + 10
        while not (folder / "vici").exists():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        made = Charon(folder)
        made.command("--load-all", "--file", str(folder / "swanctl.conf"))
        yield made
    finally:
        process.kill()
        process.wait(10)
