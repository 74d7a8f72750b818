#!/bin/sh
# Whom HAProxy tries when servers refuse connections, by its `balance`.
#
# `option redispatch 1` is said to try another server in each retry, and there are three
# retries. So one would take it that a client is served where one server of two or of
# three serves, whatever the balance is, also before any check has noticed. It depends:
#   roundrobin: all clients are served.
#   leastconn, one of two refuses: all are served. Two of three refuse: as soon as the
#     third one has a session, all are cut off at once. A server that was tried and
#     refused is avoided in the next try only, and so the two that refuse, which have the
#     fewest sessions, take turns for all four tries.
#   source: a client whose server refuses is cut off. Its address gives the same server
#     each time, and so nobody is ever redispatched. With `hash-type consistent` they are.
#
# Pinned: haproxy 2.6.12-1+deb12u4 (Debian 12; its libraries liblua5.3-0, libpcre2-8-0 and
# libopentracing-c-wrapper0 have to be there). Run on 2026-11-29, Linux 6.18. Exit status
# 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q haproxy=2.6.12-1+deb12u4 >/dev/null 2>&1
dpkg-deb -x haproxy_*.deb .

cat > tries.py <<'PYTHON'
import socket
import subprocess
import sys
import threading
import time

DEFAULTS = """
defaults
    mode tcp
    option redispatch 1
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
SOURCE, CONSISTENT = "balance source", "balance source\n    hash-type consistent"
LEAST, ROUND = "balance leastconn", "balance roundrobin"
#: Balance, how many refuse beside the one that serves: what becomes of clients after
#: the first one.
EXPECTED = {
    (ROUND, 1): "all served",
    (ROUND, 2): "all served",
    (LEAST, 1): "all served",
    (LEAST, 2): "all cut off",
    (SOURCE, 1): "some cut off",
    (CONSISTENT, 1): "all served",
}
CLIENTS = 24


def free():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def greet(listening):
    """Say an octet to whoever comes, and keep the connection."""
    kept = []
    while True:
        kept.append(listening.accept()[0])
        kept[-1].sendall(b"x")


def become(port):
    """What becomes of clients from many addresses, all of whom stay."""
    kept, served = [], []
    for number in range(CLIENTS):
        source = (f"127.0.{number}.{1 + 7 * number}", 0)
        kept.append(socket.create_connection(("127.0.0.1", port), 30, source))
        try:
            served.append(kept[-1].recv(1) == b"x")
        except ConnectionResetError:
            served.append(False)
    number = sum(served[1:])
    return {CLIENTS - 1: "all served", 0: "all cut off"}.get(number, "some cut off")


live = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=greet, args=(live,), daemon=True).start()
text, ports = DEFAULTS, {}
for number, (balance, refuse) in enumerate(EXPECTED):
    ports[balance, refuse] = port = free()
    text += f"listen case{number}\n    bind 127.0.0.1:{port}\n    {balance}\n"
    for each in range(refuse):
        text += f"    server refuses{each} 127.0.0.1:{free()}\n"
    text += f"    server serves 127.0.0.1:{live.getsockname()[1]}\n"
with open("haproxy.cfg", "w") as file:
    file.write(text)
server = subprocess.Popen(["usr/sbin/haproxy", "-db", "-f", "haproxy.cfg"])
changed = False
try:
    for case, expected in EXPECTED.items():
        for _ in range(100):
            assert server.poll() is None
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", ports[case]))
                except OSError:
                    break
            time.sleep(0.1)
        found = become(ports[case])
        changed |= found != expected
        balance, refuse = case
        print(f"{' '.join(balance.split()):44} {refuse} of {refuse + 1} refuse: {found}")
finally:
    server.terminate()
    server.wait()
sys.exit(changed)
PYTHON
python3 tries.py
