#!/bin/sh
# What becomes of a parent proxy's refusal in @anthropic-ai/sandbox-runtime 0.0.83 (npm).
#
# The runtime chains its sandbox to the HTTP proxy that HTTP_PROXY and HTTPS_PROXY of its
# own environment name. The parent here answers everything with 403, with words in the
# first line and in the body.
#   http URL: number and body reach the program in the sandbox; the words of the first
#   line are replaced by the usual ones.
#   https URL: the program gets 502 and nothing of the answer, neither its number nor its
#   words: a denial by the company's policy looks like a gateway that is broken.
# The password of the parent's URL goes with the first CONNECT, unasked, as Basic.
# The runtime's debug output (-d) has no word of the answer either.
#
# Linux, with bubblewrap, socat and ripgrep; Node.js 20 or newer, curl. Run on 2026-11-27
# with Node.js 20.20.2, bubblewrap 0.8.0. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'kill "$proxy" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --ignore-scripts --no-audit --no-fund --no-save --prefix . \
    @anthropic-ai/sandbox-runtime@0.0.83

cat > parent.py <<'PYTHON'
import socket
import threading

BODY = b"BODYWORD is in the body\n"


def answer(client):
    with client:
        head = b""
        while b"\r\n\r\n" not in head:
            came = client.recv(65536)
            if not came:
                return
            head += came
        line, _, fields = head.partition(b"\r\n")
        # Basic of user:password.
        known = b"proxy-authorization: basic dxnlcjpwyxnzd29yza==" in fields.lower()
        with open("asked", "ab") as asked:
            asked.write(line.split(b" ")[0] + (b" password\n" if known else b"\n"))
        client.sendall(
            b"HTTP/1.1 403 LINEWORD is in the first line\r\n"
            b"Content-Type: text/plain\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n" % len(BODY) + BODY
        )
        client.shutdown(socket.SHUT_WR)
        client.recv(1)


with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()
PYTHON
python3 parent.py > port & proxy=$!
until [ -s port ]; do sleep 0.1; done
cat > settings.json <<'JSON'
{"network": {"allowedDomains": ["name.test"], "deniedDomains": []},
 "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []}}
JSON
HTTP_PROXY=http://user:password@127.0.0.1:$(cat port)
HTTPS_PROXY=$HTTP_PROXY
export HTTP_PROXY HTTPS_PROXY

for scheme in http https; do
    node_modules/.bin/srt -d --settings settings.json -c \
        "curl -siS --max-time 20 $scheme://name.test/" > "out.$scheme" 2> "debug.$scheme" \
        || true
    words=
    for word in 403 502 LINEWORD BODYWORD; do
        ! grep -q "$word" "out.$scheme" || words="$words $word"
    done
    debug=
    for word in 403 LINEWORD; do
        ! grep -q "$word" "debug.$scheme" || debug="$debug $word"
    done
    echo "$scheme: the program sees$words; debug output:${debug:- neither}"
done | tee found
cat asked | tee -a found
cat > expected <<'TABLE'
http: the program sees 403 BODYWORD; debug output: neither
https: the program sees 502; debug output: neither
GET password
CONNECT password
TABLE
diff expected found
