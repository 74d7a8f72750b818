#!/bin/sh
# What one `route` block does to a Dante server, also one that says "directly, everywhere".
#
# One would take `route { from: 0/0 to: 0/0 via: direct }` for what holds without any
# route. With it the server answers each UDP ASSOCIATE with reply 3 (network unreachable);
# CONNECT goes on as before. A route that names udp, and a server that is no proxy's
# client otherwise, change nothing about that.
#
# And routes are not taken in the order of the file: one that is direct comes before each
# that leads through a proxy, also when that stands above it and matches. So a file that
# reads "this network through the proxy, all else directly" goes directly everywhere.
#
# Pinned: dante-server 1.4.2+dfsg-7+b8 (Debian 12; its libraries libpam0g, libwrap0 and
# libgssapi-krb5-2 have to be there). Needs root, python3 and unshare(1): it runs in a
# network namespace of its own. Run on 2026-11-28, Linux 6.18. Exit status 1: the server
# answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q dante-server=1.4.2+dfsg-7+b8 >/dev/null 2>&1
dpkg-deb -x dante-server_*.deb .

cat > routes.py <<'PYTHON'
import os
import socket
import subprocess
import sys
import threading
import time

SETTINGS = """
logoutput: {folder}/log
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0/0 to: 0/0 }}
socks pass {{ from: 0/0 to: 0/0 }}
"""
DIRECT = "route { from: 0/0 to: 0/0 via: direct }\n"
NAMED = "route { from: 0/0 to: 0/0 via: direct\nprotocol: tcp udp\n}\n"
#: A proxy that serves nobody, and counts who comes.
PROXY = "route { from: 0/0 to: 127.0.0.0/8 via: 127.0.0.50 port = 9\nproxyprotocol: socks_v5\n}\n"
LOCAL = bytes([127, 0, 0, 9])
#: Routes; the replies to UDP ASSOCIATE and CONNECT.
EXPECTED = {
    "": (0, 0),
    DIRECT: (3, 0),
    NAMED: (3, 0),
    PROXY + DIRECT: (3, 0),
    DIRECT + PROXY: (3, 0),
}
#: With the proxy alone CONNECT fails: the route is used where it is the only one.
ALONE = PROXY


def ask(port, command, address, at):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"\x05\x01\x00")
        assert client.recv(2) == b"\x05\x00"
        client.sendall(bytes([5, command, 0, 1]) + address + at.to_bytes(2, "big"))
        return client.recv(64)[1]


def replies(port, routes, destination):
    folder = os.getcwd()
    with open("d.conf", "w") as file:
        file.write(SETTINGS.format(folder=folder, port=port) + routes)
    server = subprocess.Popen(["usr/sbin/danted", "-f", "d.conf", "-p", "pid"])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.1)
        return ask(port, 3, bytes(4), 0), ask(port, 1, LOCAL, destination)
    finally:
        server.terminate()
        server.wait()


def accept(listening, came):
    while True:
        listening.accept()[0].close()
        came.append(1)


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listening, proxy = (socket.create_server(at) for at in (("127.0.0.9", 0), ("127.0.0.50", 9)))
asked = []
for server, came in (listening, []), (proxy, asked):
    threading.Thread(target=accept, args=(server, came), daemon=True).start()
destination = listening.getsockname()[1]
wrong = 0
for number, (routes, expected) in enumerate(EXPECTED.items()):
    seen = replies(21500 + number, routes, destination)
    wrong |= seen != expected or bool(asked)
    words = " ".join(routes.split()) or "no route"
    print(f"associate {seen[0]}, connect {seen[1]}: {words}")
alone = replies(21600, ALONE, destination)
print(f"associate {alone[0]}, connect {alone[1]}: {' '.join(ALONE.split())}")
wrong |= alone[1] == 0 or not asked
print(f"the proxy was asked {len(asked)} times, all where it was the only route")
sys.exit(wrong)
PYTHON
unshare --net python3 routes.py
