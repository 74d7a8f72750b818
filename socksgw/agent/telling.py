"""
What a user is told by an agent that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TextIO, final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from socksgw.agent.agent import Agent
from socksgw.agent.reach import Reach
from socksgw.agent.settings import Login, Settings
from socksgw.agent.sleep import Sleep
from socksgw.agent.trial import attempt
from socksgw.agent.trouble import Trouble
from socksgw.audit.follower import Follower
from socksgw.config.listening import UNIX
from socksgw.errors import ConnectFailed
from socksgw.gateway.gateway import Gateway
from socksgw.system.readiness import notify
from socksgw.wire.codes import Reply

__all__ = ["PREFIX", "Telling", "reachedLine"]

#: Before each line.
PREFIX: Final = "socksgw agent: "
#: Seconds between two looks at the clocks, the network and what has failed.
_TICK: Final = 1.0
#: In the line of a session that has failed by the gateway's fault.
_FAILED: Final = b'"reason":"upstream-'
#: How the user has logged in.
_HOW: Final[Mapping[Login, str]] = {
    "none": "without a login",
    "kerberos": "by Kerberos",
    "token": "by the token",
    "certificate": "by the certificate",
    "password": "by the password",
}


def reachedLine(settings: Settings) -> str:
    """Return the line of a gateway that has taken the user."""
    return f"{settings.host}:{settings.port} is reached, {_HOW[settings.method]}"


@final
class Telling:
    """
    What a user sees of an agent: a line at the start, then one for each change.
    """

    def __init__(self, reactor: Any, out: TextIO, agent: Agent) -> None:
        self._reactor = reactor
        self._out = out
        self._agent = agent
        self._sleep = Sleep()
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor
        self._troubled = False
        self._network = 0
        self._settings = agent.settings

    def start(self, gateway: Gateway) -> None:
        """Say where programs find the agent, and try the gateway."""
        self._gateway = gateway
        self._follower = Follower(gateway.journal.directory, False)
        self._network = gateway.hosts.changes
        places = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in gateway.bound()
        ]
        places += [p for p in self._agent.settings.listen if p.startswith(UNIX)]
        self._say(f"serves this user's programs on {', '.join(places)}")
        self._reach = Reach(self._reactor, self._local, self._trial, self._changed)
        self._reach.start()
        self._ticking.start(_TICK, now=False)

    def stop(self) -> None:
        """Say nothing any more."""
        if self._ticking.running:
            self._ticking.stop()
            self._reach.stop()

    def _local(self) -> Deferred[Trouble | None]:
        trouble = self._reach.trouble
        doubted = trouble is not None and trouble.kind == "login"
        return self._gateway.elsewhere(lambda: self._agent.look(doubted))

    def _trial(self) -> Deferred[Trouble | None]:
        return Deferred.fromCoroutine(attempt(self._gateway, self._agent.settings))

    def _tick(self) -> None:
        network, before = self._gateway.hosts.changes, self._network
        settings = self._agent.settings
        self._network = network
        failed = False
        with suppress(OSError):
            failed = _FAILED in self._follower.poll()
        if network != before:
            self._cut()
        other, self._settings = settings is not self._settings, settings
        if other or self._sleep.slept() or network != before:
            self._reach.renew(other)
        elif failed:
            self._reach.doubt()

    def _cut(self) -> None:
        """End the sessions that a change of the network has left without a way."""
        for session in self._gateway.sessions.stranded(self._gateway.hosts.isSelf):
            why = f"this machine has the address {session.outgoing} no longer"
            session.client.end(
                ConnectFailed(why, Reply.NETWORK_UNREACHABLE, "network-lost")
            )

    def _changed(self, trouble: Trouble | None) -> None:
        settings = self._agent.settings
        line = str(trouble)
        if trouble is None:
            line = reachedLine(settings)
            if self._troubled:
                line = f"works again: {line}"
        self._troubled = trouble is not None
        self._say(line)
        notify(f"STATUS={line}")

    def _say(self, line: str) -> None:
        self._out.write(f"{PREFIX}{line}\n")
        self._out.flush()
