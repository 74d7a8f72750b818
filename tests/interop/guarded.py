"""
A gateway that is reached by IPsec and without it, in namespaces of its own
(L{tests.live.netns.alone}).

It prints what its clients have seen, and the journal, as JSON.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.live import raw
from tests.live.groups import RECEIVE, SEND, Member, heard, member, speaker
from tests.live.netns import cable, ip, served, servedUDP, within
from tests.live.running import Running, running, socksgw
from tests.live.strongswan import DEVICE, charon

BIT = 0x1000000
FAR = "93.184.216.34"
GATEWAY = """
[[listen]]
name = "lan"
address = ["0.0.0.0:1080", "[::1]:1080"]
ipsec_mark = 0x1000000
ipsec_ruleset = true
[listen.multicast]
interface = "f0"
[timeouts]
drain = "1s"
[[auth.choose]]
methods = ["none"]
from = ["10.9.1.0/24", "10.77.0.0/24", "127.0.0.1"]
[[rule]]
id = "guarded"
allow = ["connect", "udp"]
secured = "ipsec"
from = ["10.9.1.0/24", "10.77.0.0/24", "127.0.0.1"]
to = ["93.184.216.34"]
[[rule]]
id = "groups"
allow = ["multicast"]
secured = "ipsec"
from = ["10.77.0.0/24"]
multicast = { send = true }
"""
GROUP, PORT = "239.1.2.3", 5004


def _connected(where: str, mark: int = 0, own: str = "") -> tuple[socket.socket, str]:
    """Return a client that has asked for the destination, and the reply as hex."""
    client = socket.socket()
    client.settimeout(5)
    if mark:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if own:
        client.bind((own, 0))
    client.connect((where, 1080))
    client.sendall(raw.GREETING)
    raw.exactly(client, 2)
    client.sendall(raw.request5(FAR, 7))
    return client, raw.exactly(client, 10)[:2].hex()


def _said(client: socket.socket, text: bytes) -> str:
    """Return what comes back, or how it failed."""
    try:
        client.sendall(text)
        return raw.exactly(client, len(text)).decode()
    except OSError as e:
        return type(e).__name__


def _asked(where: str, mark: int = 0) -> str:
    client, reply = _connected(where, mark)
    with client:
        if reply != "0500":
            return reply
        raw.exactly(client, 5)
        return reply + " " + _said(client, b"hello")


def _datagrams() -> list[str]:
    """
    Return what comes back of datagrams to the destination, by ESP and in the clear,
    from the same address and port.
    """
    found = []
    with socket.socket() as control, socket.socket(type=socket.SOCK_DGRAM) as clear:
        control.settimeout(5)
        control.connect(("10.77.0.1", 1080))
        control.sendall(raw.GREETING)
        raw.exactly(control, 2)
        control.sendall(raw.request5("0.0.0.0", 0, 3))
        port = int.from_bytes(raw.exactly(control, 10)[8:], "big")
        for each in (clear, inside := socket.socket(type=socket.SOCK_DGRAM)):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.settimeout(1)
        clear.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c1")
        clear.bind(("10.77.0.2", 5555))
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())
        inside.bind(("10.77.0.2", 5555))
        header = bytes.fromhex("00000001") + socket.inet_aton(FAR) + b"\0\x07"
        with inside:
            for way, text in ((clear, b"one"), (inside, b"two"), (clear, b"three")):
                way.sendto(header + text, ("10.77.0.1", port))
                try:
                    found.append(inside.recv(100)[10:].decode())
                except TimeoutError:
                    found.append("")
    return found


def _groups() -> list[str]:
    """
    Return what the members of a group hear of a client, by ESP and in the clear, from
    the same address and port; and what the client hears.
    """
    with within("far"):
        hearer, sender = member(GROUP, PORT, "f1"), speaker(FAR, "f1")
    ways = []
    for device in ("c1", DEVICE):
        ways.append(each := socket.socket(type=socket.SOCK_DGRAM))
        each.settimeout(5)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        each.bind(("10.77.0.2", 5556))
    with Member(1080, "10.77.0.1") as client, ways[0] as clear, hearer, sender:
        client.socket.close()
        client.socket = ways[1]
        joined = client.bind(GROUP, PORT, RECEIVE | SEND, ttl=1)
        header = bytes(4) + joined.aid.to_bytes(4, "big")
        clear.sendto(header + b"clear", client.place)
        client.send(joined.aid, b"esp")
        heard_ = heard(hearer)[0].decode()
        sender.sendto(b"down", (GROUP, PORT))
        return [str(joined.reply), heard_, client.receive()[1].decode()]


def _groupsInTheClear() -> str:
    with Member(1080, "10.9.1.1") as client:
        return client.entered[:2].hex()


def _clearly() -> None:
    """Send a datagram past ESP."""
    with socket.socket(type=socket.SOCK_DGRAM) as clear:
        clear.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c1")
        clear.bind(("10.77.0.2", 0))
        clear.sendto(b"here", ("10.77.0.1", 5353))


def _nft(*arguments: str, text: str = "") -> None:
    subprocess.run(["nft", *arguments], input=text, text=True, check=True)


def _ruled(gateway: Running) -> str:
    """Return the rules of the firewall, as the command prints them."""
    arguments = ["--config", str(gateway.directory / "gw.toml"), "--interface", DEVICE]
    done = socksgw("client-config", "ipsec", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> None:
    """Come by IPsec, and without."""
    found: dict[str, object] = {}
    for name in ("cli", "far"):
        ip(f"netns add {name}")
        ip("link set lo up", netns=name)
    cable(("", "c0"), ("cli", "c1"), ("10.9.1.1/24", "10.9.1.2/24"))
    cable(("", "f0"), ("far", "f1"), ("93.184.216.1/24", f"{FAR}/24"))
    ip("addr add 10.77.0.1/32 dev lo", "route add 10.77.0.2/32 via 10.9.1.2")
    ip("addr add 10.77.0.2/32 dev lo", "route add 10.77.0.1/32 via 10.9.1.1",
       netns="cli")  # fmt: skip
    with within("far"):
        served(socket.create_server((FAR, 7)), b"ready")
        echo = socket.socket(type=socket.SOCK_DGRAM)
        echo.bind((FAR, 7))
        servedUDP(echo, lambda octets: octets)
    # That what is sent in the clear gets as far as this host.
    witness = socket.socket(type=socket.SOCK_DGRAM)
    witness.settimeout(5)
    witness.bind(("10.77.0.1", 5353))
    folder = Path(tempfile.mkdtemp())
    (folder / "gateway").mkdir()
    ends = ("10.9.1.1", "10.9.1.2", "10.77.0.1", "10.77.0.2")
    others = ("10.9.1.2", "10.9.1.1", "10.77.0.2", "10.77.0.1")
    with (
        charon(folder / "near", *ends) as near,
        charon(folder / "there", *others, netns="cli") as there,
        contextmanager(running)(folder / "gateway", GATEWAY) as gateway,
    ):
        there.command("--initiate", "--child", "test")
        Path("/proc/sys/net/ipv4/tcp_fwmark_accept").write_text("1")
        with within("cli"):
            found["without the rules"] = _asked("10.77.0.1")
        _nft("-f", "-", text=_ruled(gateway))
        with within("cli"):
            found["clear"] = _asked("10.9.1.1")
            found["clear, marked"] = _asked("10.9.1.1", BIT)
            found["esp"] = _asked("10.77.0.1")
        found["local, marked"] = _asked("127.0.0.1", BIT)
        with within("cli"):
            _clearly()
            found["clear datagrams arrive"] = witness.recv(100).decode()
            found["datagrams"] = _datagrams()
            found["groups"] = _groups()
            found["groups, in the clear"] = _groupsInTheClear()
            held = [_connected("10.77.0.1")[0] for _ in range(2)]
            for each in held:
                raw.exactly(each, 5)
            found["before"] = [_said(each, b"again") for each in held]
        there.command("--terminate", "--ike", "test")
        near.command("--list-sas")
        with within("cli"):
            found["new, in the clear"] = _asked("10.77.0.1")
            for each in held:
                each.settimeout(1.5)
            found["after"] = _said(held[0], b"secret")
        # Also without the rules: the socket has a filter of its own.
        _nft("delete", "table", "inet", "socksgw_ipsec")
        with within("cli"):
            found["after, no rules"] = _said(held[1], b"secret")
            for each in held:
                each.close()
        found["journal"] = gateway.journal("decision")
        found["flows"] = gateway.journal("flow")
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
