"""
What the kernel says of the other end of a Unix socket.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from socksgw.system.program import Program, isUnmapped, programAt

#: Changes its user and groups, connects, and waits to be told to go.
PROGRAM = """
import os, socket, sys
path, uid, gid, *groups = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([*map(int, groups)])
    os.setgid(int(gid))
    os.setuid(int(uid))
with socket.socket(socket.AF_UNIX) as client:
    client.connect("\\0" + path)
    print(flush=True)
    sys.stdin.read(1)
"""


def asked(uid: int, gid: int, *groups: int) -> Program:
    """What is said of a program with these; it has ended when it is asked for."""
    # An abstract name, which every user may connect to.
    name = f"socksgw-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    arguments = [name, *map(str, (uid, gid, *groups))]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.close()
        process.wait()
        accepted, _ = listener.accept()
    with closing(listener), closing(accepted):
        found = programAt(accepted)
    assert found is not None
    assert found.pid == process.pid
    return found


def test_ourOwn() -> None:
    """Of a program of ours: our user, our group and our groups."""
    found = asked(os.geteuid(), os.getegid(), *os.getgroups())
    assert (found.uid, found.gid) == (os.geteuid(), os.getegid())
    assert set(found.groups or ()) == set(os.getgroups())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("count", [0, 3, 256, 257, 5000])
def test_another(count: int) -> None:
    """
    The process's own groups, not those of the user database, however many; also
    when it has ended since.
    """
    groups = range(70_000, 70_000 + count)
    found = asked(4321, 8765, *groups)
    assert (found.uid, found.gid) == (4321, 8765)
    assert found.groups == tuple(groups)


def test_noUnixSocket() -> None:
    """Of TCP, and of a socket without another end, nothing is known."""
    with socket.socket() as plain, socket.socket(socket.AF_UNIX) as alone:
        assert programAt(plain) is None
        assert programAt(alone) is None


def test_whoeverMadeAPair() -> None:
    """Of both ends of socketpair(2)."""
    ends = socket.socketpair()
    for each in ends:
        found = programAt(each)
        assert found is not None
        assert (found.uid, found.pid) == (os.geteuid(), os.getpid())
        each.close()


def test_theNumberOfNobody() -> None:
    """The overflow user of user_namespaces(7), and -1."""
    assert [n for n in (0, 1000, 65534, 0xFFFFFFFF) if isUnmapped(n)] == [
        65534,
        0xFFFFFFFF,
    ]
