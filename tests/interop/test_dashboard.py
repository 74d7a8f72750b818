"""
The dashboard, in a real browser.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.live import raw
from tests.live.browser import Browser
from tests.live.running import ALL, HEAD
from tests.live.servers import Destination, echo, untilEnd
from tests.live.serving import Serving, served

CONFIGURATION = (
    HEAD
    + """
[grants]
approvers = ["token:operator"]
[[grants.may]]
id = "anything"
allow = ["connect"]
[[rule]]
id = "forbidden"
deny = "any"
to = ["127.0.0.9"]
"""
    + ALL
)

Use = Callable[[Browser, str], Awaitable[None]]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with an admin interface."""
    yield from served(tmp_path_factory.mktemp("dashboard"), CONFIGURATION)


def used(serving: Serving, home: Path, use: Use, token: str = "operator") -> None:
    """Sign in with a token, and use the page; nothing may be wrong with it then."""

    async def go() -> None:
        async with Browser(home) as browser:
            await browser.open(f"http://127.0.0.1:{serving.port}/")
            await browser.until("!document.getElementById('signin').hidden")
            # Nobody has signed in yet, which the browser tells of.
            browser.problems.clear()
            await browser.type("#token", serving.tokens[token])
            await browser.press("Enter", 13)
            await browser.until("!document.getElementById('shown').hidden")
            await use(browser, f"http://127.0.0.1:{serving.port}/")
            assert browser.problems == []

    asyncio.run(go())


def connected(serving: Serving, port: int, host: str = "127.0.0.1") -> socket.socket:
    """A session, by which octets have gone both ways."""
    client = raw.through(raw.dial(serving.gateway.port), host, port)
    client.sendall(b"hello")
    assert raw.exactly(client, 5) == b"hello"
    return client


