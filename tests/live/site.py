"""
A web server on a real library (aiohttp), in a process of its own: C{python site.py}
prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["site"]

_PIECE = bytes(range(256)) * 256


@contextmanager
def site(host: str = "127.0.0.1") -> Iterator[int]:
    """Run the server, and return its port."""
    process = subprocess.Popen(
        [sys.executable, __file__, host], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


async def _serve(host: str) -> None:
    from aiohttp import WSMsgType, web

    async def digest(request: Any) -> Any:
        """Tell how much was sent, and its hash."""
        found, length = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            found.update(piece)
            length += len(piece)
        expected = request.headers.get("Expect", "")
        return web.Response(text=f"{length} {found.hexdigest()} {expected}\n")

    async def refused(request: Any) -> Any:
        """Want nothing of the body."""
        return web.Response(status=413, text="too much\n")

    async def much(request: Any) -> Any:
        """Send so many octets, with their length or in chunks."""
        count = int(request.match_info["count"])
        answer = web.StreamResponse()
        if request.match_info["framing"] == "chunked":
            answer.enable_chunked_encoding()
        else:
            answer.content_length = count
        await answer.prepare(request)
        while count:
            piece = _PIECE[: min(count, len(_PIECE))]
            await answer.write(piece)
            count -= len(piece)
        await answer.write_eof()
        return answer

    async def echo(request: Any) -> Any:
        """Send back each message of a WebSocket."""
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/digest", digest)
    app.router.add_route("*", "/refused", refused)
    app.router.add_get("/much/{framing}/{count}", much)
    app.router.add_get("/socket", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
