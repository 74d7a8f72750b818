#!/bin/sh
# What Node.js, Deno and Bun do when a variable of the environment names a SOCKS proxy.
#
# None of the three does what another does. With ALL_PROXY=socks5://… Deno's fetch goes
# through the proxy; Bun's, which takes ALL_PROXY when it names an HTTP proxy, goes to
# the destination directly and says nothing, although the same URL in HTTP_PROXY is an
# error; Node.js has no ALL_PROXY at all. Node.js, with NODE_USE_ENV_PROXY=1, takes
# socks5:// in HTTP_PROXY and says that this is experimental, and does not start with
# socks5h://. Whoever goes through the proxy lets it look the name up, also with
# socks5://, which curl and uv take for "look it up here".
#
# Pinned (npm): node 26.10.0, deno 2.9.6, bun 1.4.5; some 300 MB. Run on 2026-11-29.
# Exit status 1: a program does something else than the table below.
set -eu
folder=$(mktemp -d)
trap 'kill "$servers" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$folder" DENO_NO_UPDATE_CHECK=1
npm install --silent --no-audit --no-fund --no-save --prefix . node@26.10.0 deno@2.9.6 \
    bun@1.4.5

# A web server; a proxy that speaks SOCKS 5 and HTTP, and writes down what it was asked.
cat > servers.py <<'PYTHON'
import http.server
import socket
import struct
import threading


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *words):
        pass


def pump(source, sink):
    while octets := source.recv(65536):
        sink.sendall(octets)
    sink.shutdown(socket.SHUT_WR)


def exactly(client, octets):
    got = b""
    while len(got) < octets:
        got += client.recv(octets - len(got)) or exit()
    return got


def through(client):
    first = exactly(client, 1)
    if first == b"\x05":
        exactly(client, exactly(client, 1)[0])
        client.sendall(b"\x05\x00")
        kind = exactly(client, 4)[3]
        if kind == 3:
            asked, how = exactly(client, exactly(client, 1)[0]).decode(), "name"
        else:
            asked, how = socket.inet_ntoa(exactly(client, 4)), "address"
        exactly(client, 2)
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        told, before = f"socks5 {how}", b""
    else:
        head = first
        while b"\r\n\r\n" not in head:
            head += client.recv(65536) or exit()
        told, before = "http", head
        if head.startswith(b"CONNECT"):
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            before = b""
    with open("asked", "a") as file:
        file.write(told + "\n")
    server = socket.create_connection(("127.0.0.1", site.server_port))
    server.sendall(before)
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)


def served(client):
    try:
        through(client)
    except (OSError, SystemExit):
        pass


site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
threading.Thread(target=site.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], site.server_port, flush=True)
    while True:
        threading.Thread(target=served, args=(listening.accept()[0],), daemon=True).start()
PYTHON
python3 servers.py > ports & servers=$!
until [ -s ports ]; do sleep 0.1; done
read -r proxy site < ports

cat > fetch.mjs <<'JAVASCRIPT'
const url = process.argv[2];
try {
    const answer = await fetch(url);
    console.log(answer.status, await answer.text());
} catch (e) {
    console.log("failed", e.code ?? e.cause?.code ?? "");
}
JAVASCRIPT

# Prints a program, a setting, and what came of it: by name, then to an address.
tried() {
    program=$1 variable=$2 scheme=$3 said=""
    for host in site.test 127.0.0.1; do
        : > asked
        case $program in
            node) set -- env NODE_USE_ENV_PROXY=1 node_modules/.bin/node ;;
            deno) set -- node_modules/.bin/deno run -q -A ;;
            bun) set -- node_modules/.bin/bun ;;
        esac
        out=$(env -u http_proxy -u https_proxy -u all_proxy -u no_proxy -u HTTP_PROXY \
            -u HTTPS_PROXY -u ALL_PROXY -u NO_PROXY "$variable=$scheme://127.0.0.1:$proxy" \
            "$@" fetch.mjs "http://$host:$site/" 2>&1) || true
        case $out in
            *"200 hello"*) went=$(head -n 1 asked); said="$said, ${went:-directly}" ;;
            *) said="$said, fails" ;;
        esac
    done
    printf '%s %s=%s:%s\n' "$program" "$variable" "$scheme" "${said#,}"
}

for program in node deno bun; do
    for scheme in http socks5 socks5h; do
        tried "$program" ALL_PROXY "$scheme"
        tried "$program" HTTP_PROXY "$scheme"
    done
done > seen
cat > expected <<'TABLE'
node ALL_PROXY=http: fails, directly
node HTTP_PROXY=http: http, http
node ALL_PROXY=socks5: fails, directly
node HTTP_PROXY=socks5: socks5 name, socks5 address
node ALL_PROXY=socks5h: fails, directly
node HTTP_PROXY=socks5h: fails, fails
deno ALL_PROXY=http: http, http
deno HTTP_PROXY=http: http, http
deno ALL_PROXY=socks5: socks5 name, socks5 address
deno HTTP_PROXY=socks5: socks5 name, socks5 address
deno ALL_PROXY=socks5h: socks5 name, socks5 address
deno HTTP_PROXY=socks5h: socks5 name, socks5 address
bun ALL_PROXY=http: http, http
bun HTTP_PROXY=http: http, http
bun ALL_PROXY=socks5: fails, directly
bun HTTP_PROXY=socks5: fails, fails
bun ALL_PROXY=socks5h: fails, directly
bun HTTP_PROXY=socks5h: fails, fails
TABLE
cat seen
diff expected seen
