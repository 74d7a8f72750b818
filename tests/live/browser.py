"""
Chromium without a window, driven by its own protocol for tools.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.live.servers import program

__all__ = ["Browser", "headless"]

#: Seconds that anything may take.
_PATIENCE = 30.0
#: Between two looks.
_PAUSE = 0.05


def headless(home: Path) -> list[str]:
    """
    Return the command of a browser that shows no window, and asks for nothing by itself.

    @param home: where its profile is.
    """
    command = [program("chromium", "chromium"), "--headless", "--no-sandbox"]
    command += ["--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync"]
    return [*command, "--disable-dev-shm-usage", f"--user-data-dir={home}/profile"]


class Browser:
    """
    A browser with one page.

    @ivar problems: what it complained of: scripts that failed, and what the page's own
        policy forbids.
    """

    def __init__(self, home: Path) -> None:
        """@param home: an empty directory for its profile."""
        self.problems: list[str] = []
        self._home = home
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *headless(self._home),
            *("--remote-debugging-port=0", "about:blank"),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await self._port()
            self._session = aiohttp.ClientSession()
            place = f"http://127.0.0.1:{port}/json/new?about:blank"
            async with self._session.put(place) as answer:
                target = await answer.json()
            url = target["webSocketDebuggerUrl"]
            self._socket = await self._session.ws_connect(url, max_msg_size=0)
            self._reading = asyncio.create_task(self._read())
            for domain in ("Page", "Runtime", "Log", "Accessibility"):
                await self.call(f"{domain}.enable")
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        await self._process.wait()

    async def _port(self) -> int:
        file = self._home / "profile" / "DevToolsActivePort"
        async with asyncio.timeout(_PATIENCE):
            while not file.exists() or "\n" not in (text := file.read_text()):
                await asyncio.sleep(_PAUSE)
        return int(text.split("\n", 1)[0])

    async def _read(self) -> None:
        async for message in self._socket:
            found = json.loads(message.data)
            match found.get("method"):
                case None:
                    self._answers.pop(found["id"]).set_result(found)
                case "Runtime.exceptionThrown":
                    self.problems.append(str(found["params"]["exceptionDetails"]))
                case "Log.entryAdded":
                    entry = found["params"]["entry"]
                    if entry["level"] == "error":
                        self.problems.append(f"{entry['text']} {entry.get('url')}")

    async def call(self, method: str, **parameters: Any) -> Any:
        """Have it do something, and return the result."""
        self._number += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        asked = {"id": self._number, "method": method, "params": parameters}
        await self._socket.send_json(asked)
        async with asyncio.timeout(_PATIENCE):
            found = await answer
        assert "error" not in found, found
        return found["result"]

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        await self.call("Page.navigate", url=url)
        here = "location.href !== 'about:blank'"
        await self.until(f"{here} && document.readyState === 'complete'")

    async def run(self, script: str) -> Any:
        """Run a script in the page, and return its value."""
        found = await self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until a script's value is a true one, and return that."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while not (value := await self.run(script)):
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"never so: {script}\n{text}") from None
        return value

    async def click(self, selector: str) -> None:
        """Press the first element that a selector finds, as soon as it is there."""
        await self.until(f"document.querySelector({json.dumps(selector)}) !== null")
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, selector: str, text: str) -> None:
        """Put text into a field, as a person would type it."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: int) -> None:
        """Press a key, such as C{Tab}."""
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                text=text if kind == "keyDown" else "",
                windowsVirtualKeyCode=code,
            )

    async def tree(self) -> list[dict[str, Any]]:
        """Return what a screen reader is told: nodes with roles and names."""
        found = await self.call("Accessibility.getFullAXTree")
        return [
            {
                "role": node.get("role", {}).get("value", ""),
                "name": node.get("name", {}).get("value", ""),
            }
            for node in found["nodes"]
            if not node.get("ignored")
        ]
