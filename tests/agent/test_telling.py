"""
What an agent does when the machine slept, or its network is another.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from socksgw.agent import telling
from socksgw.agent.settings import Settings
from socksgw.agent.sleep import Sleep
from socksgw.agent.telling import Telling
from socksgw.errors import UpstreamFailed, UpstreamRefused
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply

HERE, GONE = Address.parse("192.0.2.1"), Address.parse("192.0.2.2")


class Machine:
    """
    The gateway that an agent is, on a machine that the test moves.

    @ivar gap: seconds that the machine has slept.
    @ivar tried: how often the gateway was tried.
    @ivar reached: whether it answers.
    @ivar ended: why each session was ended.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gap = 0.0
        self.tried = 0
        self.reached = True
        self.ended: list[Any] = []
        self.hosts = SimpleNamespace(changes=0, isSelf=lambda address: address == HERE)
        self.journal = SimpleNamespace(directory=directory)
        self.sessions = SimpleNamespace(stranded=self._stranded)
        self.generation = SimpleNamespace(waysOf=lambda *_: self)
        self.clock = Clock()
        self.out = io.StringIO()
        agent: Any = SimpleNamespace(
            settings=Settings(gateway="gw.example:1443"), look=lambda _: None
        )
        monkeypatch.setattr(telling, "Sleep", lambda: Sleep(lambda: self.gap))
        self.telling = Telling(self.clock, self.out, agent)
        gateway: Any = self
        self.telling.start(gateway)

    def bound(self) -> list[tuple[str, int]]:
        """Return where it listens."""
        return [("127.0.0.1", 1080), ("::1", 1080)]

    def elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Do it at once."""
        return succeed(work())

    async def reach(self, *_: object) -> None:
        """As L{socksgw.route.ways.Ways.reach}."""
        self.tried += 1
        if self.reached:
            raise UpstreamRefused("", Reply.HOST_UNREACHABLE, "host-unreachable")
        raise UpstreamFailed("it is gone", reason="upstream-closed")

    def _stranded(self, isHere: Callable[[Address], bool]) -> list[Any]:
        client = SimpleNamespace(end=self.ended.append)
        return [
            SimpleNamespace(outgoing=each, client=client)
            for each in (HERE, GONE)
            if not isHere(each)
        ]

    def passes(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.pump([1.0] * seconds)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose agent has reached its gateway."""
    made = Machine(tmp_path, monkeypatch)
    made.passes(10)
    assert made.out.getvalue().splitlines() == [
        "socksgw agent: serves this user's programs on 127.0.0.1:1080, [::1]:1080",
        "socksgw agent: gw.example:1443 is reached, by Kerberos",
    ]
    assert made.tried == 1
    return made


def test_sleep(machine: Machine) -> None:
    """After it the gateway is tried, whatever it was before."""
    machine.gap = 3600.0
    machine.reached = False
    machine.passes(2)
    assert machine.tried == 2
    assert "closed the connection" in machine.out.getvalue().splitlines()[-1]
    assert not machine.ended
    machine.telling.stop()


def test_anotherNetwork(machine: Machine) -> None:
    """Sessions that began at an address which is gone end, and no others."""
    machine.hosts.changes = 1
    machine.passes(2)
    assert machine.tried == 2
    (failure,) = machine.ended
    assert failure.reason == "network-lost"
    assert str(GONE) in str(failure)
    machine.telling.stop()
    assert not machine.clock.getDelayedCalls()


def test_aSessionThatFailed(machine: Machine, tmp_path: Path) -> None:
    """The journal says that the gateway was at fault; others are nobody's."""
    file = tmp_path / "audit-000000000001.jsonl"
    file.write_bytes(b'{"v":1,"n":1,"event":"end","reason":"refused"}\n')
    machine.passes(3)
    assert machine.tried == 1
    with file.open("ab") as journal:
        journal.write(b'{"v":1,"n":2,"event":"end","reason":"upstream-closed"}\n')
    machine.passes(3)
    assert machine.tried == 2
    assert machine.out.getvalue().count("\n") == 2
    machine.telling.stop()
