"""
A decider that is a real HTTP server (aiohttp's), and what clients and the record
are told.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from tests.live import raw
from tests.live.clients import isClosed
from tests.live.datagrams import Association, Echo
from tests.live.running import HEAD, Running, running, socksgw
from tests.live.servers import Certificate, Destination, echo
from tests.tools.waiting import until

NO = {"result": {"allow": False, "reason": "not during the freeze"}}
#: Port 1 is nobody's: what is allowed to it is refused by the kernel at once.
RULES = """
[[rule]]
id = "free"
allow = ["connect"]
ports = [1]
[[rule]]
id = "asked"
allow = "any"
decider = "opa"
ticket = "T-1"
"""
CONFIG = (
    HEAD
    + """
[[decider]]
name = "opa"
url = "https://localhost:{port}/v1/data/socksgw/allow"
ca = "cert.pem"
token_file = "token"
timeout = "1s"
"""
    + RULES
)


class Opa:
    """
    The server, in a thread.

    @ivar answer: what it says; L{None} for silence.
    @ivar asked: the inputs.
    @ivar peers: the connections that questions came by.
    @ivar headers: of the last question.
    """

    def __init__(self) -> None:
        self.answer: Any = {"result": True}
        self.asked: list[dict[str, Any]] = []
        self.peers: set[Any] = set()
        self.headers: Any = {}
        self.port = 0

    @contextmanager
    def serving(self, context: Any = None, path: str = "") -> Iterator[Opa]:
        """Serve on a port of loopback, or on a Unix socket."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        thread = threading.Thread(
            target=self._run, args=(loop, ready, context, path), daemon=True
        )
        thread.start()
        assert ready.wait(20)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)

    def _run(
        self, loop: asyncio.AbstractEventLoop, ready: Any, context: Any, path: str
    ) -> None:
        from aiohttp import web

        app = web.Application()
        app.router.add_post("/v1/data/socksgw/allow", self._decide)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        loop.run_until_complete(runner.setup())
        site: Any
        if path:
            site = web.UnixSite(runner, path)
        else:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        loop.run_until_complete(site.start())
        if not path:
            self.port = runner.addresses[0][1]
        ready.set()
        loop.run_forever()
        # Some are silent still.
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.run_until_complete(runner.cleanup())
        loop.close()

    async def _decide(self, request: Any) -> Any:
        from aiohttp import web

        self.peers.add(request.transport.get_extra_info("peername"))
        self.headers = request.headers
        self.asked.append((await request.json())["input"])
        if self.answer is None:
            await asyncio.sleep(5)
        return web.json_response(self.answer)


@pytest.fixture(scope="module")
def opa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opa]:
    """The server, with TLS."""
    directory = tmp_path_factory.mktemp("opa")
    context = Certificate(directory).server()
    served = Opa()
    with served.serving(context):
        served.directory = directory  # type: ignore[attr-defined]
        yield served


