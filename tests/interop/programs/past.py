"""
Try to get past the gateway: every way that a hostile program knows.

Each line tells what came of one of them.
"""

import array
import ctypes
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIRECT = ("10.9.9.1", 8081)
ALLOWED = ("127.0.0.1", 1)


def parent(process: int) -> int:
    """Return the number of a process's parent."""
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


#: The process that keeps this network, above a shell; and the supervisor outside.
KEEPER = parent(os.getppid())
SUPERVISOR = parent(KEEPER)
libc = ctypes.CDLL(None, use_errno=True)


def tried(what: str, call: Callable[[], Any]) -> None:
    """Print what becomes of a call."""
    try:
        found = call()
    except OSError as e:
        found = errno.errorcode.get(e.errno or 0, str(e))
    print(what, found)


def called(*arguments: Any) -> int:
    """Make a system call by its number."""
    found: int = libc.syscall(*arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), "")
    return found


def connected(family: int, to: Any) -> None:
    # It blocks: what an event loop is not told in time is another error.
    with socket.socket(family) as own:
        own.connect(to)


def asked(kind: int) -> str:
    """Ask a name server of one's own choice, past the C library."""
    labels = b"".join(bytes([len(each)]) + each for each in (b"page", b"example"))
    query = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, kind) as own:
        own.connect((DIRECT[0], 53))
        own.settimeout(20)
        if kind == socket.SOCK_DGRAM:
            own.send(query)
            return socket.inet_ntoa(own.recv(512)[-4:])
        own.sendall(struct.pack("!H", len(query)) + query)
        return socket.inet_ntoa(own.recv(512)[-4:])


def silent() -> str:
    """Send a datagram to a server that answers all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.settimeout(0.5)
        own.sendto(b"hello", (DIRECT[0], 5353))
        return own.recv(100).decode()


def raced() -> int:
    """
    Change the address while the supervisor looks at it.

    Return how often something was connected and has answered.
    """
    address = array.array("B", bytes(16))
    right, wrong = (
        struct.pack("=H", socket.AF_INET)
        + struct.pack("!H4s", port, socket.inet_aton(host))
        for host, port in (ALLOWED, DIRECT)
    )
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for each in (right, wrong):
                memoryview(address)[: len(each)] = array.array("B", each)

    swapping = threading.Thread(target=swap)
    swapping.start()
    answered = 0
    place, _ = address.buffer_info()
    for _ in range(100):
        with socket.socket() as own:
            own.settimeout(20)
            if not libc.connect(own.fileno(), ctypes.c_void_p(place), 16):
                try:
                    own.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answered += bool(own.recv(100))
                except OSError:
                    pass
    over.set()
    swapping.join()
    return answered


def descriptor(process: int) -> str:
    """Take descriptors of another process of the same user."""
    handle = os.pidfd_open(process)
    for number in range(3, 40):
        found = libc.syscall(438, handle, number, 0)
        if found >= 0:
            return f"descriptor {number}"
    raise OSError(ctypes.get_errno(), "")


def routed() -> None:
    """Change the network by netlink: take the addresses' device down (RTM_NEWLINK)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as own:
        own.bind((0, 0))
        own.send(struct.pack("=IHHIIBxHiII", 32, 16, 5, 1, 0, 0, 0, 1, 0, 1))
        (error,) = struct.unpack_from("=i", own.recv(100), 16)
        raise OSError(-error, "")


tried("direct", lambda: connected(socket.AF_INET, DIRECT))
tried("direct6", lambda: connected(socket.AF_INET6, ("fd00:9::1", 8081)))
tried("mapped", lambda: connected(socket.AF_INET6, ("::ffff:10.9.9.1", 8081)))
tried("dns by udp", lambda: asked(socket.SOCK_DGRAM))
tried("dns by tcp", lambda: asked(socket.SOCK_STREAM))
tried("datagram", silent)
for name, path in (("nscd", "/run/nscd/socket"), ("bus", "/run/dbus/socket")):
    # Past the C library and its filter: the file itself is not there.
    print(name, os.path.exists(path))
tried("abstract", lambda: connected(socket.AF_UNIX, "\0outside"))
tried("loopback", lambda: connected(socket.AF_INET, ("127.0.0.1", 8082)))
tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255))
tried("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
tried("vsock", lambda: socket.socket(40))
tried("transparent", lambda: socket.socket().setsockopt(0, 19, 1))
tried("netlink", routed)
tried("namespace", lambda: os.open(f"/proc/{SUPERVISOR}/ns/net", os.O_RDONLY))
tried("memory", lambda: os.open(f"/proc/{SUPERVISOR}/mem", os.O_RDWR))
tried("memory", lambda: os.open(f"/proc/{KEEPER}/mem", os.O_RDWR))
tried("descriptors", lambda: descriptor(SUPERVISOR))
tried("descriptors", lambda: descriptor(KEEPER))
tried("mounts", lambda: called(166, b"/run/nscd", 2))
print("raced", raced())
print("devices", *(name for _, name in socket.if_nameindex()))
# Only a process of one thread may; the kernel's is there a moment longer than Python's.
while len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.01)
print("unshared", libc.unshare(0x10000000 | 0x40000000))
tried("direct", lambda: connected(socket.AF_INET, DIRECT))
