"""
Many clients at once, in one loop: sessions whose transfers go on, and new
connections at a steady rate. Everything that is not as it should be is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from tests.live.clients import GREETING, four, request5

__all__ = ["PIECE", "Crowd"]

#: Octets of one piece of a transfer.
PIECE = 2048
#: RFC 1928 section 6: VER REP RSV ATYP, an IPv4 address and a port.
_REPLY = 10


class _Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Crowd:
    """
    The clients, and the server that they want to reach.

    @ivar port: the server's.
    @ivar failures: what went wrong, and where.
    @ivar came: how many of the new connections were served.
    @ivar moved: octets that came back in the running transfers.
    """

    port: int

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.came = 0
        self.moved = 0
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def serve(self) -> None:
        """Start the server."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            _Echo, "127.0.0.1", 0, backlog=4096, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def request(
        self, gateway: int, port: int
    ) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        """
        CONNECT to C{port} of this host.

        @return: the REP that was answered, and the connection.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway)
        try:
            writer.write(GREETING + request5(four("127.0.0.1"), port))
            assert await reader.readexactly(2) == b"\x05\x00"
            reply = await reader.readexactly(_REPLY)
        except BaseException:
            writer.close()
            raise
        return reply[1], reader, writer

    async def verdict(self, gateway: int, port: int) -> int:
        """The REP that is answered to a CONNECT."""
        reply, _, writer = await self.request(gateway, port)
        writer.close()
        return reply

    async def transfers(self, gateways: Sequence[int], count: int) -> None:
        """Open that many sessions, with a transfer in each until L{end}."""
        for first in range(0, count, 100):
            opened = await asyncio.gather(
                *(
                    self.request(gateways[i % len(gateways)], self.port)
                    for i in range(first, min(first + 100, count))
                )
            )
            for i, (reply, reader, writer) in enumerate(opened, first):
                assert reply == 0
                self._start(self._transfer(i, reader, writer), f"transfer {i}")

    def arrivals(self, gateways: Sequence[int], rate: float) -> None:
        """From now on that many connections come each second, until L{end}."""
        self._start(self._arrive(gateways, rate), "arrivals")

    async def end(self) -> None:
        """Let the transfers come to their end, and close all."""
        self._stop.set()
        while self._tasks:
            await asyncio.wait(self._tasks, timeout=30)
        assert self._server is not None
        self._server.close()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        async def watched() -> None:
            try:
                await work
            except (OSError, EOFError, AssertionError) as e:
                self.failures.append(f"{name}: {type(e).__name__}: {e}")

        task = asyncio.create_task(watched())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _transfer(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        source = random.Random(number)
        sent, came = hashlib.sha256(), hashlib.sha256()
        try:
            while not self._stop.is_set():
                piece = source.randbytes(PIECE)
                sent.update(piece)
                writer.write(piece)
                back = await reader.readexactly(PIECE)
                came.update(back)
                self.moved += len(back)
                await asyncio.sleep(source.uniform(0.2, 1.0))
            assert came.digest() == sent.digest(), "other octets came back"
            writer.write_eof()
            assert await reader.read() == b"", "more octets came than were sent"
        finally:
            writer.close()

    async def _arrive(self, gateways: Sequence[int], rate: float) -> None:
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while not self._stop.is_set():
            await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
            gateway = gateways[number % len(gateways)]
            self._start(self._visit(gateway), f"connection {number}")
            number += 1

    async def _visit(self, gateway: int) -> None:
        reply, reader, writer = await self.request(gateway, self.port)
        try:
            assert reply == 0, f"refused with {reply}"
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            self.came += 1
        finally:
            writer.close()
