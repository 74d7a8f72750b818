"""
Ask many things at once, and print what they have answered: C{socksgw check --probe}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TextIO

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogBeginner
from twisted.python.failure import Failure

from socksgw.config.schema import Config
from socksgw.console.live import shown
from socksgw.gateway.examination import Examination
from socksgw.gateway.probing.asking import Asking, Given, Probe
from socksgw.gateway.probing.assembly import probesOf
from socksgw.report.words import counted

__all__ = ["askedMain", "probeMain"]

#: Seconds between two lines about who has not answered yet.
_LOOK: Final = 2.0
_STATES: Final = ("ok", "warning", "failed")
_MARKS: Final = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def probeMain(
    config: Config,
    found: Examination,
    reactor: Any,
    seconds: float,
    asJson: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """
    Ask everything that a configuration names, and print what it answers.

    @param found: the examination, in which there is no error.
    @return: as L{askedMain}, which has the other parameters.
    """
    asking = Asking(reactor, seconds)
    return askedMain(
        "check", asking, lambda: probesOf(config, found, asking), asJson, out, err
    )


def askedMain(
    command: str,
    asking: Asking,
    probes: Callable[[], Sequence[Probe]],
    asJson: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """
    Ask, and print what is answered.

    @param command: the name of the command, for its own messages.
    @param asking: its reactor runs until all have answered; it cannot run again.
    @param probes: makes what is asked, once the reactor runs.
    @param err: gets the progress.
    @return: the exit status: 0; 1 if something has failed.
    """
    reactor = asking.reactor
    # What is wrong is told here, and not in a log besides.
    globalLogBeginner.beginLoggingTo([_defects(command, err)], redirectStandardIO=False)
    results: list[Any] = []

    async def ask() -> list[Given]:
        made = probes()
        progress = _Progress(made, reactor, err)
        progress.begin()
        try:
            return await asking.all(made, progress.told)
        finally:
            progress.end()

    def begin() -> None:
        asked = Deferred.fromCoroutine(ask()).addBoth(results.append)
        asked.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        print(f"socksgw {command}: interrupted", file=err)
        return 1
    given = results[0]
    if isinstance(given, Failure):
        given.raiseException()
    if asJson:
        print(json.dumps([_member(each) for each in given], indent=2), file=out)
    else:
        _print(given, out)
    return int(any(each.answer.state == "failed" for each in given))


def _defects(command: str, err: TextIO) -> Any:
    """Return what shows defects of the program, and nothing else."""

    def observe(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            print(f"socksgw {command}: a defect: {failure or event}", file=err)

    return observe


class _Progress:
    """
    Says on a terminal how many have answered, and elsewhere who is waited for.
    """

    def __init__(self, probes: Sequence[Probe], reactor: Any, err: TextIO) -> None:
        self._left = list(probes)
        self._all = len(probes)
        self._reactor = reactor
        self._err = err
        self._terminal = err.isatty()
        self._next: Any = None

    def begin(self) -> None:
        """Say how many are asked."""
        self._say(f"asking {counted(self._all, 'thing')} …")
        self._next = self._reactor.callLater(_LOOK, self._look)

    def told(self, probe: Probe, given: Sequence[Given]) -> None:
        """Note that one has answered."""
        self._left.remove(probe)
        if self._terminal:
            self._line(f"{self._all - len(self._left)} of {self._all} have answered")

    def _look(self) -> None:
        names = ", ".join(f"{each.place} ({each.what})" for each in self._left[:4])
        more = f" and {len(self._left) - 4} more" if len(self._left) > 4 else ""
        if self._terminal:
            self._line(f"waiting for {names}{more}")
        else:
            self._say(f"waiting for {names}{more} …")
        self._next = self._reactor.callLater(_LOOK, self._look)

    def end(self) -> None:
        """Say no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._terminal:
            print("\r\033[K", end="", file=self._err, flush=True)

    def _line(self, text: str) -> None:
        print(f"\r\033[K{shown(text)[:78]}", end="", file=self._err, flush=True)

    def _say(self, text: str) -> None:
        print(shown(text), file=self._err, flush=True)


def _member(given: Given) -> dict[str, Any]:
    answer = given.answer
    return {
        "place": given.place,
        "what": answer.what,
        "state": answer.state,
        "said": answer.said,
        "remedy": answer.remedy,
        "seconds": round(given.seconds, 3),
    }


def _print(given: Sequence[Given], out: TextIO) -> None:
    put = partial(print, file=out)
    # What asks for attention is last, where a terminal shows it.
    for each in sorted(given, key=lambda each: _STATES.index(each.answer.state)):
        answer = each.answer
        put(f"{_MARKS[answer.state]:<4}  {each.place}  {shown(answer.what)}")
        put(f"      {shown(answer.said)}")
        if answer.remedy:
            put(f"      → {shown(answer.remedy)}")
    states = [each.answer.state for each in given]
    failed, warned = states.count("failed"), states.count("warning")
    put(
        f"{counted(len(given), 'answer')}: {states.count('ok')} ok, "
        f"{counted(warned, 'warning')}, {failed} failed"
    )
