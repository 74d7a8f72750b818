"""
What follows the journal: the sinks, in a process of their own.

It is started when the first sink is configured, again when it ends, and ends with the
gateway. The gateway tells it what to follow, and is told how the sinks are doing, once
a second at most.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, final

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.audit.journal import Journal
from socksgw.audit.process import sinkLine
from socksgw.audit.sinks.orders import FINISH, Orders, Standing
from socksgw.audit.sinks.position import fileOf
from socksgw.audit.sinks.process import ORDERS, STANDINGS
from socksgw.config.schema import Config
from socksgw.gateway.examining.problems import Problems
from socksgw.gateway.examining.sinks import examineSinks
from socksgw.gateway.parts import Part
from socksgw.gateway.starting import CannotStart
from socksgw.system.files import unreadable

__all__ = ["SinkStanding", "Sinks", "childEnvironment"]

_log = Logger()

#: Seconds of the first and of the longest pause before the process is started again.
_PAUSES: Final = (0.25, 30.0)
#: Seconds after which a process that ended counts as one that ran.
_RAN: Final = 60.0
#: Seconds that the process has to deliver the last lines.
_PATIENCE: Final = 7.0
#: Seconds between two lines in the journal about one sink.
_SELDOM: Final = 10.0


class Service(Protocol):
    """What sinks use of the gateway."""

    @property
    def journal(self) -> Journal: ...


@define
class SinkStanding:
    """
    How one sink is doing, for those who show it.

    @ivar name: its name.
    @ivar kind: its kind.
    @ivar state: C{starting}, C{following} or C{failing}.
    @ivar position: the number of the last line that it has.
    @ivar saved: the last line that it has even after a crash; files are kept from
        there on. L{None} while that is not known.
    @ivar delivered: how many lines it got since the gateway began.
    @ivar failures: how often it failed since then.
    @ivar missed: how many lines it will never get, since they were dropped before.
    @ivar aside: how many lines were put aside, since nobody takes them.
    @ivar why: why it fails; empty if it does not.
    """

    name: str
    kind: str
    state: str = "starting"
    position: int = 0
    saved: int | None = None
    delivered: int = 0
    failures: int = 0
    missed: int = 0
    aside: int = 0
    why: str = ""


@define
class _Told:
    """What the journal says of a sink."""

    failing: bool = False
    missed: int = 0
    aside: int = 0
    again: float = 0.0


@final
class Sinks(Part):
    """
    The sinks of a gateway.

    @ivar standings: how each is doing, by its name.
    @ivar starts: how often their process was started.
    """

    named = "the sinks of the journal"
    alone = True

    def __init__(self, gateway: Service, reactor: Any) -> None:
        """
        Follow nothing yet.
        """
        self._gateway = gateway
        self._reactor = reactor
        self._config: Config | None = None
        self._before: tuple[Config, Orders] | None = None
        self._orders: Orders | None = None
        self._running = False
        self._process: _Child | None = None
        self._pause = _PAUSES[0]
        self._again: Any = None
        self._told: dict[str, _Told] = {}
        self._closed: Deferred[None] | None = None
        self.standings: dict[str, SinkStanding] = {}
        self.starts = 0

    def behind(self, standing: SinkStanding) -> int:
        """Return how many lines a sink does not have yet."""
        return max(0, self._gateway.journal.number - standing.position)

    def needed(self) -> int | None:
        """
        Return the number of the first line that a sink still needs.

        @return: L{None} if there is no sink.
        """
        if not self.standings:
            return None
        return 1 + min(each.saved or 0 for each in self.standings.values())

    # The life of a part.

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        if self._before is not None and self._before[0] is config:
            orders = self._before[1]
        else:
            problems = Problems()
            orders = examineSinks(config, problems)
            if problems.errors:
                # Files may have changed since the examination of the whole.
                raise CannotStart("\n".join(map(str, problems.errors)))
        if self._config is not None and self._orders is not None:
            # The directories of now stay until the next start.
            orders = evolve(
                orders, journal=self._orders.journal, state=self._orders.state
            )
            self._before = self._config, self._orders
        self._config, self._orders = config, orders
        self.standings = {
            each.name: self.standings.get(each.name)
            or SinkStanding(each.name, each.kind)
            for each in orders.sinks
        }
        self._obey()

    def start(self) -> None:
        """As L{Part.start}."""
        self._running = True
        self._gateway.journal.needed = self.needed
        self._obey()

    def _obey(self) -> None:
        """Have the process follow what is configured; start it if there is none."""
        if not self._running or self._orders is None:
            return
        if self._process is not None:
            self._process.order(self._ordered(self._orders))
        elif self._orders.sinks and self._again is None:
            self._spawn()

    def _ordered(self, orders: Orders) -> Orders:
        return evolve(orders, last=self._gateway.journal.number)

    def _spawn(self) -> None:
        self._again = None
        if self._orders is None or not self._orders.sinks:
            return
        self.starts += 1
        orders = self._ordered(self._orders)
        child = _Child(orders, self._stands, self._ended, self._reactor.seconds())
        try:
            self._reactor.spawnProcess(
                child,
                sys.executable,
                [sys.executable, "-m", "socksgw.audit.sinks"],
                env=childEnvironment(),
                childFDs={ORDERS: "w", 1: 1, 2: 2, STANDINGS: "r"},
            )
        except OSError as e:
            # The user that the gateway has become may not run the interpreter.
            why = unreadable(Path(sys.executable).resolve(), e)
            self._failed(f"their process cannot be started: {why}")
            return
        self._process = child

    def _ended(self, child: _Child, why: str) -> None:
        self._process = None
        if self._closed is not None:
            self._closed.callback(None)
            return
        if self._reactor.seconds() - child.began >= _RAN:
            self._pause = _PAUSES[0]
        if self._orders is not None and self._orders.sinks:
            self._failed(f"their process ended: {why}")

    def _failed(self, why: str) -> None:
        """Take note that no sink is followed, and try again later."""
        for each in self.standings.values():
            each.state, each.why = "failing", why
            each.failures += 1
        self.look()
        self._again = self._reactor.callLater(self._pause, self._spawn)
        self._pause = min(2 * self._pause, _PAUSES[1])

    def _stands(self, found: Standing) -> None:
        """Take note of how a sink of this process is doing."""
        each = self.standings.get(found.sink)
        if each is None:
            return
        child = self._process
        assert child is not None
        before = child.counted.get(found.sink) or Standing(found.sink)
        child.counted[found.sink] = found
        if found.state != "opening":
            each.state, each.why = found.state, found.why
        each.position, each.saved = found.position, found.saved
        each.delivered += found.delivered - before.delivered
        each.failures += found.failures - before.failures
        each.missed += found.missed - before.missed
        each.aside += found.aside - before.aside

    def look(self) -> None:
        """Journal what has become of sinks."""
        now = self._reactor.seconds()
        for name, each in self.standings.items():
            told = self._told.setdefault(name, _Told())
            if each.state == "starting":
                continue
            failing = each.state == "failing"
            if each.missed > told.missed:
                lost = each.missed - told.missed
                self._tell(each, "missed", missed=lost)
                told.missed = each.missed
            if each.aside > told.aside:
                self._tell(each, "aside", aside=each.aside - told.aside)
                told.aside = each.aside
            if failing and not told.failing and now < told.again:
                # It comes and goes: if it stays so, that is told later.
                continue
            if failing != told.failing:
                told.failing, told.again = failing, now + _SELDOM
                self._tell(each, each.state)
        for name in self._told.keys() - self.standings.keys():
            del self._told[name]

    def _tell(
        self, each: SinkStanding, state: str, missed: int = 0, aside: int = 0
    ) -> None:
        what = f"{state}: {each.why}" if each.why else state
        if missed:
            what = f"{missed} lines were dropped before it had them"
        elif aside:
            file = fileOf(each.name, "refused")
            what = (
                f"{aside} lines were refused, and are put aside in sinks/{file} of "
                "[gateway] state_dir, with why"
            )
        _log.warn('the sink "{name}": {what}', name=each.name, what=what)
        self._gateway.journal.append(
            sinkLine(
                each.name,
                each.kind,
                state,
                each.position,
                self.behind(each),
                "" if missed or aside else each.why,
                missed,
                aside,
            )
        )

    def close(self) -> Deferred[None] | None:
        """As L{Part.close}: the sinks get what the journal has, if they take it."""
        self._running = False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._process is None:
            return None
        self._closed = Deferred()
        self._process.finish(self._reactor)
        return self._closed


def childEnvironment() -> Mapping[str, str]:
    """Return the environment of the process, which finds the same modules."""
    places = [str(Path(each or ".").absolute()) for each in sys.path]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    # It is not this process that tells the supervisor how it is.
    found.pop("NOTIFY_SOCKET", None)
    return found


@final
class _Child(ProcessProtocol):
    """
    The process of the sinks, as the gateway sees it.

    @ivar began: when it was started, in the reactor's seconds.
    @ivar counted: the last standing of each sink.
    """

    transport: Any

    def __init__(
        self,
        orders: Orders,
        stands: Callable[[Standing], None],
        ended: Callable[[_Child, str], None],
        began: float,
    ) -> None:
        self._orders = orders
        self._stands = stands
        self._hasEnded = ended
        self._rest = b""
        self._late: Any = None
        self.began = began
        self.counted: dict[str, Standing] = {}

    def connectionMade(self) -> None:
        """Tell it what to follow."""
        self.order(self._orders)

    def order(self, orders: Orders) -> None:
        """Have it follow these sinks, and no others."""
        self._write(orders.octets())

    def finish(self, reactor: Any) -> None:
        """Have it deliver what there is, and end; kill it if it takes too long."""
        self._write(FINISH)
        self._late = reactor.callLater(_PATIENCE, self._kill)

    def _write(self, octets: bytes) -> None:
        # A process that was killed has lost its pipes before its end is told.
        if ORDERS in self.transport.pipes:
            self.transport.writeToChild(ORDERS, octets)

    def _kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take how sinks are doing."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            for each in Standing.every(line):
                self._stands(each)

    def processEnded(self, reason: Failure) -> None:
        """Take note that it has ended."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        value: Any = reason.value
        if value.signal is not None:
            why = f"by signal {value.signal}"
        else:
            why = f"with status {value.exitCode}"
        self._hasEnded(self, why)
