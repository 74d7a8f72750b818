"""
Reach everything by Python: asyncio, the C library's look-ups, every call of sockets.
"""

import asyncio
import ctypes
import errno
import mmap
import select
import signal
import socket
import struct
import subprocess
import time
from typing import Any

FAR = ("10.5.5.1", 7007)


async def page(host: str, port: int = 8080) -> tuple[str, int]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    text = await reader.read()
    peer = writer.get_extra_info("peername")
    writer.close()
    return text[-12:].decode(), peer[1]


async def failure(host: str, port: int) -> str:
    """
    Return the error of a connect.

    What is not decided within 250 ms fails as refused, whatever the reason: ask again,
    unless it is slow by itself.
    """
    for _ in range(50):
        began = time.monotonic()
        try:
            return str(await page(host, port))
        except OSError as e:
            name = errno.errorcode[e.errno or 0]
        quick = time.monotonic() - began < 0.2
        if quick or host.startswith("slow") or name != "ECONNREFUSED":
            break
    return name


class Echo(asyncio.DatagramProtocol):
    """Sends one datagram, and takes the answer."""

    def __init__(self, came: Any, to: Any) -> None:
        self.came, self.to = came, to

    def connection_made(self, transport: Any) -> None:
        """Send."""
        transport.sendto(b"hello", self.to)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take."""
        self.came.set_result((data.decode(), *addr[:2]))


async def echo(**where: Any) -> Any:
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    to = FAR if "local_addr" in where else None
    transport, _ = await loop.create_datagram_endpoint(lambda: Echo(came, to), **where)
    found = await asyncio.wait_for(came, 20)
    transport.close()
    return found


async def main() -> None:
    pages = await asyncio.gather(*(page("page.example") for _ in range(50)))
    print("page", *set(pages))
    print("slow", await page("slow-python.example"))
    for host, port in (("10.5.5.1", 81), ("slow-closed-python.example", 81),
                       ("denied.example", 8080), ("unknown.example", 8080)):  # fmt: skip
        print("failed", host, await failure(host, port))
    print("free", await echo(local_addr=("0.0.0.0", 0)))
    print("connected", await echo(remote_addr=("fd00:5::1", 7007)))


asyncio.run(main())

with socket.create_connection(("page.example", 2525)) as greeting:
    print("greeting", greeting.recv(100).decode(), greeting.getpeername()[1])

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    own.settimeout(20)
    print("sendmsg", own.sendmsg([b"hel", b"lo"], [], 0, FAR), *own.recvmsg(100)[::3])
    own.sendto(b"hello", FAR)
    print("recvfrom", *own.recvfrom(100))
    try:
        # UDP_SEGMENT of udp(7), which Python does not name.
        own.sendmsg(
            [b"helloh"], [(socket.IPPROTO_UDP, 103, struct.pack("=H", 3))], 0, FAR
        )
    except OSError as e:
        print("segments", errno.errorcode[e.errno or 0])
    own.settimeout(0.2)
    try:
        own.recvfrom(100)
    except TimeoutError:
        print("nothing came")

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    # So getaddrinfo asks by which address it would send: the kernel is to tell.
    own.connect(("10.9.9.1", 0))
    print("by loopback", own.getsockname()[0].startswith("127."))

# No signal has a call made again whose answer it waits for.
host = socket.gethostbyname("slow-signalled.example")
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
with socket.create_connection((host, 2525)) as greeting:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("signalled", greeting.recv(100).decode())

# What asks by another connect what has become of the first one, as hiredis and Perl do.
for host, port in (("slow-page.example", 2525), ("slow-closed-again.example", 81)):
    to = socket.gethostbyname(host), port
    with socket.socket() as own:
        own.setblocking(False)
        found = own.connect_ex(to)
        if found != errno.ECONNREFUSED:
            decided = select.poll()
            decided.register(own, select.POLLOUT)
            decided.poll(20000)
            found = own.connect_ex(to)
        print("again", errno.errorcode[found])
        if found == errno.ECONNREFUSED:
            own.setblocking(True)
            own.connect(("page.example", 2525))
            print("again", own.recv(100).decode())

for family, kind, protocol in (
    (2, 3, 1),
    (2, 2, 1),
    (10, 5, 132),
    (17, 3, 3),
    (40, 1, 0),
):
    try:
        socket.socket(family, kind, protocol).close()
        print("socket", family, kind, protocol)
    except OSError as e:
        print("no socket", family, kind, protocol, errno.errorcode[e.errno or 0])

# By other ways out: each of these is a leak if it succeeds.
libc = ctypes.CDLL(None, use_errno=True)
with socket.socket() as own:
    for fast in (
        lambda: own.sendto(b"hello", socket.MSG_FASTOPEN, ("10.9.9.1", 8081)),
        lambda: own.sendmsg([b"hello"], [], socket.MSG_FASTOPEN, ("10.9.9.1", 8081)),
    ):
        try:
            print("fast open", fast())
        except OSError as e:
            print("fast open", errno.errorcode[e.errno or 0])
print("io_uring", libc.syscall(425, 1, bytes(120)), errno.errorcode[ctypes.get_errno()])
for path in (
    "/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/avahi-daemon/socket",
):
    with socket.socket(socket.AF_UNIX) as asked:
        print("resolver", errno.errorcode[asked.connect_ex(path)])
with socket.socket() as stub:
    print("stub", errno.errorcode[stub.connect_ex(("127.0.0.53", 53))])
print("reverse", socket.gethostbyaddr(socket.gethostbyname("page.example"))[0])

# getpid(2) by the convention of 32 bits: int 0x80, whose numbers mean other calls.
code = mmap.mmap(-1, 4096, prot=7)
code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
start = ctypes.addressof(ctypes.c_char.from_buffer(code))
print(
    "32 bits", errno.errorcode.get(-ctypes.CFUNCTYPE(ctypes.c_int)(start)(), "reached")
)

# A child of a child, whose parent has ended, is under the same supervisor.
orphan = (
    "(while kill -0 $$; do :; done 2>/dev/null; curl -sS http://page.example:8080/)&"
)
with subprocess.Popen(["sh", "-c", orphan], stdout=subprocess.PIPE) as child:
    child.wait()
    print(child.communicate()[0].decode())
