#!/bin/sh
# Linux: an exact question to sock_diag may be answered about another socket.
#
# inet_diag without NLM_F_DUMP asks for the one TCP socket that has both addresses and
# both ports. Where that connection is gone and something listens on its local port, the
# kernel answers with the listener: state LISTEN, no remote port, the listener's owner.
# Whoever asks for the owner of a loopback connection's other end, and does not compare
# the answer's state and ports with what it asked, names the wrong user.
# Without such a listener the answer is ENOENT.
#
# Needs Python 3.11 and no privilege. Run on 2026-11-27 on Linux 6.18. Exit status 1: it
# does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > look.py <<'PYTHON'
import errno
import os
import socket
import struct

STATES = {1: "ESTABLISHED", 10: "LISTEN"}


def ask(local, remote):
    """State and remote port of what inet_diag finds for two ports of 127.0.0.1."""
    loopback = socket.inet_aton("127.0.0.1").ljust(16, b"\0")
    identity = struct.pack("!HH16s16s", local, remote, loopback, loopback)
    identity += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
    body += identity
    # SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST.
    head = struct.pack("=IHHII", 16 + len(body), 20, 1, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4) as diag:
        diag.sendto(head + body, (0, 0))
        answer = diag.recv(65536)
    kind = struct.unpack_from("=IH", answer)[1]
    if kind == 2:
        return errno.errorcode[-struct.unpack_from("=i", answer, 16)[0]]
    state = answer[17]
    remotePort = struct.unpack_from("!H", answer, 22)[0]
    what = "the one asked" if remotePort == remote else str(remotePort)
    return f"{STATES.get(state, state)}, remote port: {what}"


with socket.create_server(("127.0.0.1", 0)) as server:
    serverPort = server.getsockname()[1]
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", 0))
    clientPort = client.getsockname()[1]
    client.connect(("127.0.0.1", serverPort))
    accepted, _ = server.accept()
    print("while it lives:", ask(clientPort, serverPort))
    # A reset: nothing waits in a later state.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    print("when it is gone:", ask(clientPort, serverPort))
    with socket.create_server(("127.0.0.1", clientPort)):
        print("when its port listens:", ask(clientPort, serverPort))
    accepted.close()
PYTHON
python3 look.py | tee found
cat > expected <<'TABLE'
while it lives: ESTABLISHED, remote port: the one asked
when it is gone: ENOENT
when its port listens: LISTEN, remote port: 0
TABLE
diff expected found
