"""
Clients that come by link-local addresses of IPv6 (RFC 4007): their addresses
mean something only together with an interface.

The gateway is in one network namespace, its clients and their peers are in
another, with a cable between them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.live.running import environment
from tests.live.servers import missing, program

#: What the clients do; prints what becomes of it. The arguments are where the ip
#: program is, and the gateway's directory.
PROGRAM = r"""
import json, socket, subprocess, sys
from contextlib import closing
from pathlib import Path
from tests.live.datagrams import addressed
from tests.live import raw
from tests.live.servers import PATIENCE
from tests.live.running import Running, until

ip, directory = sys.argv[1], Path(sys.argv[2])
holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 60"],
                          stdout=subprocess.PIPE)
holder.stdout.readline()
inside = ["nsenter", "-t", str(holder.pid), "-n"]

def do(lines, *prefix):
    for line in lines.strip().splitlines():
        subprocess.run([*prefix, ip, *line.split()], check=True)

do(f'''link set lo up
link add v0 type veth peer name v1 netns {holder.pid}
link set v0 addrgenmode none
-6 addr add fe80::1/64 dev v0 nodad
-6 addr add 2a00:7::1/64 dev v0 nodad
addr add 10.7.0.1/24 dev v0
link set v0 up''')
do('''link set lo up
link set v1 addrgenmode none
-6 addr add fe80::2/64 dev v1 nodad
-6 addr add 2a00:7::2/64 dev v1 nodad
addr add 10.7.0.2/24 dev v1
link set v1 up''', *inside)
text = (directory / "gw.toml").read_text()
gateway = Running(directory, text, prefix=inside)
found = {}
try:
    gateway.ready()
    there, number = "fe80::2%v0", 1080

    def dialled(host=there, port=number):
        client = socket.create_connection((host, port), PATIENCE)
        client.sendall(raw.GREETING)
        assert raw.exactly(client, 2) == b"\5\0"
        return client

    def asked(client, *request):
        client.sendall(raw.request5(*request))
        return raw.reply5(client)

    with closing(socket.create_server(("2a00:7::1", 0), family=socket.AF_INET6)) as server:
        for port in (number, 1081):
            with closing(dialled(port=port)) as client:
                code, *_ = asked(client, "2a00:7::1", server.getsockname()[1])
                peer, _ = server.accept()
                with closing(peer):
                    client.sendall(b"there")
                    peer.sendall(raw.exactly(peer, 5) + b" and back")
                    found[f"connect {port}"] = code, raw.exactly(client, 14).decode()
    for address in ("2a00:7::1", "::"):
        with closing(dialled()) as client:
            code, host, port = asked(client, address, 0, 2)
            scoped = host + ("%v0" if host.startswith("fe80") else "")
            with closing(socket.create_connection((scoped, port), PATIENCE)) as peer:
                second = raw.reply5(client)
                peer.sendall(b"bound")
                found[f"bind {address}"] = code, host, second[0], raw.exactly(client, 5).decode()
    echo = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    ours = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with closing(dialled()) as client, closing(echo), closing(ours):
        echo.bind(("2a00:7::1", 0))
        code, host, port = asked(client, "::", 0, 3)
        ours.settimeout(PATIENCE)
        echo.settimeout(PATIENCE)
        ours.connect((host, port, 0, socket.if_nametoindex("v0")))
        head = addressed("2a00:7::1", echo.getsockname()[1])
        ours.send(head + b"datagram")
        octets, sender = echo.recvfrom(100)
        echo.sendto(octets, sender)
        found["associate"] = code, host, ours.recv(100) == head + b"datagram"
    for kind, (host, port) in {"itself": ("2a00:7::2", 1081), "other": ("fe80::2", 1081)}.items():
        with closing(dialled()) as client:
            code, *_ = asked(client, host, port)
            found[kind] = code, gateway.journal("decision")[-1]["why"]
    # sysctl net.ipv6.conf.all.disable_ipv6
    switch = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    subprocess.run([*inside, "sh", "-c", switch], check=True)
    with closing(dialled("10.7.0.2", 1082)) as client:
        code = asked(client, "2a00:7::1", 9)[0]
    end = until(lambda: [x for x in gateway.journal("end") if x.get("reply") == 3])
    found["disabled"] = code, end[0]["reason"]
finally:
    print(json.dumps(found))
    if gateway.process.poll() is None:
        gateway.stop()
    holder.kill()
    if "Traceback" in gateway.log or len(found) < 8:
        print(gateway.log, file=sys.stderr)
"""

CONFIGURATION = """
[[listen]]
name = "all"
address = ["[::]:1080"]
[[listen]]
name = "scoped"
endpoint = 'tcp6:1081:interface=fe80\\:\\:2%v1'
[[listen]]
name = "old"
address = ["0.0.0.0:1082"]
[[auth.choose]]
from = ["fe80::/10", "10.7.0.0/24"]
methods = ["none"]
[[rule]]
id = "here"
from = ["fe80::/10", "10.7.0.0/24"]
allow = ["connect", "bind", "udp"]
[[rule]]
id = "anybody"
from = ["fe80::/10"]
allow = ["bind"]
to = ["::"]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What L{PROGRAM} tells, in network namespaces of its own."""
    unshare, ip = program("unshare", "util-linux"), program("ip", "iproute2")
    program("nsenter", "util-linux")
    flag = "-n" if os.geteuid() == 0 else "-rn"
    if subprocess.run([unshare, flag, "true"], check=False).returncode:
        missing("leave to make a network namespace")
    directory = tmp_path_factory.mktemp("linklocal")
    (directory / "gw.toml").write_text(CONFIGURATION)
    done = subprocess.run(
        [unshare, flag, sys.executable, "-c", PROGRAM, ip, str(directory)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def test_connect(found: Any) -> None:
    """Through a listener of all addresses, and of the link-local one."""
    assert found["connect 1080"] == found["connect 1081"] == [0, "there and back"]


@pytest.mark.parametrize("peer", ["2a00:7::1", "::"])
def test_bind(found: Any, peer: str) -> None:
    """For one peer, and for anybody: where the peer can come."""
    assert found[f"bind {peer}"] == [0, "2a00:7::2", 0, "bound"]


def test_associate(found: Any) -> None:
    """The relay is at the address that the client knows, on the same link."""
    assert found["associate"] == [0, "fe80::2", True]


def test_ourselves(found: Any) -> None:
    """What listens at a link-local address does not make self unknown."""
    assert found["itself"] == [2, "self"]
    assert found["other"] == [2, "link-local"]


def test_switchedOff(found: Any) -> None:
    """net.ipv6.conf.all.disable_ipv6: no network leads there."""
    assert found["disabled"] == [3, "network-unreachable"]
