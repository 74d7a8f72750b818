"""
Two workers at sockets that systemd has opened (sd_listen_fds(3)).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.clients import Server, connected, four
from tests.live.running import HEAD, running
from tests.tools.waiting import until

#: Opens two sockets as systemd does, and becomes the program.
_SYSTEMD = """
import os, socket, sys
ways = [socket.create_server(("127.0.0.1", 0)),
        socket.create_server(sys.argv[1], family=socket.AF_UNIX)]
with open("port", "w") as f:
    f.write(str(ways[0].getsockname()[1]))
for number, each in enumerate(ways, 3):
    os.dup2(each.fileno(), number)
    os.set_inheritable(number, True)
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="tcp:path", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
_TEXT = (
    HEAD.replace(
        'address = ["127.0.0.1:0"]', 'endpoint = "systemd:domain=INET:index=0"'
    )
    + """
[gateway]
workers = 2
[[listen]]
name = "path"
endpoint = "systemd:domain=UNIX:name=path"
[[rule]]
id = "all"
allow = ["connect"]
"""
)


@pytest.mark.alone
def test_bothServe(tmp_path: Path) -> None:
    """
    Both accept at the sockets that they share, also where one has died; a reload
    leaves the sockets alone.
    """
    path = tmp_path / "socket"
    prefix = (sys.executable, "-c", _SYSTEMD, str(path))
    for gateway in running(tmp_path, _TEXT, prefix=prefix):
        port = int((tmp_path / "port").read_text())

        def pids(gateway=gateway) -> dict[int, int]:  # type: ignore[no-untyped-def]
            lines = [e for e in gateway.journal("worker") if e["state"] == "started"]
            return {each["worker"]: each["pid"] for each in lines}

        # The gateway is ready when one of them serves.
        before = until(lambda pids=pids: len(pids()) == 2 and pids(), 60)
        with Server() as server, ExitStack() as stack:
            for client in (raw.dial(port), raw.dialPath(str(path))):
                stack.enter_context(closing(client))
                raw.through(client, "127.0.0.1", server.port)
            # Whoever is stopped takes nobody, and the other one takes all.
            for stopped, other in ((1, 2), (2, 1)):
                os.kill(before[stopped], signal.SIGSTOP)
                try:
                    client, reply = connected(port, four("127.0.0.1"), server.port)
                    client.close()
                finally:
                    os.kill(before[stopped], signal.SIGCONT)
                assert reply == 0
                assert gateway.journal("decision")[-1]["worker"] == other
            killed = before[1]
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: pids()[1] != killed, 30)
            os.kill(gateway.process.pid, signal.SIGHUP)
            until(lambda gateway=gateway: gateway.journal("reloaded"), 30)
            for client in (raw.dial(port), raw.dialPath(str(path))):
                stack.enter_context(closing(client))
                raw.through(client, "127.0.0.1", server.port)
        assert path.is_socket()