def test_aSessionIsKilled(
    serving: Serving, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """It is found by a filter, told of, and ended; the client sees the end."""
    port = destination(echo).port
    other = destination(echo).port

    async def use(browser: Browser, _: str) -> None:
        rows = "document.querySelectorAll('#sessions-table tbody tr')"
        await browser.until(f"{rows}.length === 2")
        await browser.type("#filter [name=destination]", "*.example.com")
        await browser.press("Enter", 13)
        await browser.until(f"{rows}.length === 0")
        await browser.click("#filter [type=reset]")
        await browser.until(f"{rows}.length === 2")
        await browser.type("#filter [name=destination]", "127.0.0.1")
        await browser.press("Enter", 13)
        await browser.until(f"{rows}.length === 2")
        mine = f"[...{rows}].find(row => row.textContent.includes(':{port}'))"
        await browser.run(f"{mine}.querySelector('button').click()")
        await browser.until("document.getElementById('story').open")
        story = await browser.run("document.getElementById('story').innerText")
        assert f"{port}" in story
        assert "decision" in story
        await browser.press("Escape", 27)
        await browser.run(f"{mine}.querySelector('button.danger').click()")
        await browser.click("#sure[open] #sure-yes")
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(untilEnd, client)
        await browser.until(f"{rows}.length === 1")
        said = await browser.until("document.getElementById('said').textContent")
        assert "has ended" in said

    with connected(serving, port) as client, connected(serving, other):
        used(serving, tmp_path, use)
    end = raw.end(serving.gateway, port)
    assert end["reason"] == "killed"
    assert "token:operator" in end["why"]


def test_endAll(
    serving: Serving, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """All sessions that a filter shows are ended, and no other."""
    port, other = destination(echo).port, destination(echo, "127.0.0.2").port

    async def use(browser: Browser, _: str) -> None:
        rows = "document.querySelectorAll('#sessions-table tbody tr')"
        await browser.until(f"{rows}.length === 3")
        await browser.type("#filter [name=destination]", "127.0.0.1")
        await browser.press("Enter", 13)
        await browser.until(f"{rows}.length === 2")
        await browser.click("#kill-chosen")
        asked = await browser.until("document.querySelector('#sure[open]').innerText")
        assert "the sessions with destination 127.0.0.1" in asked
        await browser.click("#sure-yes")
        for each in (first, second):
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(untilEnd, each)
        await browser.until(f"{rows}.length === 0")
        said = await browser.until("document.getElementById('said').textContent")
        assert said == "2 sessions have ended"
        await browser.click("#filter [type=reset]")
        await browser.until(f"{rows}.length === 1")
        third.sendall(b"still")
        assert raw.exactly(third, 5) == b"still"

    with (
        connected(serving, port) as first,
        connected(serving, port) as second,
        connected(serving, other, "127.0.0.2") as third,
    ):
        used(serving, tmp_path, use)
    ends = serving.gateway.journal("end")
    killed = [e for e in ends if "token:operator" in e.get("why", "")]
    assert {e["reason"] for e in killed[-2:]} == {"killed"}
    assert raw.end(serving.gateway, other)["reason"] != "killed"


def test_atALook(
    serving: Serving, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """How many sessions there are, and who moves most; rates are drawn as they go."""
    port, other = (destination(echo).port for _ in range(2))

    async def use(browser: Browser, _: str) -> None:
        labels = "[...document.querySelectorAll('#charts svg')].map(x => x.ariaLabel)"
        shown = f"{labels}.join()"
        await browser.until(f"{shown}.includes('live sessions: now 2')")
        for each in ("new sessions: now ", "denied or refused: now ", "moved: now "):
            assert each in await browser.run(shown)
        await asyncio.to_thread(denied)
        await browser.until(
            f"/denied or refused: now [^,]*, at most (?!0.0)/.test({shown})"
        )
        path = "document.querySelector('#charts .bad path:not(.area)')"
        assert "L" in await browser.run(f"{path}.getAttribute('d')")
        rows = "[...document.querySelectorAll('#talkers-destination tbody tr')]"
        found = await browser.run(f"{rows}.map(row => row.innerText)")
        assert [text.split()[:2] for text in found] == [
            [f"127.0.0.1:{other}", "1"],
            [f"127.0.0.1:{port}", "1"],
        ]
        user = "document.querySelector('#talkers-user tbody').innerText"
        assert (await browser.run(user)).split()[:2] == ["anonymous", "2"]

    def denied() -> None:
        for _ in range(3):
            with raw.dial(serving.gateway.port) as client:
                client.sendall(raw.request4("127.0.0.9", 80))
                assert client.recv(8)[1] == 91

    with connected(serving, port), connected(serving, other) as busy:
        busy.sendall(b"x" * 5000)
        raw.exactly(busy, 5000)
        used(serving, tmp_path, use)


def test_whoMayOnlyLook(
    serving: Serving, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """Sees no button that would be refused."""

    async def use(browser: Browser, _: str) -> None:
        await browser.until(
            "document.querySelector('#sessions-table tbody tr') !== null"
        )
        offered = await browser.run(
            "[...document.querySelectorAll('button')]"
            ".filter(each => each.offsetParent).map(each => each.textContent.trim())"
        )
        assert "All" in offered
        assert not {"End", "Reload", "Drain", "End all of these"} & set(offered)

    with connected(serving, destination(echo).port):
        used(serving, tmp_path, use, "looker")


def test_wrongToken(serving: Serving, tmp_path: Path) -> None:
    """The page says so, and asks again."""

    async def go() -> None:
        async with Browser(tmp_path) as browser:
            await browser.open(f"http://127.0.0.1:{serving.port}/")
            await browser.until("!document.getElementById('signin').hidden")
            await browser.type("#token", "wrong")
            await browser.press("Enter", 13)
            said = await browser.until("document.getElementById('said').textContent")
            assert "token" in said
            assert await browser.run("!document.getElementById('signin').hidden")
            assert await browser.run("sessionStorage.length") == 0

    asyncio.run(go())


def test_everybody(
    serving: Serving, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """By keyboard alone, by a screen reader, on a telephone, and in the dark."""

    async def use(browser: Browser, _: str) -> None:
        await browser.until(
            "document.querySelector('#sessions-table tbody tr') !== null"
        )
        for node in await browser.tree():
            if node["role"] in ("button", "textbox", "combobox", "table", "image"):
                assert node["name"], node
        # Every act is reached by the keyboard.
        seen = set()
        await browser.run("document.body.focus(), document.activeElement.blur()")
        for _press in range(60):
            await browser.press("Tab", 9)
            seen.add(await browser.run("document.activeElement.textContent.trim()"))
        assert {"Reload", "Drain", "Filter", "End", "Pause", "Explain"} <= seen
        await browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=360,
            height=740,
            deviceScaleFactor=2,
            mobile=True,
        )
        wide = "document.documentElement.scrollWidth"
        assert await browser.run(wide) == 360
        light = await browser.run("getComputedStyle(document.body).backgroundColor")
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        await browser.call("Emulation.setEmulatedMedia", features=dark)
        found = await browser.run("getComputedStyle(document.body).backgroundColor")
        assert found != light

    with connected(serving, destination(echo).port):
        used(serving, tmp_path, use)


def test_decisionsAndExplain(serving: Serving, tmp_path: Path) -> None:
    """A denial is told as it happens, whatever it holds is text; and is explained."""

    async def use(browser: Browser, _: str) -> None:
        # What is asked for here is markup, in a protocol that lets it be a name.
        hostile = "<img src=x onerror=document.title=1>"
        items = "[...document.querySelectorAll('#events li')]"
        while not await browser.run(f"{items}.length"):
            await asyncio.to_thread(asked, hostile)
            await asyncio.sleep(0.2)
        await browser.until(f"{items}.some(each => each.textContent.includes('<img'))")
        assert await browser.run("document.querySelector('#events img') === null")
        await browser.type("#explain-form [name=destination]", "127.0.0.9:80")
        await browser.press("Enter", 13)
        text = "document.getElementById('explained').textContent"
        found = await browser.until(text)
        assert found.startswith('deny by rule "forbidden"'), found

    def asked(host: str) -> None:
        with raw.dial(serving.gateway.port) as client:
            client.sendall(raw.request4("0.0.0.1", 80)[:-1] + b"\0" + host.encode())
            client.sendall(b"\0")
            client.recv(8)

    used(serving, tmp_path, use)


def test_aGrant(serving: Serving, tmp_path: Path) -> None:
    """One asks for it, another approves and ends it, by their buttons."""

    async def request(browser: Browser, _: str) -> None:
        await browser.until("!document.getElementById('grants-section').hidden")
        await browser.click("#grants-section summary")
        for name, text in (("who", "alice"), ("to", "10.1.2.3"), ("ticket", "T-1")):
            await browser.type(f"#grant-form [name={name}]", text)
        await browser.press("Enter", 13)
        row = await browser.until(
            "document.querySelector('#grants tbody')?.innerText || ''"
        )
        assert "T-1" in row
        # Nobody approves what they have asked for.
        assert "Approve" not in row

    async def approve(browser: Browser, _: str) -> None:
        await browser.click("#grants [data-grant=Approve1]")
        await browser.click("#sure[open] #sure-yes")
        rows = "document.querySelector('#grants tbody').innerText"
        await browser.until(f"{rows}.includes('active')")
        await browser.click("#grants [data-grant=End1]")
        await browser.click("#sure[open] #sure-yes")
        await browser.until(f"{rows}.includes('revoked')")

    used(serving, tmp_path / "one", request, "looker")
    used(serving, tmp_path / "other", approve)


def test_drainAndReload(serving: Serving, tmp_path: Path) -> None:
    """By their buttons; the state says so."""

    async def use(browser: Browser, _: str) -> None:
        await browser.click("#reload")
        await browser.until(
            "/reloaded/.test(document.getElementById('said').textContent)"
        )
        await browser.click("#drain")
        await browser.click("#sure[open] #sure-yes")
        await browser.until("document.getElementById('drain').textContent != 'Drain'")
        assert await browser.run("document.getElementById('state').className") == "bad"
        await browser.click("#drain")
        await browser.until("document.getElementById('drain').textContent == 'Drain'")
        # Whoever listens has to ask again after a reload.
        browser.problems[:] = [x for x in browser.problems if "api/events" not in x]

    used(serving, tmp_path, use)
