"""
What a program in a network of its own keeps of its caller; real ones are in
C{tests/interop/test_run.py}.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

DISINHERITED = """
import os
from socksgw.run.enclosure import disinherit

disinherit()
print(*(each for each in map(int, os.environ["GIVEN"].split()) if os.path.exists(
    f"/proc/self/fd/{each}")))
"""


def test_disinherit(tmp_path: Path) -> None:
    """
    Sockets and directories lead out, and are closed, with none of the standard streams;
    files and pipes stay.
    """
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    directory = os.open(tmp_path, os.O_RDONLY)
    reading, writing = os.pipe()
    a, b = socket.socketpair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, a, b:
        kept = [0, file, reading, writing]
        given = [*kept, directory, datagrams.fileno(), b.fileno()]
        done = subprocess.run(
            [sys.executable, "-c", DISINHERITED],
            env={**os.environ, "GIVEN": " ".join(map(str, given))},
            stdin=a.fileno(),
            pass_fds=given[1:],
            capture_output=True,
            text=True,
            check=True,
        )
    for each in (file, directory, reading, writing):
        os.close(each)
    assert [int(each) for each in done.stdout.split()] == kept
