"""
Bodies, uploads and other protocols through requests that are passed on: curl and
aiohttp on both sides.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.running import LOOPBACK, Running, resident, running
from tests.live.servers import package, program
from tests.live.site import site
from tests.tools.certificates import Authority, server

CONFIGURATION = (
    """
[[listen]]
name = "plain"
address = ["127.0.0.1:0"]
protocols = ["http"]
[[listen]]
name = "tls"
address = ["127.0.0.1:0"]
protocols = ["http"]
[listen.tls]
certificate = "gw.pem"
key = "gw.key"
[[listen]]
name = "slow"
address = ["127.0.0.1:0"]
protocols = ["http"]
[[auth.choose]]
from = ["127.0.0.0/8"]
methods = ["none"]
[[rule]]
id = "no"
deny = ["connect"]
ports = [81]
[[rule]]
id = "slow"
allow = ["connect"]
listener = ["slow"]
limits = { per = "source", rate = "1MB/s" }
[[rule]]
id = "all"
allow = ["connect"]
"""
    + LOOPBACK
)
MIB = 1 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("forwarding")
    server(Authority()).write(directory, "gw")
    yield from running(directory, CONFIGURATION)


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    package("aiohttp")
    with site() as port:
        yield port


@pytest.fixture(params=["plain", "tls"])
def proxy(request: pytest.FixtureRequest, gateway: Running) -> list[str]:
    """What tells curl of the gateway."""
    if request.param == "tls":
        return ["--proxy-insecure", "-x", f"https://127.0.0.1:{gateway.ports[1]}"]
    return ["-x", f"http://127.0.0.1:{gateway.ports[0]}"]


def curl(*arguments: str, stdin: Path | None = None) -> str:
    command = [program("curl", "curl"), "-sS", "--noproxy", "", "--max-time", "120"]
    with (stdin or Path("/dev/null")).open("rb") as given:
        done = subprocess.run(
            [*command, *arguments],
            stdin=given,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["-T", "FILE"],
        ["-T", "FILE", "-H", "Expect:"],
        ["-T", "FILE", "-H", "Expect: 100-continue"],
        ["-T", "-", "-H", "Expect: 100-continue"],
        ["-T", "-", "-H", "Expect:"],
        ["-0", "-T", "FILE"],
        ["--data-binary", "@FILE"],
    ],
)
def test_uploads(
    proxy: list[str], origin: int, tmp_path: Path, options: list[str]
) -> None:
    """Whole, in each framing, with and without a word of the server's before."""
    file = tmp_path / "file"
    octets = bytes(range(251)) * 50_000
    file.write_bytes(octets)
    arguments = [word.replace("FILE", str(file)) for word in options]
    told = curl(*proxy, *arguments, f"http://127.0.0.1:{origin}/digest", stdin=file)
    expected = f"{len(octets)} {hashlib.sha256(octets).hexdigest()}"
    assert told.startswith(expected)
    if "Expect: 100-continue" in options:
        assert told.endswith("100-continue\n")


def test_anUploadThatIsNotWanted(proxy: list[str], origin: int, tmp_path: Path) -> None:
    """The client gets the answer."""
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(50 * MIB)
    url = f"http://127.0.0.1:{origin}/refused"
    told = curl(*proxy, "-w", "%{http_code}", "-T", str(file), "-H", "Expect:", url)
    assert told == "too much\n413"


def test_anUploadThatIsDenied(
    gateway: Running, proxy: list[str], tmp_path: Path
) -> None:
    """The client reads why, although it sends much that nobody wants."""
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(50 * MIB)
    options = ["-w", "%{http_code}", "-T", str(file), "-H", "Expect:"]
    told = curl(*proxy, *options, "http://127.0.0.1:81/")
    assert told.endswith("403")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("version", ["-0", "--http1.1"])
