"""
Login by what the kernel says: who a program is, what it is called, and when the
method does not apply.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import ILocalIdentity
from socksgw.plugins import auth_peer
from socksgw.plugins.auth_peer import LocalIdentity, Peer, identify, method
from socksgw.system.program import Program
from tests.fakes.client import Client, result


class World:
    """
    A method on a machine.

    @ivar asked: how often the user database was asked.
    @ivar now: the time.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.now = 0.0
        self.failure: Exception | None = None
        threads: Any = SimpleNamespace(do=self._do)
        self.peer = Peer(threads, SimpleNamespace(seconds=lambda: self.now))

    def _do(self, work: Callable[[], LocalIdentity]) -> Deferred[LocalIdentity]:
        self.asked += 1
        return succeed(work()) if self.failure is None else fail(self.failure)

    def read(self, program: Program | None) -> Any:
        """What is read of a program's connection."""
        exchange = SimpleNamespace(program=program)
        reading = self.peer.readCredentials(exchange)
        return result(Deferred.fromCoroutine(reading))


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Users and groups of this machine: the same names for both kinds."""
    names: dict[int, str] = {}

    def user(uid: int) -> Any:
        return SimpleNamespace(pw_name=names[uid], pw_gid=uid)

    def group(gid: int) -> Any:
        return SimpleNamespace(gr_name=names[gid])

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrgid", group)
    return names


def test_ourselves() -> None:
    """By the system's own database."""
    found = identify(Program(os.geteuid(), os.getegid(), (), 1))
    assert ILocalIdentity.providedBy(found)
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert found.username.decode() == f"uid:{name}"
    assert f"uid:{os.geteuid()}" in found.words
    assert f"gid:{grp.getgrgid(os.getegid()).gr_name}" in found.words
    assert (found.realm, found.expires) == ("", None)


def test_namesAndNumbers(database: dict[int, str]) -> None:
    """The user by name; its number, and all groups by name and number, as words."""
    database.update({1000: "build", 50: "staff", 60: "docker"})
    found = identify(Program(1000, 50, (60, 61)))
    assert found.username == b"uid:build"
    assert found.words == {
        "uid:1000", "gid:50", "gid:staff", "gid:60", "gid:docker", "gid:61",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["", "1001", " x", "x ", "a\\b", "two\nlines", "\u0661", None]
)
def test_noName(database: dict[int, str], name: str | None) -> None:
    """
    A user without a name that can stand in a policy is its number; a name of
    digits would be another user's.
    """
    if name is not None:
        database[1000] = database[50] = name
    found = identify(Program(1000, 50, ()))
    assert found.username == b"uid:1000"
    assert found.words == {"uid:1000", "gid:50"}


def test_groupsOfOtherNamespaces(database: dict[int, str]) -> None:
    """Groups that have no number here are left out: all of them share one."""
    database.update({1000: "build", 65534: "nogroup"})
    found = identify(Program(1000, 65534, (65534, 7)))
    assert found.words == {"uid:1000", "gid:7"}


def test_groupsThatTheKernelDoesNotSay(
    database: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the user database's; a user without a name has none."""
    database.update({1000: "build", 60: "docker"})
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 60])
    assert identify(Program(1000)).words == {
        "uid:1000", "gid:1000", "gid:build", "gid:60", "gid:docker",
    }  # fmt: skip
    assert identify(Program(1001)).words == {"uid:1001"}


@pytest.mark.parametrize("program", [None, Program(65534, 1, ()), Program(0xFFFFFFFF)])
def test_whereItDoesNotApply(program: Program | None) -> None:
    """Where the kernel says nothing, or names a user of another namespace."""
    world = World()
    client = Client(b"\x05\x01\x00")
    client.program = program
    assert not world.peer.applies(client)
    failure = world.read(program)
    assert isinstance(failure, AuthenticationFailed)
    assert (failure.reason, failure.counts, world.asked) == ("no-peer", False, 0)


def test_whatIsRemembered(database: dict[int, str]) -> None:
    """An answer counts for a minute, for a program of the same user and groups."""
    world = World()
    database[1000] = "build"
    first = world.read(Program(1000, 1, (2, 3), 4711))
    assert world.read(Program(1000, 1, (2, 3), 4712)) is first
    assert world.asked == 1
    assert world.read(Program(1000, 1, (2,), 4711)) is not first
    assert world.asked == 2
    database[1000] = "other"
    world.now += 59.9
    assert world.read(Program(1000, 1, (2, 3))) is first
    world.now += 0.2
    assert world.read(Program(1000, 1, (2, 3))).username == b"uid:other"
    assert world.asked == 3


def test_manyPrograms() -> None:
    """What is remembered is bounded."""
    world = World()
    for gid in range(5000):
        world.read(Program(0, gid, ()))
    assert len(world.peer._known) == 4096


def test_aDatabaseThatIsTooSlow() -> None:
    """The client is refused, and the next one asks again."""
    world = World()
    world.failure = auth_peer._busy()
    assert isinstance(world.read(Program(0, 0, ())), AuthenticationFailed)
    world.failure = None
    assert world.read(Program(0, 0, ())).username == b"uid:root"


def test_settings() -> None:
    """There are none."""
    with pytest.raises(ValueError, match="has no settings"):
        method.build({"x": 1}, None)
