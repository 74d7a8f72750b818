"""
Sinks that follow the journal of a running gateway, in their own process.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.clients import four, verdict5
from tests.live.posted import PostedServer
from tests.live.running import OPEN, ROOT, Running, isGone, socksgw, withPlugins
from tests.tools.rewriting import rewritten
from tests.tools.waiting import until


def linesIn(octets: bytes) -> list[dict[str, Any]]:
    """The lines of a journal in what was printed."""
    return [json.loads(each) for each in octets.splitlines()]


def ask(gateway: Running, times: int = 1) -> None:
    """Sessions that are allowed, and find nobody."""
    for _ in range(times):
        verdict5(gateway.port, four("127.0.0.1"), 1)


def reload(gateway: Running, configuration: str) -> None:
    """Give it another configuration."""
    count = len(gateway.journal("reloaded"))
    (gateway.directory / "gw.toml").write_text(configuration)
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: len(gateway.journal("reloaded")) > count)


def childOf(gateway: Running) -> int:
    """The process of the sinks."""
    pid = gateway.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def standing(gateway: Running, *states: str) -> list[tuple[str, str]]:
    """What the journal says of sinks: their names and states."""
    found = [(line["sink"], line["state"]) for line in gateway.journal("sink")]
    return [each for each in found if not states or each[1] in states]


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts gateways in the test's directory, and ends those that go on."""
    started: list[Running] = []

    def starting(config: str, **options: Any) -> Running:
        started.append(Running(tmp_path, config, **options))
        return started[-1].ready()

    yield starting
    for each in started:
        each.kill()


def test_eachLineGoesToEachSink(tmp_path: Path, start: Start) -> None:
    """
    A file, a database and standard output have every line of the journal, up to the
    last; the log and what is for people is on standard error.
    """
    config = OPEN + (
        '[audit]\nsinks = ["stdout:native", "file:copy.jsonl", "sql:sqlite:///audit.db"]'
        '\nsigning_key = "credentials/audit"\n'
    )
    # As systemd hands it over (LoadCredential): the group's bits are an ACL's mask.
    credentials = tmp_path / "credentials"
    credentials.mkdir(0o700)
    made = socksgw("audit", "key", "credentials/audit", cwd=tmp_path)
    (credentials / "audit").chmod(0o440)
    (tmp_path / "audit.pub").write_text(made.stdout)
    with (tmp_path / "out").open("wb") as out:
        place = {"CREDENTIALS_DIRECTORY": str(credentials)}
        gateway = start(config, stdout=out, extra=place)
        ask(gateway, 3)
        gateway.healthy()
    written = gateway.journal()
    assert written[-1]["event"] == "checkpoint"
    assert linesIn((tmp_path / "out").read_bytes()) == written
    assert linesIn((tmp_path / "var" / "copy.jsonl").read_bytes()) == written
    database = sqlite3.connect(tmp_path / "var" / "audit.db")
    rows = list(database.execute("select n, hash from events order by n"))
    assert rows == [(each["n"], each["hash"]) for each in written]
    database.close()

    def verified(*more: str) -> tuple[int, str]:
        done = socksgw(
            "audit", "verify", "--config", "gw.toml", "--key", "audit.pub",
            "--against", "file:copy.jsonl", *more, cwd=tmp_path,
        )  # fmt: skip
        return done.returncode, done.stdout

    status, said = verified("--against", "sql:sqlite:///audit.db")
    assert status == 0, said
    assert f"has {len(written)} of the {len(written)} lines" in said
    # Who holds the disk rewrites the journal and its end, and takes signatures along.
    rewritten(tmp_path / "var" / "audit", b'"port":1,', b'"port":2,')
    status, said = verified()
    assert status == 1
    assert "signs another line" in said
    assert 'is not the one that the sink "file:copy.jsonl" has' in said
    assert verified("--against", "stdout:native")[0] == 2
    assert verified("--against", "file:none")[0] == 2
    assert verified("--against", "fiel:none")[0] == 2


def test_sinksComeAndGoByAReload(tmp_path: Path, start: Start) -> None:
    """Each has its own position; one that comes back goes on where it was."""
    gateway = start(OPEN)
    assert not Path(f"/proc/{gateway.process.pid}/task").joinpath("children").exists()

    def sinks(*names: str) -> None:
        reload(gateway, OPEN + f"[audit]\nsinks = {json.dumps(names)}\n")

    def has(name: str) -> int:
        file = tmp_path / "var" / name
        return len(linesIn(file.read_bytes())) if file.exists() else 0

    sinks("file:one")
    until(lambda: has("one") == len(gateway.journal()))
    sinks("file:two")
    until(lambda: has("two") == len(gateway.journal()))
    until(lambda: has("one") < len(gateway.journal()))
    sinks("file:two", "file:one")
    until(lambda: has("one") == has("two") == len(gateway.journal()))
    sinks()
    gateway.healthy()
    assert has("two") < len(gateway.journal())
    assert [line["n"] for line in linesIn((tmp_path / "var/one").read_bytes())] == [
        *range(1, has("one") + 1)
    ]


