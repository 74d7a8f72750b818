"""
The settings that the chapter C{clients} of the manual shows: each program with its own,
with a login and without.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.human import humanLine
from tests.interop.named import NAME
from tests.interop.shared import PASSWORD, USER
from tests.interop.speaking import (
    IGNORING,
    READING,
    READING_HTTP,
    SPEAKERS,
    Place,
    Speaker,
    setting,
)
from tests.live.browser import headless
from tests.live.registries import FileServer
from tests.live.running import Running, environment
from tests.live.servers import Destination, program


@pytest.fixture
def place(
    named: Running,
    site: FileServer,
    npm: Path,
    quiet: dict[str, str],
    destination: Callable[..., Destination],
) -> Place:
    """Where the program runs; it comes to the listener that wants a login."""
    greeter = destination(lambda connection: connection.sendall(b"220 site.test\r\n"))
    return Place(Path(quiet["HOME"]), named.ports[1], site.port, greeter.port, npm)


def ran(
    speaker: Speaker, place: Place, login: bool, quiet: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        speaker.command(place, setting(speaker, place, login)),
        cwd=place.home,
        env={
            **quiet,
            # Where a program called so is rustup's: of which it chooses.
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{Path.home()}/.rustup"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "NODE_PATH": str(place.npm / "node_modules"),
            "PYTHONPATH": environment()["PYTHONPATH"],
        },
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def connected(named: Running, before: int) -> dict[str, Any]:
    """The first decision about a CONNECT, of those after some."""
    lines = named.journal("decision")[before:]
    return next(line for line in lines if line["command"] == "connect")


@pytest.mark.parametrize("word", [w for w, s in SPEAKERS.items() if s.logsIn])
def test_login(named: Running, place: Place, quiet: dict[str, str], word: str) -> None:
    """The program logs in, and reaches the site, whose name the gateway looks up."""
    before = len(named.journal("decision"))
    done = ran(SPEAKERS[word], place, True, quiet)
    assert "latest" in done.stdout, (done.stdout, done.stderr)
    line = connected(named, before)
    assert (line["verdict"], line["listener"]) == ("allow", "login")
    assert (line["user"], line["method"]) == (USER, "userpass")
    assert line["name"] == NAME


@pytest.mark.parametrize("word", READING)
def test_readsTheEnvironment(
    named: Running, place: Place, quiet: dict[str, str], word: str
) -> None:
    """The program takes proxy and login from ALL_PROXY, and leaves names to it."""
    before = len(named.journal("decision"))
    done = ran(READING[word], place, True, quiet)
    assert done.returncode == 0, (done.stdout, done.stderr)
    line = connected(named, before)
    assert (line["user"], line["name"]) == (USER, NAME)


@pytest.mark.parametrize("word", READING_HTTP)
def test_readsTheVariablesOfHTTP(
    named: Running, place: Place, quiet: dict[str, str], word: str
) -> None:
    """The program comes as to an HTTP proxy, and logs in."""
    before = len(named.journal("decision"))
    done = ran(READING_HTTP[word], place, True, quiet)
    assert "latest" in done.stdout, (done.stdout, done.stderr)
    line = connected(named, before)
    assert (line["protocol"], line["user"], line["name"]) == ("http", USER, NAME)


@pytest.mark.parametrize("word", IGNORING)
def test_ignoresTheEnvironment(
    named: Running, place: Place, quiet: dict[str, str], word: str
) -> None:
    """The program goes past ALL_PROXY: it looks the name up, which is not known here."""
    before = len(named.journal())
    done = ran(IGNORING[word], place, True, quiet)
    assert done.returncode not in (0, 126, 127), (done.stdout, done.stderr)
    assert "not found" not in done.stderr
    assert len(named.journal()) == before


@pytest.mark.parametrize("word", [w for w, s in SPEAKERS.items() if not s.logsIn])
def test_withoutLogin(
    named: Running, place: Place, quiet: dict[str, str], word: str
) -> None:
    """A program that cannot log in reaches the site where that is not wanted."""
    before = len(named.journal("decision"))
    done = ran(SPEAKERS[word], place._replace(proxy=named.ports[0]), False, quiet)
    assert "latest" in done.stdout, (done.stdout, done.stderr)
    line = connected(named, before)
    assert (line["listener"], line["user"]) == ("open", "anonymous")
    assert line["name"] == NAME


#: What the journal says to help, by the methods that are offered.
REMEDIES: dict[Any, str] = {
    None: "set the client to SOCKS 5",
    (0,): "the client has no user and password in its settings",
    (0, 1): "programs on libcurl",
    (2,): "take user and password out of its settings",
}


def refused(named: Running, before: int) -> dict[str, Any]:
    """The first line about a refused client, of those after some."""
    (line, *_) = named.journal("refused")[before:]
    return line


def unhurried(named: Running) -> int:
    """
    Wait until a refusal has a line of its own: one source has few each second.

    @return: how many lines there are.
    """
    lines = named.journal("refused")
    if len(lines) > 3:
        since = datetime.now(UTC) - datetime.fromisoformat(lines[-4]["time"])
        time.sleep(max(0.0, 1.1 - since.total_seconds()))
    return len(lines)


@pytest.mark.parametrize("word", [w for w, s in SPEAKERS.items() if s.nobody])
def test_withoutUser(
    named: Running, site: FileServer, place: Place, quiet: dict[str, str], word: str
) -> None:
    """Where a login is wanted, the journal says what the program has to be given."""
    before, seen = unhurried(named), len(site.seen)
    done = ran(SPEAKERS[word], place, False, quiet)
    assert "latest" not in done.stdout
    assert len(site.seen) == seen
    line = refused(named, before)
    offers = SPEAKERS[word].offers
    assert line.get("offered") == (offers and list(offers))
    assert REMEDIES[offers] in line["why"]
    assert line["why"].endswith("socksgw help clients")
    # As the foreground and "audit follow" print it.
    assert REMEDIES[offers] in (humanLine(line, False) or "")


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("torsocks", "torsocks: SOCKS5Username and SOCKS5Password in torsocks.conf"),
        ("weechat-headless", "WeeChat: at the end of /proxy add"),
    ],
)
def test_whichSetting(
    named: Running, quiet: dict[str, str], tmp_path: Path, name: str, setting: str
) -> None:
    """
    Where nothing in the offer tells the program, each one's setting is named;
    test_clientconfig.py has them log in by it.
    """
    before, port = unhurried(named), named.ports[1]
    command = [program(name, name)]
    if name == "torsocks":
        (tmp_path / "torsocks.conf").write_text(
            f"TorAddress 127.0.0.1\nTorPort {port}\n"
        )
        quiet = {**quiet, "TORSOCKS_CONF_FILE": str(tmp_path / "torsocks.conf")}
        command += ["getent", "ahostsv4", NAME]
    else:
        lines = [
            f"/proxy add gw socks5 127.0.0.1 {port}",
            f"/server add s {NAME}/9 -notls -proxy=gw",
            "/connect s",
            "/wait 2s /quit",
        ]
        command += ["--stdout", "--temp-dir"]
        command += [word for line in lines for word in ("-r", line)]
    subprocess.run(command, env=quiet, capture_output=True, timeout=60, check=False)
    line = refused(named, before)
    assert line["offered"] == [0]
    assert setting in line["why"]


@pytest.mark.parametrize("word", [w for w, s in SPEAKERS.items() if s.insists])
def test_insists(
    named: Running, place: Place, quiet: dict[str, str], word: str
) -> None:
    """Programs that offer 02 alone with a user do not get in where none is wanted."""
    before = unhurried(named)
    done = ran(SPEAKERS[word], place._replace(proxy=named.ports[0]), True, quiet)
    assert "latest" not in done.stdout
    line = refused(named, before)
    assert line["offered"] == [2]
    assert REMEDIES[2,] in line["why"]


@pytest.mark.parametrize("how", ["without", "user", "variable"])
def test_chromium(
    named: Running, site: FileServer, quiet: dict[str, str], tmp_path: Path, how: str
) -> None:
    """
    Chromium cannot log in by SOCKS. With a user in the URL it does not come at all, and
    of ALL_PROXY it takes socks5h for HTTP.
    """
    before, seen = unhurried(named), len(site.seen)
    decided = len(named.journal("decision"))
    proxy, env = named.ports[1], dict(quiet)
    if how == "variable":
        env["ALL_PROXY"] = f"socks5h://127.0.0.1:{named.ports[0]}"
        options = []
    else:
        user = f"{USER}:{PASSWORD}@" if how == "user" else ""
        options = [f"--proxy-server=socks5://{user}127.0.0.1:{proxy}"]
    subprocess.run(
        [*headless(tmp_path), *options, "--dump-dom", f"http://{NAME}:{site.port}/npm/"],
        env=env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    if how == "without":
        line = refused(named, before)
        assert line["offered"] == [0]
        assert REMEDIES[0,] in line["why"]
    elif how == "user":
        assert len(named.journal("refused")) == before
    else:
        lines = named.journal("decision")[decided:]
        ours = [line for line in lines if line["port"] == site.port]
        assert {(line["protocol"], line["name"]) for line in ours} == {("http", NAME)}
    assert (len(site.seen) > seen) == (how == "variable")
