#!/bin/sh
# httpx 0.28.1 (PyPI): no time-out holds while a SOCKS proxy has not answered yet.
#
# A SOCKS proxy answers CONNECT when the destination has answered, or its own time-out is
# over. httpx documents four time-outs, of five seconds each where nothing is said. None
# of them ends that wait: get(timeout=1) waits for as long as the proxy does, with Client
# and AsyncClient alike. The same call by an HTTP proxy, where the wait is for the answer
# to CONNECT, ends in ReadTimeout after a second. So does requests by SOCKS
# (ConnectTimeout), and httpx2 2.16.2, whose interface is the same (ReadTimeout).
#
# Cancelling the task (as asyncio.timeout() does) ends the wait of AsyncClient, but not
# the connection: that is open, and the proxy goes on, until the garbage collector has
# run. (A proxy that then answers has a session that nobody uses.) The proxy is silent
# for 6 seconds here.
#
# Pinned: httpx 0.28.1, httpx2 2.16.2, socksio 1.0.0, requests 2.34.2, PySocks 1.7.1
# (PyPI). Run on 2026-11-29 with CPython 3.11.7. Exit status 1: it does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check httpx==0.28.1 httpx2==2.16.2 \
    socksio==1.0.0 requests==2.34.2 PySocks==1.7.1
cat > look.py <<'PYTHON'
import asyncio
import gc
import socket
import threading

import httpx
import httpx2
import requests

URL = "https://site.test:9/"
#: How long the proxy does not answer, in seconds.
SILENT = 6
serving = []
came = threading.Event()
gone = threading.Event()


def exactly(client, octets):
    got = b""
    while len(got) < octets:
        more = client.recv(octets - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def serve(client):
    """Read a request whole, and answer with a failure after a while, if at all."""
    with client:
        if client.recv(1, socket.MSG_PEEK) == b"\x05":
            exactly(client, 1)
            exactly(client, exactly(client, 1)[0])
            client.sendall(b"\x05\x00")
            exactly(client, 4)
            exactly(client, exactly(client, 1)[0] + 2)
            refusal = b"\x05\x01\x00\x01" + bytes(6)
        else:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            refusal = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
        came.set()
        client.settimeout(SILENT)
        try:
            client.recv(1)
        except TimeoutError:
            client.sendall(refusal)
        except ConnectionError:
            pass
        gone.set()


def accept(listening):
    while True:
        client = listening.accept()[0]
        serving.append(threading.Thread(target=serve, args=(client,), daemon=True))
        serving[-1].start()


async def fetched(module, proxy):
    async with module.AsyncClient(proxy=proxy, timeout=1) as client:
        await client.get(URL)


def call(name, proxy):
    if name == "requests":
        requests.get(URL, proxies={"https": proxy}, timeout=1)
        return
    module = httpx2 if "httpx2" in name else httpx
    if "AsyncClient" in name:
        asyncio.run(fetched(module, proxy))
    else:
        module.Client(proxy=proxy, timeout=1).get(URL)


def waits(name, proxy):
    """Whether a call ends by its time-out, or by the proxy's answer."""
    try:
        call(name, proxy)
    except Exception as e:
        # A time-out leaves the proxy silent still.
        ended = "its time-out" if "Timeout" in type(e).__name__ else "the proxy's answer"
        return f"{ended} ({type(e).__name__})"
    return "nothing"


async def abandoned(proxy):
    """Give up waiting, and look for the connection before and after a collection."""
    came.clear()
    gone.clear()
    client = httpx.AsyncClient(proxy=proxy)
    waiting = asyncio.create_task(client.get(URL))
    await asyncio.to_thread(came.wait, 30)
    waiting.cancel()
    await asyncio.wait([waiting])
    await client.aclose()
    del waiting
    told = []
    for step in "closed", "collected":
        if step == "collected":
            gc.collect()
        told.append(f"{step}: {'ended' if await asyncio.to_thread(gone.wait, 2) else 'open'}")
    return ", ".join(told)


listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listening,), daemon=True).start()
at = f"127.0.0.1:{listening.getsockname()[1]}"
for kind in "http", "socks5h":
    for name in "httpx.Client", "httpx.AsyncClient", "httpx2.Client", "requests":
        print(f"{kind} {name}: ends by {waits(name, f'{kind}://{at}')}")
for thread in serving:
    thread.join()
gc.collect()
gc.disable()
print(f"cancelled, {asyncio.run(abandoned(f'socks5h://{at}'))}")
PYTHON
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
venv/bin/python look.py | tee found
cat > expected <<'TABLE'
http httpx.Client: ends by its time-out (ReadTimeout)
http httpx.AsyncClient: ends by its time-out (ReadTimeout)
http httpx2.Client: ends by its time-out (ReadTimeout)
http requests: ends by its time-out (ReadTimeout)
socks5h httpx.Client: ends by the proxy's answer (ProxyError)
socks5h httpx.AsyncClient: ends by the proxy's answer (ProxyError)
socks5h httpx2.Client: ends by its time-out (ReadTimeout)
socks5h requests: ends by its time-out (ConnectTimeout)
cancelled, closed: open, collected: ended
TABLE
diff expected found