def test_aReaderThatStalls(tmp_path: Path, start: Start) -> None:
    """
    A pipe that is full, and one that nobody reads, delay no session and no end; what
    their readers lack they get later.
    """
    (tmp_path / "var").mkdir(mode=0o700)
    for name in ("full", "unread"):
        os.mkfifo(tmp_path / "var" / name)
    reader = os.open(tmp_path / "var" / "full", os.O_RDONLY | os.O_NONBLOCK)
    config = OPEN + '[audit]\nsinks = ["pipe:full", "pipe:unread", "file:copy"]\n'
    gateway = start(config)
    until(lambda: ("pipe:unread", "failing") in standing(gateway))
    began = time.monotonic()
    ask(gateway, 200)
    assert time.monotonic() - began < 30
    copy = tmp_path / "var" / "copy"
    until(lambda: len(linesIn(copy.read_bytes())) == len(gateway.journal()))
    unread = os.open(tmp_path / "var" / "unread", os.O_RDONLY | os.O_NONBLOCK)
    got = {reader: b"", unread: b""}

    def all_() -> bool:
        for fd in got:
            try:
                got[fd] += os.read(fd, 1 << 16)
            except BlockingIOError:
                pass
        whole = len(gateway.journal())
        return all(each.count(b"\n") == whole for each in got.values())

    until(all_, 60)
    # That they follow is a line of the journal, too.
    for octets in got.values():
        numbers = [line["n"] for line in linesIn(octets)]
        assert numbers == list(range(1, len(numbers) + 1))
    until(lambda: ("pipe:unread", "following") in standing(gateway))
    # Stalled again, it holds up the end for some seconds at most.
    ask(gateway, 200)
    began = time.monotonic()
    gateway.healthy()
    assert time.monotonic() - began < 25
    for fd in got:
        os.close(fd)


def test_aFileThatIsDroppedUnderASink(tmp_path: Path, start: Start) -> None:
    """What the sink will never get is counted, and journalled; it goes on behind it."""
    small = OPEN + '[audit]\nmax_size = "1MB"\n'
    gateway = start(small + 'sinks = ["file:copy"]\n')
    copy = tmp_path / "var" / "copy"
    until(lambda: copy.exists() and copy.read_bytes())
    reload(gateway, small)
    journal = tmp_path / "var" / "audit"
    until(lambda: ask(gateway, 20) or len(list(journal.glob("*.jsonl"))) >= 3)
    _, second, third, *_ = sorted(journal.glob("*.jsonl"))
    dropped = {line["n"] for line in linesIn(second.read_bytes())}
    second.unlink()
    reload(gateway, small + 'sinks = ["file:copy"]\n')
    until(lambda: standing(gateway, "missed"))
    (missed,) = [line for line in gateway.journal("sink") if "missed" in line]
    assert missed["missed"] == len(dropped)
    until(lambda: linesIn(copy.read_bytes()) == gateway.journal())
    assert not dropped & {line["n"] for line in gateway.journal()}
    assert third.exists()


def test_secretsAreNowhere(tmp_path: Path, start: Start) -> None:
    """Not in the log, the journal, the state, what ps shows, nor what check says."""
    canary = "canary-0f3b"
    url = tmp_path / "url"
    url.touch(0o600)
    url.write_text(f"postgresql://gw:{canary}@127.0.0.1:1/audit\n")
    config = OPEN + '[[audit.sink]]\nkind = "sql"\nname = "pg"\nurl_file = "url"\n'
    gateway = start(config)
    until(lambda: ("pg", "failing") in standing(gateway))
    child = Path(f"/proc/{childOf(gateway)}")
    for name in ("cmdline", "environ"):
        assert canary.encode() not in (child / name).read_bytes()
    gateway.healthy()
    assert canary not in gateway.log
    for file in (tmp_path / "var").rglob("*"):
        assert not file.is_file() or canary.encode() not in file.read_bytes()
    url.chmod(0o644)
    checked = socksgw("check", "gw.toml", cwd=tmp_path)
    assert checked.returncode == 2
    assert 'url_file ("pg"): ' in checked.stdout
    assert "chmod o-rwx" in checked.stdout
    url.chmod(0o600)
    (tmp_path / "gw.toml").write_text(config.replace("sql", "file"))
    assert canary not in socksgw("check", "gw.toml", cwd=tmp_path).stdout


