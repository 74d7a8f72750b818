"""
What hostile sessions carry, wherever it is shown: terminals, spreadsheets, pages, sinks,
metrics.
"""

from __future__ import annotations

import csv
import io
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import socksgw
from socksgw.audit.formats import FORMATS, formatOf
from socksgw.console.command import main
from tests.live import raw
from tests.live.running import OPEN
from tests.live.servers import Destination, echo
from tests.live.serving import Serving, served
from tests.tools.hellos import hello
from tests.tools.waiting import until

#: Commands of a terminal, markup, formulas, a line of its own, and something large.
EVIL = (
    b"\x1b]0;pwned\x07\x1b[2J",
    b"<script>alert(1)</script>",
    b"<img src=x onerror=alert(1)>",
    b"=cmd|' /C calc'!A0",
    b"+1+1",
    b"@SUM(1)",
    b'","verdict":"allow","x":"',
    b"\xe2\x80\xae\xc2\x9b31m",
    b"|act=allow|\\",
    b"x" * 200,
)


def openings() -> Iterator[bytes]:
    """First octets of clients, with each of them in each place."""
    for evil in EVIL:
        yield b"SSH-2.0-" + evil + b"\r\n"
        yield b"GET / HTTP/1.1\r\nHost: " + evil + b"\r\n\r\n"
        yield b"GET /" + evil + b" HTTP/1.1\r\nHost: a.example\r\n\r\n"
        yield evil + b" / HTTP/1.1\r\nHost: a.example\r\n\r\n"
        yield b"\x04\x01\x00\x50\x00\x00\x00\x01" + evil + b"\0" + evil + b"\0"
        part = evil[:63]
        question = bytes((len(part),)) + part + b"\0\0\x01\0\x01"
        message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + question
        yield len(message).to_bytes(2, "big") + message
        name = b"a" * len(evil)
        with suppress(ssl.SSLError, ValueError):
            told = hello(f"{name.decode()}.example") if len(evil) < 60 else hello()
            yield told.replace(name + b".example", evil + b".example")


#: How many sessions there are.
COUNT = len(list(openings())) + len(EVIL)


def greeting(evil: bytes) -> Any:
    """A server that speaks first."""

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(b"220 a ESMTP " + evil + b"\r\n")
            connection.recv(1)

    return serve


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway that has looked at all of them."""
    directory = tmp_path_factory.mktemp("findings")
    text = OPEN + '[inspect]\ntimeout = "100ms"\n'
    for serving in served(directory, text):
        gateway = serving.gateway
        with Destination(echo) as server:
            for opening in openings():
                with raw.through(
                    raw.dial(gateway.port), "127.0.0.1", server.port
                ) as client:
                    client.sendall(opening)
                    raw.exactly(client, len(opening))
        for evil in EVIL:
            with (
                Destination(greeting(evil)) as server,
                raw.through(raw.dial(gateway.port), "127.0.0.1", server.port) as client,
            ):
                raw.exactly(client, len(evil) + 14)
        until(lambda: len(ends(directory)) == COUNT)
        yield serving


def lines(directory: Path) -> list[dict[str, Any]]:
    """All lines of the journal."""
    (file,) = (directory / "var" / "audit").glob("*.jsonl")
    octets = file.read_bytes()
    assert all(each == 10 or 32 <= each < 127 for each in octets)
    return [json.loads(line) for line in octets.splitlines()]


def ends(directory: Path) -> list[dict[str, Any]]:
    """Those of the ends."""
    return [each for each in lines(directory) if each["event"] == "end"]


def said(capsys: pytest.CaptureFixture[str], told: Serving, *words: str) -> str:
    """What a command prints."""
    status = main([*words, "--config", str(told.gateway.directory / "gw.toml")])
    found = capsys.readouterr()
    assert status == 0
    assert isTame(found.err)
    return found.out


def isTame(text: str) -> bool:
    """Whether a terminal does nothing but print it."""
    return all(each == "\n" or each.isprintable() for each in text)


def test_theyAreThere(told: Serving) -> None:
    """The rest of this module is about something."""
    found = ends(told.gateway.directory)
    kinds = {each["application"] for each in found}
    assert kinds >= {"ssh", "http", "smtp", "dns", "socks", "tls", "unknown", "other"}
    details = " ".join(each.get("detail", "") for each in found)
    for part in ("<script>", "=cmd|", "\\x1b]0;pwned"):
        assert part in details
    assert max(len(json.dumps(each)) for each in found) < 1500


def test_terminal(told: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """Also what runs prints as it happens."""
    assert isTame(said(capsys, told, "audit", "search"))
    assert isTame(said(capsys, told, "report", "--table", "all", "--top", "0"))
    assert isTame(told.gateway.log)


def test_spreadsheets(told: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    """No cell is a formula."""
    report = said(capsys, told, "report", "--table", "all", "--top", "0", "--csv")
    export = said(capsys, told, "audit", "export", "--format", "csv")
    for text in (report, export):
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
        cells = {cell for row in rows for cell in row}
        assert not [each for each in cells if each.startswith(("=", "+", "@", "-"))]
        assert isTame(text.replace("\r\n", "\n"))


def test_pages(
    told: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name becomes markup."""
    said(
        capsys, told, "report", "--table", "all", "--top", "0", "--html",
        str(tmp_path / "page"),
    )  # fmt: skip
    page = (tmp_path / "page").read_text()
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize("form", [each for each in FORMATS if each != "native"])
def test_sinks(told: Serving, form: str) -> None:
    """Each line stays one, and says nothing of its own."""
    made = formatOf(form, "edge")
    assert made is not None
    for line in lines(told.gateway.directory):
        octets = made(line)
        if octets is None:
            continue
        text = octets.decode()
        assert isTame(text)
        assert "\n" not in text
        if form == "cef":
            assert len(text.replace("\\|", "").split("|", 7)) == 8
        else:
            json.loads(text)


def test_metrics(told: Serving) -> None:
    """Findings make no series but those of the inspectors' own names."""
    body = told.own.ask("/metrics").octets.decode()
    labels = {
        (name, value)
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        for name, value in sample.labels.items()
    }
    assert all(isTame(value) for _, value in labels)
    assert not [value for _, value in labels if "script" in value or "cmd" in value]


def test_dashboard() -> None:
    """Its script has no way to read markup: whatever it shows is text."""
    root = Path(socksgw.__path__[0]) / "admin"
    scripts = [each.read_text() for each in root.rglob("*.js")]
    assert scripts
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
        assert not [each for each in scripts if word in each]
