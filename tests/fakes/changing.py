"""
What reload and revocation meet of a gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from socksgw.config.schema import Config
from socksgw.gateway.networks import Networks
from socksgw.gateway.role import Role
from socksgw.gateway.sessions import Sessions
from socksgw.system.domains import OWN
from tests.fakes.policy import ruleset


class Changing:
    """
    The parts of a gateway that changes while it runs.

    @ivar lines: what the journal was given.
    @ivar later: what threads will do when the test says so; L{None}: at once.
    @ivar login: whom it knows.
    """

    stopping = False
    role = Role()

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changes = 0
        self.lines: list[str] = []
        self.later: list[Deferred[Any]] | None = None
        self.journal: Any = SimpleNamespace(append=self.lines.append)
        self.sessions = Sessions()
        self.hosts: Any = SimpleNamespace(changes=0)
        nothing: Any = None
        self.networks = Networks(Path(), nothing, nothing, self.lines.append)
        self.remains: Any = SimpleNamespace(add=lambda *left: None)
        self.listeners: dict[str, Any] = {}
        self.limits: Any = SimpleNamespace(usedUp=True)
        policy = SimpleNamespace(ruleset=ruleset('[[rule]]\nid = "a"\nallow = "any"'))
        self.login: Any = SimpleNamespace(
            changes=0, now=lambda user: user, directory=None, problems=[]
        )
        self.generation: Any = SimpleNamespace(
            policy=policy,
            login=self.login,
            warnings=[],
            secured={},
            asserted={},
            domainOf=lambda listener: OWN,
            discard=lambda: None,
        )

    def elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Do work in a thread that is done when the test says so, or at once."""
        if self.later is None:
            return maybeDeferred(work)
        self.later.append(Deferred().addCallback(lambda _: work()))
        return self.later[-1]

    def compiler(self, config: Config) -> Any:
        """Return one with nothing to do."""
        return SimpleNamespace(prepare=lambda: None)

    def build(self, config: Config, compiler: Any) -> Deferred[Any]:
        """Return the generation that there is."""
        return succeed(self.generation)

    def change(self, config: Config, generation: Any) -> Deferred[int]:
        """Go by another configuration, which all sessions like."""
        self.config = config
        return succeed(0)
