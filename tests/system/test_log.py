"""
What of the log is written, and how often.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent

from socksgw.system.log import Log, observing


class _Written:
    """A log, the texts that it has written, and its clock."""

    def __init__(self, level: Any = LogLevel.info) -> None:
        self.texts: list[str] = []
        self.clock = Clock()
        self.log = Log(
            lambda event: self.texts.append(formatEvent(event)),
            level,
            self.clock.seconds,
        )
        self.ours = Logger("socksgw.part", observer=self.log)
        self.other = Logger("twisted.web", observer=self.log)


def test_repeated() -> None:
    """The same text is written three times a minute; the rest is counted."""
    written = _Written()
    for _ in range(10):
        written.ours.error("no {what}", what="disk")
    assert written.texts == ["no disk"] * 3
    written.clock.advance(61)
    written.log.sweep()
    assert written.texts[3:] == ["7 more within a minute: no disk"]
    written.ours.error("no {what}", what="disk")
    assert written.texts[4:] == ["no disk"]
    written.clock.advance(61)
    written.log.sweep()
    assert len(written.texts) == 5


def test_logsWhileItWrites() -> None:
    """Whatever is logged while an event is written, such as by a collector, comes in."""
    texts: list[str] = []

    def write(event: Any) -> None:
        if not texts:
            texts.append("")
            inner.warn("an error that nobody has handled")
        texts.append(formatEvent(event))

    log = Log(write)
    inner = Logger("socksgw.inner", observer=log)
    Logger("socksgw.part", observer=log).warn("first")
    assert texts[1:] == ["an error that nobody has handled", "first"]


def test_alike() -> None:
    """Texts of one place that differ are written a hundred times a minute."""
    written = _Written()
    for number in range(5000):
        written.ours.warn("client {number} failed", number=number)
    assert written.texts[-1] == "client 99 failed"
    written.ours.warn("another thing")
    assert written.texts[-1] == "another thing"
    written.clock.advance(61)
    written.ours.warn("client {number} failed", number=7)
    assert written.texts[-2:] == [
        "4900 more within a minute: client 4999 failed",
        "client 7 failed",
    ]


def test_fatal() -> None:
    """What ends the process is always written."""
    written = _Written()
    for _ in range(10):
        written.ours.critical("the end")
    assert len(written.texts) == 10


def test_bounded() -> None:
    """Many different events do not fill the memory; none is lost uncounted."""
    written = _Written()
    for number in range(3000):
        for _ in range(4):
            Logger(f"socksgw.part{number}", observer=written.log).error("failed")
    assert len(written.log._seen) <= 1000
    written.clock.advance(61)
    written.log.sweep()
    assert written.texts.count("failed") == 9000
    assert written.texts.count("1 more within a minute: failed") == 3000


def test_others() -> None:
    """Of Twisted's own, what is wrong is written, and not every connection."""
    written = _Written()
    written.other.info("a request")
    written.other.error("a failure")
    written.ours.info("reloaded")
    written.ours.debug("detail")
    assert written.texts == ["a failure", "reloaded"]


def test_levels() -> None:
    """What is less severe than the configured level is left out."""
    written = _Written(LogLevel.error)
    written.ours.warn("warning")
    written.ours.error("error")
    assert written.texts == ["error"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_logfile(tmp_path: Path, form: str) -> None:
    """What twistd would write into its file is written there, in either form."""
    file = tmp_path / "gw.log"
    before = signal.getsignal(signal.SIGUSR1)
    try:
        log = observing({"nodaemon": True, "logfile": str(file)}, form, "warn")
        ours = Logger("socksgw.part", observer=log)
        ours.info("left out")
        ours.error("failed:\n{why}", why="no disk")
        # The file is rotated at this signal, as with twistd's own observer.
        assert signal.getsignal(signal.SIGUSR1) not in (before, signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGUSR1, before)
        log._write._outFile.close()  # type: ignore[attr-defined]
    text = file.read_text()
    if form == "json":
        found = json.loads(text)
        assert (found["level"], found["message"]) == ("error", "failed:\nno disk")
    else:
        assert text.endswith("[socksgw.part#error] failed:\n\tno disk\n")
