"""
The mark of IPsec with the kernel's own ESP, in the machine of L{tests.kernel.machine}.

C{python -m tests.kernel.ipsec RULES}: the rules are those that C{socksgw client-config
ipsec} prints. A client has two addresses; what it sends by one of them goes by ESP.
"""

from __future__ import annotations

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
ENDS = {"cli": (SECURED, GATEWAY), "gw": (GATEWAY, SECURED)}


def _connect() -> None:
    """Lay a cable; each process costs a tenth of a second in this machine."""
    ipAtOnce(
        *(f"netns add {netns}" for netns in ENDS),
        "link add c0 netns cli type veth peer name g0 netns gw",
    )
    for netns, device, addresses in (
        ("cli", "c0", (SECURED, CLEAR)),
        ("gw", "g0", (GATEWAY,)),
    ):
        ipAtOnce(
            "link set lo up",
            *(f"addr add {each}/24 dev {device}" for each in addresses),
            f"link set {device} up",
            netns=netns,
        )


def _associate() -> None:
    """Have TCP to and from the gateway's port go by ESP, for one address."""
    keys = f"enc cbc(aes) 0x{7:032} auth-trunc hmac(sha256) 0x{9:064} 128"
    states = [
        f"xfrm state add src {source} dst {target} proto esp spi {spi:#x} "
        f"reqid 7 mode transport {keys}"
        for spi, (source, target) in enumerate(ENDS.values(), 0x101)
    ]
    for netns, (own, peer) in ENDS.items():
        policies = []
        ports = ("dport", "sport") if netns == "cli" else ("sport", "dport")
        for way, (source, target), port in (
            ("out", (own, peer), ports[0]),
            ("in", (peer, own), ports[1]),
        ):
            # The gateway demands nothing by its own policy: the mark alone tells.
            level = "use" if (netns, way) == ("gw", "in") else "required"
            policies.append(
                f"xfrm policy add src {source} dst {target} proto tcp {port} {PORT} "
                f"dir {way} tmpl src {source} dst {target} proto esp reqid 7 "
                f"mode transport level {level}"
            )
        ipAtOnce(*states, *policies, netns=netns)


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


def main(rules: str) -> int:
    """Come by ESP and without; end the association in the middle of connections."""
    _connect()
    _associate()
    marks: list[bool] = []
    inside = ["ip", "netns", "exec", "gw"]
    subprocess.run([*inside, "nft", "-f", rules], check=True)
    with within("gw"):
        Path("/proc/sys/net/ipv4/tcp_fwmark_accept").write_text("1")
        listening = socket.create_server((GATEWAY, PORT))
    threading.Thread(target=_serve, args=(listening, marks), daemon=True).start()

    def dial(own: str) -> socket.socket:
        return socket.create_connection((GATEWAY, PORT), 5, (own, 0))

    checks: dict[str, bool] = {}
    with within("cli"):
        held = [dial(SECURED) for _ in range(2)]
        checks["by ESP: served"] = all(map(_said, held))
        checks["by ESP: marked"] = marks == [True, True]
        clear = dial(CLEAR)
        checks["in the clear: served"] = _said(clear)
        checks["in the clear: not marked"] = marks == [True, True, False]
    for netns in ENDS:
        ipAtOnce("xfrm policy flush", "xfrm state flush", netns=netns)
    with within("cli"):
        for each in held:
            each.settimeout(0.6)
        again = dial(SECURED)
        checks["the association is gone: new clients count as clear"] = (
            _said(again) and not marks[3]
        )
        checks["a connection that began by ESP: nothing in the clear"] = not _said(
            held[0]
        )
    subprocess.run(
        [*inside, "nft", "delete", "table", "inet", "socksgw_ipsec"], check=True
    )
    with within("cli"):
        checks["nor without the rules"] = not _said(held[1])
    for text, holds in checks.items():
        print(f"{'ok' if holds else 'WRONG'}: {text}")
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
