"""
The contract of sinks finds what is wrong with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from zope.interface import implementer

from socksgw.interfaces import Entry, IAuditSink, SinkFailed, SinkSettings
from socksgw.testing import AuditSinkContract

CANARY = "canary-71aa"


class Sink:
    """Writes the numbers of lines into a file, unless a C{fault} keeps it from that."""

    batch = 7

    def __init__(self, path: Path, fault: str) -> None:
        self.path = path
        self.fault = fault
        if fault == "it writes when it is built":
            path.touch()

    def __repr__(self) -> str:
        return CANARY if self.fault == "its repr shows the secret" else "a sink"

    def open(self) -> int | None:
        if self.fault == "it does not know what it has":
            return 0
        text = self.path.read_text() if self.path.exists() else ""
        return int(text.split()[-1]) if text else 0

    def deliver(self, entries: Sequence[Entry]) -> None:
        if (self.path.parent / "full").exists():
            if self.fault == "it does not say that it fails":
                return
            if self.fault == "it raises something else":
                raise OSError("full")
            secret = CANARY if self.fault == "its error shows the secret" else ""
            raise SinkFailed(f"full {secret}")
        if self.fault == "it leaves out what it does not know":
            entries = [e for e in entries if "of-a-later-version" not in str(e.octets)]
        with self.path.open("a") as opened:
            opened.writelines(f"{each.number}\n" for each in entries)
            if self.fault == "it writes twice":
                opened.write(f"{entries[0].number}\n")

    def idle(self) -> None:
        pass

    def close(self) -> None:
        pass


@implementer(IAuditSink)
class Plugin:
    """Builds it."""

    kind = "numbers"
    help = "Numbers in a file."
    target = "PATH"
    format = "native"

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def build(self, settings: SinkSettings) -> Sink:
        if self.fault != "it takes any key":
            settings.options.only()
        return Sink(settings.directory / settings.target, self.fault)


class TestNumbers(AuditSinkContract):
    """Without a fault."""

    plugin: Any = Plugin()
    once = True
    secret = CANARY

    def target(self, directory: Path) -> str:
        return "numbers"

    def received(self, directory: Path) -> Sequence[int]:
        return list(map(int, (directory / "numbers").read_text().split()))

    def broken(self, directory: Path) -> AbstractContextManager[None]:
        @contextmanager
        def full() -> Iterator[None]:
            (directory / "full").touch()
            yield
            (directory / "full").unlink()

        return full()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("it writes when it is built", "buildingOpensNothing"),
        ("its repr shows the secret", "buildingOpensNothing"),
        ("it takes any key", "aKeyThatItDoesNotKnowIsAnError"),
        ("it leaves out what it does not know", "linesComeInTheirOrder"),
        ("it writes twice", "linesComeInTheirOrder"),
        ("it does not know what it has", "itGoesOn"),
        ("it does not say that it fails", "aFailureIsTold"),
        ("it raises something else", "aFailureIsTold"),
        ("its error shows the secret", "aFailureIsTold"),
    ],
)
def test_faultsAreFound(fault: str, test: str, tmp_path: Path) -> None:
    """Each by the test that is for it."""
    contract = TestNumbers()
    contract.plugin = Plugin(fault)
    with pytest.raises((AssertionError, OSError)):
        getattr(contract, f"test_{test}")(tmp_path)