def test_downloads(
    proxy: list[str], origin: int, tmp_path: Path, framing: str, version: str
) -> None:
    """Whole, in each framing and version."""
    count = 20 * MIB + 7
    file = tmp_path / "file"
    url = f"http://127.0.0.1:{origin}/much/{framing}/{count}"
    curl(*proxy, version, "-o", str(file), url)
    expected = (bytes(range(256)) * (count // 256 + 1))[:count]
    assert file.read_bytes() == expected


def test_theRate(gateway: Running, origin: int, tmp_path: Path) -> None:
    """It bounds each way, as with a tunnel."""
    proxy = ["-x", f"http://127.0.0.1:{gateway.ports[2]}"]
    file = tmp_path / "file"
    file.write_bytes(bytes(2_000_000))
    url = f"http://127.0.0.1:{origin}"
    begun = time.monotonic()
    told = curl(*proxy, "-T", str(file), f"{url}/digest")
    assert told.startswith("2000000 ")
    assert time.monotonic() - begun > 1.5
    begun = time.monotonic()
    got = curl(*proxy, "-o", str(file), f"{url}/much/chunked/3000000")
    assert got == ""
    assert file.stat().st_size == 3_000_000
    assert time.monotonic() - begun > 2.5


def test_oneConnection(gateway: Running, origin: int) -> None:
    """Several hosts, one after the other, on one connection of the client's."""
    with site("127.0.0.2") as other:
        urls = [
            f"http://{host}:{port}/much/chunked/100000"
            for _ in range(3)
            for host, port in (("127.0.0.1", origin), ("127.0.0.2", other))
        ]
        told = curl(
            *("-x", f"http://127.0.0.1:{gateway.ports[0]}"),
            *("-w", "%{num_connects} %{local_port}\n"),
            *(word for url in urls for word in ("-o", "/dev/null", url)),
        )
    lines = told.split("\n")[:-1]
    assert [line.split(" ")[0] for line in lines] == ["1", *["0"] * 5]
    client = f"127.0.0.1:{lines[0].split(' ')[1]}"
    found = [d for d in gateway.journal("decision") if d["client"] == client]
    assert [d["port"] for d in found] == [origin, other] * 3
    assert len({d["session"] for d in found}) == 6


WEBSOCKET = """
import asyncio, sys
import aiohttp

async def main(proxy, url):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(
            url, proxy=proxy, max_msg_size=0, ssl=False
        ) as socket:
            for text in ("hello", "x" * 100_000):
                await socket.send_str(text)
                assert await socket.receive_str() == text
            octets = bytes(range(256)) * 20_000
            for _ in range(5):
                await socket.send_bytes(octets)
                assert await socket.receive_bytes() == octets
            await socket.close()
            print("closed", socket.close_code)

asyncio.run(main(*sys.argv[1:]))
"""


def test_webSocket(gateway: Running, origin: int) -> None:
    """aiohttp asks for it by an absolute URL, and both speak it from then on."""
    package("aiohttp")
    done = subprocess.run(
        [
            *(sys.executable, "-c", WEBSOCKET),
            f"http://127.0.0.1:{gateway.ports[0]}",
            f"ws://127.0.0.1:{origin}/socket",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "closed 1000\n", done.stderr
    end = gateway.journal("end")[-1]
    assert end["reason"] == "closed"
    assert end["sent"] > 25_000_000
    assert end["received"] > 25_000_000


GIB = 1 << 30


@pytest.mark.parametrize(
    ("framing", "up", "down"),
    [("length", GIB, GIB >> 3), ("chunked", GIB >> 3, GIB)],
    ids=["length", "chunked"],
)
def test_aGibibyte(
    gateway: Running, origin: int, tmp_path: Path, framing: str, up: int, down: int
) -> None:
    """Either way, and the gateway needs no more memory than for a little."""
    proxy = ["-x", f"http://127.0.0.1:{gateway.ports[0]}"]
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(up)
    upload = ["-T", str(file) if framing == "length" else "-"]
    base = f"http://127.0.0.1:{origin}"
    counting = ["-o", "/dev/null", "-w", "%{size_download}"]
    curl(*proxy, "-o", "/dev/null", f"{base}/much/{framing}/{MIB}")
    before = resident(gateway)
    told = curl(*proxy, *upload, f"{base}/digest", stdin=file)
    assert told.startswith(f"{up} ")
    assert curl(*proxy, *counting, f"{base}/much/{framing}/{down}") == str(down)
    assert resident(gateway) - before < 8 * MIB
