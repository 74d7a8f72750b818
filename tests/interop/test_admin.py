"""
The chapter about a live gateway: its configuration, its commands, curl.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.live import raw
from tests.live.running import ALL, HEAD, ROOT, Running, running, socksgw
from tests.live.servers import Destination, echo, freePort, program

CHAPTER = (ROOT / "socksgw" / "manual" / "admin.rst").read_text()
#: What its commands end with, where that is not 0: nobody can be alice there.
STATUSES = {"explain": 1}


def lines(begin: str) -> list[str]:
    """Return the lines of the chapter's blocks that begin so, without comments."""
    found = re.findall(rf"(?m)^    ({begin} .*)$", CHAPTER)
    return [each.partition("   #")[0].strip() for each in found]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with the chapter's configuration, at places of the test's own."""
    directory = tmp_path_factory.mktemp("chapter")
    block = CHAPTER.partition(".. code-block:: toml\n")[2].partition("\n\n\n")[0]
    text = "\n".join(line[4:] for line in block.splitlines() if line[:4].isspace())
    port = freePort(kind=socket.SOCK_STREAM)
    text = text.replace("/run/socksgw/", f"{directory}/").replace("1081", str(port))
    for name in ("noc-token", "oncall-token"):
        (directory / name).touch(0o600)
        (directory / name).write_text(f"{name}-0123456789\n")
    # After a drain it is opened again, at the same port.
    own = f"127.0.0.1:{freePort(kind=socket.SOCK_STREAM)}"
    head = HEAD.replace("127.0.0.1:0", own)
    for each in running(directory, head + ALL + text):
        each.admin = port  # type: ignore[attr-defined]
        yield each


def session(gateway: Running, server: Destination) -> tuple[socket.socket, str]:
    """Open a session, and return its client and its number."""
    client = raw.dial(gateway.port)
    raw.through(client, "127.0.0.1", server.port)
    return client, str(raw.decision(gateway, server.port)["session"])


def test_commands(gateway: Running) -> None:
    """Each line works as it stands there, on a session that lives."""
    commands = lines("socksgw")
    assert len(commands) == 9
    with Destination(echo) as server:
        client, number = session(gateway, server)
        with client:
            for each in commands:
                words = shlex.split(re.sub(r"\b17\b", number, each))[1:]
                done = socksgw(*words, cwd=gateway.directory)
                assert done.returncode == STATUSES.get(words[0], 0), (each, done)
                if words[:2] == ["kill", number]:
                    with pytest.raises(ConnectionResetError):
                        client.recv(1)
    done = socksgw("drain", "--undo", "--config", "gw.toml", cwd=gateway.directory)
    assert done.returncode == 0, done


def test_curl(gateway: Running) -> None:
    """And those of curl, in a shell."""
    curl = program("curl", "curl")
    commands = lines("curl")
    assert len(commands) == 5
    with Destination(echo) as server:
        client, number = session(gateway, server)
        with client:
            for each in commands:
                text = each.replace("1081", str(gateway.admin))  # type: ignore[attr-defined]
                text = text.replace("curl ", f"{curl} -sSf ", 1)
                done = subprocess.run(
                    ["/bin/sh", "-c", text],
                    cwd=gateway.directory,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert done.returncode == 0, (each, done)
                if "user=anonymous" in each:
                    assert f'"session":{number},' in done.stdout
                if "DELETE" in each:
                    assert done.stdout == '{"ended":1}\n'


def test_paths() -> None:
    """The table has each path that is served, with its methods."""
    from socksgw.admin.paths import ENTRIES

    listed: set[tuple[str, str]] = set()
    for methods, path in re.findall(r"(?m)^([A-Z ]+?)  +``(/\S*)``  ", CHAPTER):
        for method in methods.split():
            listed.add((method, re.sub(r"/N\b", "/{number}", path)))
    served = {(each.method, each.path) for each in ENTRIES}
    # The chapter about grants has those of a grant; the dashboard has files.
    assert listed == {
        each
        for each in served
        if not each[1].startswith(("/api/grants/", "/dashboard/"))
    }


def test_theUnit() -> None:
    """The unit for systemd makes the directory of the default socket."""
    unit = (ROOT / "etc" / "socksgw.service").read_text()
    assert re.search(r"(?m)^RuntimeDirectory=socksgw$", unit)
