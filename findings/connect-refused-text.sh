#!/bin/sh
# What a user reads when an HTTP proxy refuses CONNECT with a reason.
#
# An answer of 403 has two places for a reason: the words of its first line (RFC 9112
# section 4) and its body. A proxy that explains itself in the body, as RFC 9110 section
# 15.5.4 suggests, is understood by none of these clients: each drops the body of an
# answer to CONNECT. The words of the first line reach the user of those for Python; those
# for Node.js show the number alone.
#
# Pinned: requests 2.32.5, httpx 0.28.1, aiohttp 3.13.2 (PyPI); undici 6.29.1 and
# hpagent 1.2.0 (npm, on the machine's Node.js 18 or newer). Run on 2026-11-27 with
# Python 3.11.7 and Node.js 20.20.2. Exit status 1: a client shows something else than
# the table below.
set -eu
folder=$(mktemp -d)
trap 'kill "$proxy" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check requests==2.32.5 httpx==0.28.1 \
    aiohttp==3.13.2
npm install --silent --no-audit --no-fund --no-save --prefix . undici@6.29.1 \
    hpagent@1.2.0

cat > proxy.py <<'PYTHON'
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
        assert head.startswith(b"CONNECT name.test:443 "), head
        client.sendall(
            b"HTTP/1.1 403 Forbidden: LINEWORD is in the first line\r\n"
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
python3 proxy.py > port & proxy=$!
until [ -s port ]; do sleep 0.1; done
PROXY=http://127.0.0.1:$(cat port)
export PROXY
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

cat > urllib_.py <<'PYTHON'
import os, urllib.request
handler = urllib.request.ProxyHandler({"https": os.environ["PROXY"]})
urllib.request.build_opener(handler).open("https://name.test/")
PYTHON
cat > requests_.py <<'PYTHON'
import os, requests
requests.get("https://name.test/", proxies={"https": os.environ["PROXY"]})
PYTHON
cat > httpx_.py <<'PYTHON'
import os, httpx
httpx.Client(proxy=os.environ["PROXY"]).get("https://name.test/")
PYTHON
cat > aiohttp_.py <<'PYTHON'
import asyncio, os, aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        await session.get("https://name.test/", proxy=os.environ["PROXY"])
asyncio.run(main())
PYTHON
cat > undici.js <<'NODE'
const {ProxyAgent, request} = require('undici');
request('https://name.test/', {dispatcher: new ProxyAgent(process.env.PROXY)})
  .catch(error => { console.log(error); process.exit(1); });
NODE
cat > hpagent.js <<'NODE'
const {HttpsProxyAgent} = require('hpagent');
require('https').get('https://name.test/',
  {agent: new HttpsProxyAgent({proxy: process.env.PROXY})},
  answer => console.log(answer.statusCode)).on('error', error => console.log(error));
NODE
shown() {  # NAME COMMAND…: which of the words its output has
    name=$1
    shift
    timeout 60 "$@" > "out.$name" 2>&1 || true
    words=
    for word in 403 LINEWORD BODYWORD; do
        ! grep -q "$word" "out.$name" || words="$words $word"
    done
    echo "$name:${words:- nothing}"
}
{
    shown urllib venv/bin/python urllib_.py
    shown requests venv/bin/python requests_.py
    shown httpx venv/bin/python httpx_.py
    shown aiohttp venv/bin/python aiohttp_.py
    shown undici node undici.js
    shown hpagent node hpagent.js
} > found
cat found
cat > expected <<'TABLE'
urllib: 403 LINEWORD
requests: 403 LINEWORD
httpx: 403 LINEWORD
aiohttp: 403 LINEWORD
undici: 403
hpagent: 403
TABLE
diff expected found
