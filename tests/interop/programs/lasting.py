"""
Speak while the supervisor is stopped, and try to when it may not look, does not know
yet, or has ended.

In a network of its own (C{--isolate}) only the last.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path


def states(process: int) -> set[str]:
    """Return the states of a process's threads: proc(5) has T for stopped."""
    found = set()
    for each in Path(f"/proc/{process}/task").iterdir():
        found.add((each / "stat").read_text().rpartition(")")[2].split()[0])
    return found


def stopped() -> str:
    """Fetch a page by a connection whose supervisor is stopped once it is open."""
    supervisor = os.getppid()
    with socket.create_connection(("page.example", 8080)) as own:
        os.kill(supervisor, signal.SIGSTOP)
        try:
            while states(supervisor) != {"T"}:
                time.sleep(0.01)
            own.sendall(b"GET / HTTP/1.0\r\n\r\n")
            octets = own.makefile("rb").read()
        finally:
            os.kill(supervisor, signal.SIGCONT)
    return octets[-12:].decode()


def hidden() -> str:
    """Return the error of a connect while nobody may look into this process."""
    libc = ctypes.CDLL(None)
    # PR_SET_DUMPABLE of prctl(2).
    libc.prctl(4, 0, 0, 0, 0)
    with socket.socket() as own:
        error = own.connect_ex(("10.5.5.1", 8080))
    libc.prctl(4, 1, 0, 0, 0)
    return errno.errorcode.get(error, "reached")


def undecided() -> str:
    """Return who is at the other end of a connect that fails, and is not waited for."""
    to = socket.gethostbyname("slow-closed-lasting.example"), 81
    with socket.socket() as own:
        own.setblocking(False)
        own.connect_ex(to)
        try:
            found = str(own.getpeername())
        except OSError as e:
            found = errno.errorcode[e.errno or 0]
        # The gateway is not left while it looks for the name.
        decided = select.poll()
        decided.register(own, select.POLLOUT)
        decided.poll(20000)
    return found


if "--isolate" not in sys.argv:
    print("stopped", stopped(), flush=True)
    print("hidden", hidden(), flush=True)
    print("undecided", undecided(), flush=True)
if os.fork():
    sys.exit(4)
# A line comes when the supervisor has ended.
sys.stdin.readline()
to = ("10.9.9.1", 8081)
with socket.socket() as own:
    print("outlived", errno.errorcode[own.connect_ex(to)])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    try:
        own.sendto(b"hello", to)
        print("sent")
    except OSError as e:
        print("outlived", errno.errorcode[e.errno or 0])
