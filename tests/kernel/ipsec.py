"""
The mark of IPsec with the kernel's own ESP, in the machine of L{tests.kernel.machine}.

The rules are those that C{socksgw client-config ipsec} prints. A client has two
addresses; what it sends by one of them goes by ESP. Each process costs a tenth of a
second in this machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from socksgw.system.bpf import admitMarked
from tests.tools.namespaces import ipAtOnce, within

BIT = 0x1000000
PORT = 1080
SECURED, CLEAR, GATEWAY = "10.9.1.2", "10.9.1.3", "10.9.1.1"
#: The gateway's namespace; the client is in the machine's own.
GW = "gw"


def _connect() -> None:
    """Lay a cable, and have TCP to and from the gateway's port go by ESP."""
    ipAtOnce(
        f"netns add {GW}",
        f"link add c0 type veth peer name g0 netns {GW}",
        *_end("c0", (SECURED, CLEAR), ("dport", "sport"), "required"),
    )
    # The gateway demands nothing by its own policy: the mark alone tells.
    ipAtOnce(*_end("g0", (GATEWAY,), ("sport", "dport"), "use"), netns=GW)


def _end(
    device: str, own: tuple[str, ...], ports: tuple[str, str], demanded: str
) -> list[str]:
    """
    Return the lines for one end of the cable; its first address goes by ESP.

    @param ports: which of a packet's ports is the gateway's: on the way out, and in.
    @param demanded: of what comes in.
    """
    peer = GATEWAY if own[0] == SECURED else SECURED
    keys = f"enc cbc(aes) 0x{7:032} auth-trunc hmac(sha256) 0x{9:064} 128"
    lines = [
        "link set lo up",
        *(f"addr add {each}/24 dev {device}" for each in own),
        f"link set {device} up",
    ]
    for spi, ends in ((0x101, (SECURED, GATEWAY)), (0x102, (GATEWAY, SECURED))):
        source, target = ends
        lines.append(
            f"xfrm state add src {source} dst {target} proto esp spi {spi} "
            f"reqid 7 mode transport {keys}"
        )
    for way, source, target, port, level in (
        ("out", own[0], peer, ports[0], "required"),
        ("in", peer, own[0], ports[1], demanded),
    ):
        lines.append(
            f"xfrm policy add src {source} dst {target} proto tcp {port} {PORT} "
            f"dir {way} tmpl src {source} dst {target} proto esp reqid 7 "
            f"mode transport level {level}"
        )
    return lines


def _serve(listening: socket.socket, marks: list[bool]) -> None:
    """Echo; a client with the mark sends nothing without it from then on."""

    def echo(client: socket.socket) -> None:
        with client, suppress(OSError):
            while octets := client.recv(100):
                client.sendall(octets)

    while True:
        client, _ = listening.accept()
        mark = client.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
        marks.append(bool(mark & BIT) and admitMarked(client, BIT))
        threading.Thread(target=echo, args=(client,), daemon=True).start()


def _said(client: socket.socket) -> bool:
    try:
        client.sendall(b"hello")
        return client.recv(5) == b"hello"
    except TimeoutError:
        return False


def _dial(own: str) -> socket.socket:
    # Without create_connection, which imports all of IDNA.
    dialled = socket.socket()
    dialled.settimeout(5)
    dialled.bind((own, 0))
    dialled.connect((GATEWAY, PORT))
    return dialled


def main(rules: str) -> int:
    """
    Come by ESP and without; end the association in the middle of connections.

    @param rules: the file with them.
    @return: 0, or 1 where something was not as it should be.
    """
    _connect()
    marks: list[bool] = []
    with within(GW):
        subprocess.run(["nft", "-f", rules], check=True)
        Path("/proc/sys/net/ipv4/tcp_fwmark_accept").write_text("1")
        listening = socket.create_server((GATEWAY, PORT))
    threading.Thread(target=_serve, args=(listening, marks), daemon=True).start()
    checks: dict[str, bool] = {}
    held = [_dial(SECURED) for _ in range(2)]
    checks["by ESP: served"] = all(map(_said, held))
    checks["by ESP: marked"] = marks == [True, True]
    clear = _dial(CLEAR)
    checks["in the clear: served"] = _said(clear)
    checks["in the clear: not marked"] = marks == [True, True, False]
    for netns in ("", GW):
        ipAtOnce("xfrm policy flush", "xfrm state flush", netns=netns)
    for each in held:
        each.settimeout(0.6)
    again = _dial(SECURED)
    checks["the association is gone: new clients count as clear"] = (
        _said(again) and not marks[3]
    )
    checks["a connection that began by ESP: nothing in the clear"] = not _said(held[0])
    with within(GW):
        subprocess.run(["nft", "delete", "table", "inet", "socksgw_ipsec"], check=True)
    checks["nor without the rules"] = not _said(held[1])
    for text, holds in checks.items():
        print(f"{'ok' if holds else 'WRONG'}: {text}")
    return int(not all(checks.values()))


def run(rules: str) -> None:
    """Run as a program; end without waiting for the threads, which still serve."""
    status = main(rules)
    sys.stdout.flush()
    os._exit(status)
