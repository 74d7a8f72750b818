"""
What the journal has of what was tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, final

from socksgw.audit.follower import Follower
from socksgw.audit.shapes import shaped
from socksgw.interfaces import Answer
from socksgw.report.words import counted

__all__ = ["Expected", "Witness"]

_NAME: Final = "the journal"
#: Seconds that lines may take to come, which are written before the answer.
_SECONDS: Final = 5.0
#: Seconds between two looks.
_PAUSE: Final = 0.1
#: How many of the lines that are missing are named.
_NAMED: Final = 3


class Expected(NamedTuple):
    """
    A decision that the journal has to have.

    @ivar command: what was asked for.
    @ivar asked: the destination, as the journal writes it.
    @ivar client: address and port of ours, as the journal writes them.
    @ivar verdict: empty where the answer does not tell.
    """

    command: str
    asked: str
    port: int
    client: str = ""
    verdict: str = "allow"

    def isIn(self, line: dict[str, Any]) -> bool:
        """Return whether a line is of this."""
        return (
            line.get("command") == self.command
            and (line.get("asked"), line.get("port")) == (self.asked, self.port)
            and line.get("client") == self.client
        )

    def __str__(self) -> str:
        what = f"{self.verdict or 'decision'} {self.command} {self.asked}:{self.port}"
        return f"{what} of {self.client}"


@final
class Witness:
    """Looks in the journal for what was tried, once all of it is over."""

    def __init__(self, directory: Path | None) -> None:
        """
        Begin with the next line that is written.

        @param directory: the journal's; L{None} where it is not known.
        """
        self._directory = directory
        self._expected: list[Expected] = []
        self._follower: Follower | None = None
        self._why = ""
        if directory is not None:
            try:
                self._follower = Follower(directory, False)
                # A directory that nobody may enter looks as if it were not there.
                if not directory.is_dir():
                    self._why = f"{directory} is not there, or cannot be entered"
            except OSError as e:
                self._why = f"{e.filename}: {e.strerror}"

    @property
    def looks(self) -> bool:
        """Whether there is anything to tell."""
        return self._directory is not None

    def expects(self, expected: Expected) -> None:
        """Take note that the journal has to have a decision."""
        self._expected.append(expected)

    def answer(self, seconds: float) -> Answer:
        """
        Look, and return what is to be told. It blocks.

        @param seconds: that it may take.
        """
        if self._why or self._follower is None:
            return Answer(
                _NAME,
                f"not looked at: {self._why}",
                "warning",
                "run this as the gateway's user, or as root",
            )
        missing = list(self._expected)
        wrong: list[str] = []
        until = time.monotonic() + min(seconds, _SECONDS)
        while True:
            for line in _lines(self._follower.poll):
                if line["event"] == "decision":
                    self._found(line, missing, wrong)
            # Denials that come again and again have one line for many, later.
            summed = [each for each in missing if each.verdict != "allow"]
            if len(summed) == len(missing) or time.monotonic() > until:
                break
            time.sleep(_PAUSE)
        if len(summed) < len(self._expected):
            missing = [each for each in missing if each.verdict == "allow"]
        if wrong:
            return Answer(
                _NAME, f"it says otherwise: {'; '.join(wrong[:_NAMED])}", "failed",
                "report it, with these lines and the answers above",
            )  # fmt: skip
        if missing:
            named = "; ".join(map(str, missing[:_NAMED]))
            return Answer(
                _NAME,
                f"it lacks {counted(len(missing), 'decision')} of what was tried: {named}",
                "failed",
                "is it the journal of this gateway, and is gateway.state_dir right?",
            )
        done = counted(len(self._expected) - len(summed), "decision")
        more = f"; of {counted(len(summed), 'denial')} it has the sum" if summed else ""
        return Answer(
            _NAME, f"it has what was tried, with the right verdicts: {done}{more}"
        )

    @staticmethod
    def _found(line: dict[str, Any], missing: list[Expected], wrong: list[str]) -> None:
        """Strike out what a line is of."""
        for each in missing:
            if each.isIn(line):
                missing.remove(each)
                if each.verdict not in ("", line["verdict"]):
                    wrong.append(f"{line['verdict']}, and the answer was: {each}")
                return


def _lines(poll: Callable[[], bytes]) -> Iterator[dict[str, Any]]:
    """Yield the lines that are new."""
    while octets := poll():
        for each in octets.splitlines():
            line = shaped(each)
            if line is not None:
                yield line
