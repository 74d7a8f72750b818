"""
An agent that runs: a gateway in the foreground, for one user.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from twisted.application.app import startApplication
from twisted.application.service import Application
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.agent.agent import Agent
from socksgw.agent.credentials import isMissing
from socksgw.agent.diagnosis import isRefusal
from socksgw.agent.settings import Settings
from socksgw.agent.telling import PREFIX, Telling, reachedLine
from socksgw.agent.trial import attempt
from socksgw.agent.trouble import Trouble
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.service import GatewayService
from socksgw.system import output
from socksgw.system.clock import steady
from socksgw.system.readiness import notify
from socksgw.system.signals import hangups
from socksgw.system.warned import beginWarning

__all__ = ["check", "run"]

#: Seconds between two looks at credentials that are missing at the start.
_PAUSE: Final = 2.0


def _begun() -> Any:
    """Return the reactor; the log goes to standard error, as far as people need it."""
    from twisted.internet import reactor

    steady(reactor)
    beginWarning(PREFIX)
    return reactor


def _await(agent: Agent) -> None:
    """
    Wait until the user has the files to log in with, which a gateway needs to start.

    At the start of a desktop's session the keyring may be locked, or a token not there.
    """
    told = ""
    while (trouble := agent.look(False)) is not None and isMissing(trouble):
        if str(trouble) != told:
            told = str(trouble)
            print(f"{PREFIX}{told}", flush=True)
            # The service manager shall not take it for a start that hangs.
            notify("READY=1")
            notify(f"STATUS={told}")
        time.sleep(_PAUSE)


def run(settings: Settings, state: Path, reread: Callable[[], Settings]) -> int:
    """
    Run an agent until it is told to end.

    @param state: the directory of its journal; it is made.
    @param reread: reads the settings again.
    @return: the exit status.
    @raise ConfigError: no gateway can be made of the settings.
    """
    reactor = _begun()
    agent = Agent(settings, state)

    agent.adopt(settings)
    _await(agent)
    gateway = Gateway(
        reactor,
        agent.configured(settings),
        reread=lambda: agent.configured(reread()),
    )
    signals = hangups()
    signals.foreground()
    state.parent.mkdir(0o700, parents=True, exist_ok=True)
    told = Telling(reactor, output.install(reactor), agent)
    # The status is what the agent has to tell.
    service = GatewayService(reactor, gateway, told, signals, True, statuses=False)
    application = Application("socksgw agent")
    service.setServiceParent(application)
    service.privilegedStartService()
    startApplication(application, False)
    reactor.run()
    return 0


def check(settings: Settings) -> int:
    """
    Log in to the gateway once, and tell what came of it.

    @return: the exit status: 0, 1 if the user is refused, 3 if the gateway is not
        reached.
    @raise ConfigError: as L{run}.
    """
    reactor = _begun()
    with TemporaryDirectory(prefix="socksgw-agent-") as directory:
        agent = Agent(settings, Path(directory) / "state")
        agent.adopt(settings)
        if (trouble := agent.look(False)) is not None:
            print(f"{PREFIX}{trouble}", file=sys.stderr)
            return 1
        gateway = Gateway(reactor, agent.configured(settings))
        found: list[Any] = []

        async def once() -> Trouble | None:
            gateway.start()
            return await attempt(gateway, settings)

        def begin() -> None:
            tried = Deferred.fromCoroutine(once()).addBoth(found.append)
            tried.addCallback(lambda _: gateway.stop())
            tried.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        reactor.run()
    (trouble,) = found
    if isinstance(trouble, Failure):
        trouble.raiseException()
    if trouble is None:
        print(f"{PREFIX}{reachedLine(settings)}")
        return 0
    print(f"{PREFIX}{trouble}", file=sys.stderr)
    return 1 if isRefusal(trouble) else 3