@pytest.fixture(scope="module")
def gateway(opa: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that asks it."""
    directory = tmp_path_factory.mktemp("gateway")
    (directory / "cert.pem").write_bytes((opa.directory / "cert.pem").read_bytes())
    (directory / "token").touch(0o600)
    (directory / "token").write_text("canary-77d2\n")
    for each in running(directory, CONFIG.replace("{port}", str(opa.port))):
        yield each
        assert "canary" not in each.log + json.dumps(each.journal())


@pytest.fixture(autouse=True)
def _fresh(opa: Opa) -> None:
    opa.answer = {"result": True}
    opa.asked.clear()
    opa.peers.clear()


def code(gateway: Running, port: int, command: int = 1) -> int:
    """Ask for a port of loopback: the reply."""
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", port, command))
        assert raw.exactly(client, 2) == b"\x05\x00"
        return raw.reply5(client)[0]


def test_yesAndNo(opa: Opa, gateway: Running) -> None:
    """Its yes lets a session through, its no does not; both are in the record."""
    with Destination(echo) as server:
        with closing(raw.dial(gateway.port)) as client:
            raw.through(client, "127.0.0.1", server.port)
            client.sendall(b"hello")
            assert raw.exactly(client, 5) == b"hello"
        assert opa.asked[0] | {"source": ""} == {
            "user": "anonymous",
            "groups": [],
            "method": "none",
            "tag": "",
            "source": "",
            "listener": "main",
            "secured": "clear",
            "command": "connect",
            "name": None,
            "addresses": ["127.0.0.1"],
            "port": server.port,
            "application": None,
            "server_name": None,
            "rule": "asked",
            "ticket": "T-1",
        }
        assert opa.headers["Authorization"] == "Bearer canary-77d2"
        line = raw.decision(gateway, server.port)
        assert (line["verdict"], line["rule"], line["decider"]) == (
            "allow",
            "asked",
            "opa",
        )
        opa.answer = NO
        assert code(gateway, server.port) == 2
        line = until(
            lambda: [e for e in gateway.journal("decision") if e["verdict"] == "deny"]
        )[-1]
    assert (line["rule"], line["reply"], line["reason"]) == ("decider", 2, "policy")
    assert (line["decider"], line["said"]) == ("opa", "not during the freeze")
    assert "ticket" not in line
    # Questions one after the other go by one connection.
    assert len(opa.peers) == 1
    told = socksgw("explain", "--config", "gw.toml", "--record", str(line["n"]),
                   cwd=gateway.directory)  # fmt: skip
    assert "it said" in told.stdout
    assert 'decider "opa" is asked then, and may deny it' in told.stdout


def test_whatIsNotAskedAbout(opa: Opa, gateway: Running) -> None:
    """What another rule allows, and what none allows."""
    opa.answer = NO
    assert code(gateway, 1) == 5
    assert code(gateway, 2, command=9) == 7
    assert opa.asked == []


def test_silence(opa: Opa, gateway: Running) -> None:
    """A decider that does not answer denies, in its time, and the record says why."""
    opa.answer = None
    assert code(gateway, 4711) == 2
    line = raw.decision(gateway, 4711)
    assert line["said"] == "cannot be asked: no answer in time"
    opa.answer = {"result": True}
    assert code(gateway, 4711) == 5


def test_datagrams(opa: Opa, gateway: Running) -> None:
    """It is asked about each destination of an association, once."""
    with Echo() as good, Echo() as bad, Association(gateway.port) as association:
        for _ in range(3):
            association.echo(good, b"x")
        assert [each["port"] for each in opa.asked] == [good.port]
        opa.answer = NO
        association.send(*bad.place, b"x")
        until(lambda: len(opa.asked) == 2)
        assert association.silent()
        association.echo(good, b"x")
        assert bad.came == []
    (line,) = [e for e in gateway.journal("flow") if e["port"] == bad.port]
    assert (line["verdict"], line["rule"], line["said"]) == (
        "deny",
        "decider",
        "not during the freeze",
    )


def test_bind(opa: Opa, gateway: Running) -> None:
    """A BIND is asked about when it begins, not when its peer comes."""
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", 7, 2))
        raw.exactly(client, 2)
        told, host, port = raw.reply5(client)
        assert (told, len(opa.asked), opa.asked[0]["command"]) == (0, 1, "bind")
        opa.answer = NO
        with socket.create_connection((host, port), 20):
            assert raw.reply5(client)[0] == 0
    assert len(opa.asked) == 1
    assert code(gateway, 7, 2) == 2


def test_theClientLeaves(opa: Opa, gateway: Running) -> None:
    """Nobody waits for an answer then, and the next client is served."""
    opa.answer = None
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING + raw.request5("127.0.0.1", 4712))
        until(lambda: opa.asked)
    opa.answer = {"result": True}
    assert code(gateway, 4712) == 5


def test_behindALook(opa: Any, tmp_path: Path) -> None:
    """Where what a session carries leads to another rule, its decider is asked then."""
    (tmp_path / "cert.pem").write_bytes((opa.directory / "cert.pem").read_bytes())
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("canary-77d2\n")
    text = CONFIG.replace("{port}", str(opa.port)).replace(RULES, "") + (
        '[[rule]]\nid = "tls"\nallow = ["connect"]\napplication = ["tls"]\n'
        '[[rule]]\nid = "rest"\nallow = ["connect"]\ndecider = "opa"\n'
    )
    with (
        Destination(echo) as server,
        contextmanager(running)(tmp_path, text) as gateway,
    ):
        for answer, passes in ((NO, False), ({"result": True}, True)):
            opa.answer = answer
            opa.asked.clear()
            with closing(raw.dial(gateway.port)) as client:
                raw.through(client, "127.0.0.1", server.port)
                assert opa.asked == []
                client.sendall(b"hello, this is no TLS\r\n")
                if passes:
                    assert raw.exactly(client, 5) == b"hello"
                else:
                    until(lambda c=client: isClosed(c))
            (asked,) = opa.asked
            assert (asked["rule"], asked["application"]) == ("rest", "other")
        no, yes = until(lambda: gateway.journal("inspected"))
    assert (no["verdict"], no["rule"], no["said"]) == (
        "deny",
        "decider",
        "not during the freeze",
    )
    assert (yes["verdict"], yes["rule"], yes["decider"]) == ("allow", "rest", "opa")


def test_theManual(tmp_path: Path) -> None:
    """The configuration of the chapter, as it stands, against a Unix socket."""
    found = re.findall(
        r"\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", chapters()["decider"]
    )
    whole, other = (re.sub(r"(?m)^    ", "", each) for each in found)
    path = tmp_path / "opa.sock"
    text = whole.replace("127.0.0.1:1080", "127.0.0.1:0")
    text = re.sub(r"(?s)\[\[decider\]\].*?(?=\[never\])", other, text)
    text = text.replace("/run/opa/opa.sock", str(path))
    served = Opa()
    with served.serving(path=str(path)):
        for gateway in running(tmp_path / "gw", text):
            served.answer = NO
            assert code(gateway, 8001) == 2
            served.answer = {"result": True}
            assert code(gateway, 8001) == 5
            checked = socksgw("check", "gw.toml", cwd=gateway.directory)
            assert "asked besides the rules:" in checked.stdout
            with suppress(FileNotFoundError):
                path.unlink()
