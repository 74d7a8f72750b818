"""
What generations share: as long as one of them wants it, and no longer.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from socksgw.config.convert import Duration
from socksgw.config.loading import loads
from socksgw.config.problems import ConfigError
from socksgw.config.schema import Config, Timeouts
from socksgw.gateway.gateway import Gateway
from socksgw.gateway.generation import Generation
from socksgw.route.resolver import Resolver
from tests.live.running import OPEN
from tests.tools.building import built
from tests.tools.certificates import Authority, pemOf, pemOfKey, server

TEXT = (
    OPEN.replace(
        "[[auth.choose]]",
        '[listen.tls]\ncertificate = "tls.pem"\n[[auth.choose]]',
    )
    + '[resolver]\nservers = ["127.0.0.1"]\n'
)
_ISSUED = server(Authority())
PEM = pemOf(_ISSUED.certificate) + pemOfKey(_ISSUED.key)


class World:
    """
    A gateway that is reloaded.

    @ivar stopped: the resolvers that were stopped.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.stopped: list[Resolver] = []
        stop = Resolver.stop
        patch.setattr(
            Resolver, "stop", lambda this: (self.stopped.append(this), stop(this))
        )
        self.file = directory / "tls.pem"
        self.write()
        self.config = loads(TEXT, "gw.toml", directory)
        self.clock = Clock()
        self.gateway = Gateway(self.clock, self.config, clock=self.clock.seconds)
        self.gateway.generation.start()
        patch.setattr(self.gateway._listeners, "change", lambda listens: None)
        self.pool = self.gateway._shared.pool

    def write(self, mode: int = 0o600) -> None:
        """A certificate, which may be one that others can read."""
        self.file.write_bytes(PEM)
        self.file.chmod(mode)

    def build(self, config: Config) -> Generation:
        """A generation of it."""
        return built(self.gateway, config)

    def reload(self, config: Config) -> Generation:
        """Put it in force."""
        self.gateway.change(config, self.build(config))
        return self.gateway.generation

    def wait(self) -> None:
        """Until nothing of an earlier generation is in the middle of anything."""
        for _ in range(200):
            self.clock.advance(1)
            self.gateway.deadlines.scan()

    def uses(self) -> list[int]:
        """How many generations have each thing in the pool."""
        return sorted(entry.uses for entry in self.pool._entries.values())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def longer(config: Config) -> Config:
    """With another time for look-ups."""
    return evolve(config, timeouts=Timeouts(lookup=Duration(7.0)))


def test_whatStaysIsTheSame(world: World) -> None:
    """A resolver, and TLS, whose tables stay: counted once a generation."""
    before = world.gateway.generation
    after = world.reload(world.config)
    assert after is not before
    assert after._resolver is before._resolver
    assert after.secured["main"] is before.secured["main"]
    assert after.secured["main"].successor is None
    assert world.uses() == [2, 2]
    world.wait()
    assert world.uses() == [1, 1]
    assert world.stopped == []


def test_whatGoes(world: World) -> None:
    """It ends when nobody is in the middle of something any more."""
    before = world.gateway.generation
    after = world.reload(longer(world.config))
    assert after._resolver is not before._resolver
    assert world.stopped == []
    world.wait()
    assert world.stopped == [before._resolver]


def test_whatComesBack(world: World) -> None:
    """It is taken up again before it has ended; nothing waits for itself."""
    first = world.gateway.generation
    (listen,) = world.config.listen
    assert listen.tls is not None
    # The same file under another name is another table.
    tls = evolve(listen.tls, certificate=str(world.file))
    other = longer(evolve(world.config, listen=(evolve(listen, tls=tls),)))
    world.reload(other)
    assert first.secured["main"].successor is not None
    last = world.reload(world.config)
    assert last._resolver is first._resolver
    assert last.secured["main"] is first.secured["main"]
    assert last.secured["main"].successor is None
    world.wait()
    assert len(world.stopped) == 1
    assert world.stopped != [first._resolver]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda world: world.write(0o644),
        lambda world: world.file.write_bytes(b"broken"),
        lambda world: world.file.unlink(),
    ],
)
def test_whatIsRefused(world: World, spoil: Callable[[World], Any]) -> None:
    """
    A file of TLS that is shared is judged as one that is new, and what a
    configuration that is refused has taken is given back.
    """
    before = world.gateway.generation
    spoil(world)
    with pytest.raises(ConfigError, match="tls"):
        world.build(longer(world.config))
    assert world.uses() == [1, 1]
    assert world.gateway.generation is before
    world.write()
    assert world.reload(world.config).secured["main"] is before.secured["main"]
    # What has been read meanwhile is still told of.
    assert before.secured["main"].refresh().read == ("certificate",)


def test_theEnd(world: World) -> None:
    """A gateway that stops ends all, also what is in its grace."""
    before = world.gateway.generation
    after = world.reload(longer(world.config))
    world.gateway._shared.pool.close()
    assert set(world.stopped) == {before._resolver, after._resolver}


def test_aGenerationThatIsOverIsFreed(world: World) -> None:
    """With its logins, and without the garbage collector."""
    generation = world.gateway.generation
    parts: list[Any] = [generation, generation.login]
    left = [weakref.ref(part) for part in parts]
    del generation, parts
    gc.collect()
    gc.disable()
    try:
        world.reload(longer(world.config))
        assert [each() for each in left] == [None] * 2
    finally:
        gc.enable()
