#!/bin/sh
# How long the first message over TLS 1.3 takes, by the number of session tickets.
#
# A server of OpenSSL sends two tickets after the handshake unless it is told otherwise
# (RFC 8446 section 4.6.1), each by a write of its own. These small writes meet Nagle's
# algorithm (RFC 9293 section 3.7.4) and delayed acknowledgements (section 3.8.6.3):
#
#   - Two tickets or more: the second one waits for an acknowledgement of the first, and
#     the server's first answer waits behind it. TCP_NODELAY of the client is of no use;
#     that of the server is the cure.
#   - No ticket: nothing acknowledges the client's Finished, and its first message waits.
#     TCP_NODELAY of the server is of no use here; that of the client is the cure.
#   - One ticket: neither waits, whatever the two have set.
#
# So whoever switches tickets off to save something makes each new connection of such
# clients 40 ms longer. It was seen within one host.
#
# Pinned: trustme 1.2.1 (PyPI), for the certificate. Run on 2026-11-28 with the ssl module
# of Python 3.11.7 (OpenSSL 3.0.19) and 3.11.2, Linux 6.18. Exit status 1: some case is no
# longer on its side of 20 ms.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check trustme==1.2.1

cat > first.py <<'PYTHON'
import platform
import socket
import ssl
import statistics
import sys
import threading
import time

import trustme

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("server.test")
#: Tickets, TCP_NODELAY of the server, of the client: whether the first message waits.
EXPECTED = {
    (0, False, False): True, (0, False, True): False,
    (0, True, False): True, (0, True, True): False,
    (1, False, False): False, (1, False, True): False,
    (1, True, False): False, (1, True, True): False,
    (2, False, False): True, (2, False, True): True,
    (2, True, False): False, (2, True, True): False,
}  # fmt: skip


def prompt(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def milliseconds(tickets, here, there):
    """The median time of a message and its echo, right after the handshake."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.num_tickets = tickets
    CERTIFICATE.configure_cert(server)
    client = ssl.create_default_context()
    AUTHORITY.configure_trust(client)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(15):
            accepted, _ = listening.accept()
            if here:
                prompt(accepted)
            with server.wrap_socket(accepted, server_side=True) as connection:
                connection.sendall(connection.recv(100))
                connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    took = []
    for _ in range(15):
        plain = socket.create_connection(listening.getsockname())
        if there:
            prompt(plain)
        with client.wrap_socket(plain, server_hostname="server.test") as connection:
            began = time.perf_counter()
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            took.append((time.perf_counter() - began) * 1e3)
    thread.join()
    listening.close()
    return statistics.median(took)


print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}")
changed = False
for (tickets, here, there), waits in EXPECTED.items():
    found = milliseconds(tickets, here, there)
    changed |= (found > 20) != waits
    print(
        f"tickets {tickets}  TCP_NODELAY server {here!s:5} client {there!s:5}"
        f"  first echo {found:6.2f} ms"
    )
sys.exit(changed)
PYTHON
venv/bin/python first.py
