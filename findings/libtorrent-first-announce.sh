#!/bin/sh
# What becomes of the first announce to a UDP tracker when libtorrent has a SOCKS 5 proxy.
#
# libtorrent asks the proxy for its UDP association when the session begins, and keeps no
# datagram back until it has one. What is to be sent before that fails inside libtorrent,
# with an error that reads like a refusal: "Permission denied" (13, as of sock_write). No
# datagram has left then, neither to the proxy nor past it. The association is there a
# moment later, but nothing announces again because of it: the next announce comes after
# half a minute. No alert says that the association is there (socks5_alert is for errors).
#
# So a torrent that is added when its session begins fails this way also with a prompt
# proxy on the same host, as here. (A torrent that is auto-managed, as torrents are by
# default, often begins with the session's next tick of half a second only. It then
# depends on which of the two is faster.) Two things help: to add the torrent later, and
# force_reannounce() some seconds after the alert.
#
# Pinned: libtorrent 2.0.15 and 2.1.1 (PyPI); dante-server 1.4.2+dfsg-7+b8 (Debian 12; its
# libraries libpam0g, libwrap0 and libgssapi-krb5-2 have to be there). Needs root, ip(8)
# and unshare(1): each case runs in a network namespace of its own. Run on 2026-11-29 with
# CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
apt-get download -q dante-server=1.4.2+dfsg-7+b8 >/dev/null 2>&1
dpkg-deb -x dante-server_*.deb .

cat > look.py <<'PYTHON'
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import libtorrent

CASE = sys.argv[1]
PORT = 21080
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


def track(listening):
    """Answer as BEP 15 says: no peers, come again in half an hour."""
    while True:
        asked, client = listening.recvfrom(2048)
        action, transaction = struct.unpack("!II", asked[8:16])
        if action == 0:
            listening.sendto(struct.pack("!IIQ", 0, transaction, 1), client)
        else:
            answer = struct.pack("!IIIII", 1, transaction, 1800, 0, 1)
            listening.sendto(answer, client)


def sent():
    """How many UDP datagrams left anybody in this network namespace."""
    with open("/proc/net/snmp") as file:
        names, numbers = (line.split() for line in file if line.startswith("Udp:"))
    return int(numbers[names.index("OutDatagrams")])


def proxy():
    """The server, which has taken a connection."""
    with open("d.conf", "w") as file:
        file.write(SETTINGS.format(folder=os.getcwd(), port=PORT))
    server = subprocess.Popen(["usr/sbin/danted", "-f", "d.conf", "-p", "pid"])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", PORT)).close()
            return server
        except OSError:
            time.sleep(0.1)
    sys.exit("no proxy")


def announce():
    """What the alerts say of the tracker, with their time since the torrent is there."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    threading.Thread(target=track, args=(listening,), daemon=True).start()
    settings = {
        "alert_mask": libtorrent.alert.category_t.tracker_notification
        | libtorrent.alert.category_t.error_notification,
        "listen_interfaces": "127.0.0.1:0",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
    }
    if CASE != "no proxy":
        settings["proxy_type"] = int(libtorrent.proxy_type_t.socks5)
        settings["proxy_hostname"], settings["proxy_port"] = "127.0.0.1", PORT
    session = libtorrent.session(settings)
    if CASE == "added later":
        time.sleep(3)
    torrent = libtorrent.add_torrent_params()
    torrent.info_hashes = libtorrent.info_hash_t(libtorrent.sha1_hash(b"a" * 20))
    torrent.flags &= ~libtorrent.torrent_flags.auto_managed
    torrent.flags &= ~libtorrent.torrent_flags.paused
    torrent.save_path = "."
    torrent.trackers = [f"udp://127.0.0.1:{listening.getsockname()[1]}/announce"]
    began = time.monotonic()
    handle = session.add_torrent(torrent)
    while time.monotonic() < began + 60:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            after = time.monotonic() - began
            if isinstance(alert, libtorrent.tracker_error_alert):
                error = alert.error
                yield f"{error.message()} ({error.value()}), {sent()} sent", after
                if CASE == "forced":
                    time.sleep(3)
                    handle.force_reannounce()
            elif isinstance(alert, libtorrent.tracker_reply_alert):
                yield "answered", after
                return


def when(seconds):
    """In words, wide enough for a busy machine."""
    if seconds < 2.5:
        return "at once"
    if 3 <= seconds < 10:
        return "soon"
    return "half a minute" if 20 <= seconds < 40 else f"{seconds:.1f} s"


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = None if CASE == "no proxy" else proxy()
try:
    found = []
    for what, seconds in announce():
        print(f"  {seconds:6.3f} s  {what}", file=sys.stderr)
        found.append(f"{what}: {when(seconds)}")
    print(f"{CASE}: {'; '.join(found)}")
finally:
    if server:
        server.terminate()
        server.wait()
PYTHON
cat > expected <<'TABLE'
no proxy: answered: at once
added at once: Permission denied (13), 0 sent: at once; answered: half a minute
added later: answered: at once
forced: Permission denied (13), 0 sent: at once; answered: soon
TABLE
for version in 2.0.15 2.1.1; do
    python3 -m venv --clear venv
    venv/bin/pip install -q --disable-pip-version-check "libtorrent==$version"
    echo "libtorrent $version"
    for case in "no proxy" "added at once" "added later" forced; do
        timeout 120 unshare --net venv/bin/python look.py "$case"
    done > found
    cat found
    diff expected found
done