@pytest.mark.parametrize("whose", ["child", "gateway"])
def test_theChildEndsWithTheGateway(tmp_path: Path, start: Start, whose: str) -> None:
    """Also when that is killed; and is started again when it is killed itself."""
    gateway = start(OPEN + '[audit]\nsinks = ["file:copy"]\n')
    copy = tmp_path / "var" / "copy"
    until(lambda: copy.exists() and copy.read_bytes())
    child = childOf(gateway)
    if whose == "child":
        os.kill(child, signal.SIGKILL)
        until(lambda: standing(gateway) == [("file:copy", "failing")])
        until(lambda: len(linesIn(copy.read_bytes())) == len(gateway.journal()))
        until(lambda: standing(gateway, "following"), 20)
        gateway.healthy()
        assert "ended: by signal 9" in gateway.log
        assert linesIn(copy.read_bytes()) == gateway.journal()
    else:
        # ^C and a supervisor's SIGTERM reach all processes: the last lines still come.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(child, number)
        ask(gateway)
        until(lambda: len(linesIn(copy.read_bytes())) == len(gateway.journal()))
        assert childOf(gateway) == child
        gateway.kill()
        # It first has what it wrote on a disk that others may keep busy.
        until(lambda: isGone(child), 60)


def blocks(language: str) -> list[str]:
    """The code of the chapter in a language."""
    text = (ROOT / "socksgw" / "manual" / "sinks.rst").read_text()
    pattern = rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)"
    return [re.sub(r"(?m)^    ", "", each) for each in re.findall(pattern, text)]


def test_theManual(tmp_path: Path, start: Start) -> None:
    """Its configuration works, its sink follows, and passes its tests."""
    plugin, tests = blocks("python")
    (configuration,) = blocks("toml")
    found = withPlugins(tmp_path, "socksgw.plugins", audit_daily=plugin)
    (tmp_path / "test_daily.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env=found,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    socksgw("audit", "key", "audit.key", cwd=tmp_path)
    (tmp_path / "var").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "var" / "collector")
    reader = os.open(tmp_path / "var" / "collector", os.O_RDONLY | os.O_NONBLOCK)
    with (tmp_path / "out").open("wb") as out:
        gateway = start(
            OPEN + configuration.replace('"stdout', '"daily:days", "stdout'),
            stdout=out,
            extra={"PYTHONPATH": found["PYTHONPATH"]},
        )
        ask(gateway)
        until(lambda: gateway.journal("checkpoint"))
        gateway.healthy()
    written = gateway.journal()
    assert linesIn((tmp_path / "out").read_bytes()) == written
    (day,) = (tmp_path / "var" / "days").iterdir()
    assert linesIn(day.read_bytes()) == written
    assert linesIn(os.read(reader, 1 << 16))[0] == written[0]
    os.close(reader)
    assert "event" in linesIn((tmp_path / "var" / "siem.jsonl").read_bytes())[-1]


def test_aLineThatACollectorRefuses(tmp_path: Path, start: Start) -> None:
    """It holds up none: it is put aside, and the log and the journal tell it."""
    server = PostedServer()

    def judge(body: bytes) -> tuple[int, dict[str, str], bytes]:
        return (400 if b'"port":7,' in body else 200), {}, b"no such mapping"

    server.judge = judge
    try:
        gateway = start(OPEN + f'[audit]\nsinks = ["http:{server.url}"]\n')
        ask(gateway)
        verdict5(gateway.port, four("127.0.0.1"), 7)
        ask(gateway)
        until(lambda: standing(gateway, "aside"))
        gateway.healthy()
    finally:
        server.close()
    (told,) = [line for line in gateway.journal("sink") if line["state"] == "aside"]
    assert told["aside"] == 1
    (file,) = (tmp_path / "var" / "sinks").glob("*.refused")
    kept = json.loads(file.read_text())
    assert kept["why"] == "it answers 400: no such mapping"
    assert kept["line"]["port"] == 7
    assert "1 lines were refused, and are put aside in sinks/http" in gateway.log
    taken = [line["n"] for body in server.bodies for line in linesIn(body)]
    wanted = [line["n"] for line in gateway.journal()]
    assert sorted({*taken, kept["line"]["n"]}) == wanted
