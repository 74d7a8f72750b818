"""
Messages between two processes, with descriptors.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from socksgw.system.channel import (
    MOST,
    Channel,
    ChannelFull,
    ChannelGone,
    Message,
    NotAnswered,
    channels,
)
from tests.fakes.loops import WatchedLoop
from tests.tools.sockets import descriptors

HEAD = struct.Struct("!cI")
BOUND = 200_000


class End:
    """
    One end, and what came.

    @ivar answer: what questions are answered with.
    """

    def __init__(self, world: World, connection: socket.socket) -> None:
        self.got: list[tuple[dict[str, Any], list[int]]] = []
        self.closed: list[str] = []
        self.answer: Callable[[dict[str, Any]], Message | Deferred[Message]] = dict
        self.refuses = False
        self.channel = Channel(
            connection,
            world.watcher,
            self._received,
            self.closed.append,
            lambda message, fds: self.answer(message),
            BOUND,
        )

    def _received(self, message: dict[str, Any], fds: list[int]) -> None:
        if self.refuses:
            raise ValueError("not now")
        self.got.append((message, fds))


class World(WatchedLoop):
    """Two ends in one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets = channels()
        self.one, self.other = (End(self, each) for each in self.sockets)
        self.one.channel.start()
        self.other.channel.start()

    def unexpected(self, message: dict[str, Any], fds: list[int]) -> None:
        """Fail: this does not come."""
        raise AssertionError(message)


@pytest.fixture
def world() -> Iterator[World]:
    gc.collect()
    before = descriptors()
    made = World()
    yield made
    for end in (made.one, made.other):
        end.channel.close()
        for _, fds in end.got:
            for fd in fds:
                os.close(fd)
    made.closeLoop()
    assert descriptors() <= before


def raw(world: World, octets: bytes, fds: tuple[int, ...] = ()) -> str:
    """Send a packet as no channel does, and return what its reader says."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
    world.sockets[0].sendmsg([octets], rights)
    world.until(lambda: world.other.closed)
    (why,) = world.other.closed
    return why


def test_messages(world: World) -> None:
    """They come in order and whole, whatever their size, both ways."""
    sent = [{"n": n, "x": "ä" * size} for n, size in enumerate((0, 10, 24_000, 9))]
    for message in sent:
        world.one.channel.send(message)
    world.other.channel.send({"back": True})
    world.until(lambda: len(world.other.got) == 4 and world.one.got)
    assert world.other.got == [(message, []) for message in sent]
    assert world.one.got == [({"back": True}, [])]


def test_descriptors(world: World) -> None:
    """As many as a message may have; ours may be closed at once, even if it waits."""
    read, write = os.pipe()
    fill = {"x": "y" * 40_000}
    while not world.one.channel.waiting:
        world.one.channel.send(fill)
    filled = world.one.channel.waiting
    world.one.channel.send({"large": "z" * 60_000}, [write] * MOST)
    assert world.one.channel.waiting > filled
    os.close(write)
    with pytest.raises(ValueError, match="more than 253"):
        world.one.channel.send({}, [read] * (MOST + 1))
    world.until(lambda: any(fds for _, fds in world.other.got))
    message, fds = world.other.got[-1]
    assert (list(message), len(fds)) == (["large"], MOST)
    assert not any(map(os.get_inheritable, fds))
    os.write(fds[-1], b"hello")
    assert os.read(read, 9) == b"hello"
    os.close(read)


def test_aBound(world: World) -> None:
    """Beyond it nothing is added, until the other side has read."""
    channel = world.one.channel
    sent = 0
    while channel.waiting + 11_000 < BOUND:
        channel.send({"n": sent, "x": "y" * 10_000})
        sent += 1
    with pytest.raises(ChannelFull):
        channel.send({"x": "y" * 20_000})
    assert channel.waiting <= BOUND
    room: list[None] = []
    channel.room().addCallback(room.append)
    assert room == []
    world.until(lambda: len(world.other.got) == sent)
    assert [message["n"] for message, _ in world.other.got] == list(range(sent))
    assert (room, channel.waiting) == ([None], 0)
    channel.room().addCallback(room.append)
    assert len(room) == 2


def test_questions(world: World) -> None:
    """Each has its answer, now or later, in any order, or a reason why it has none."""
    later: Deferred[Message] = Deferred()
    answers: list[Any] = []

    def answer(message: dict[str, Any]) -> Message | Deferred[Message]:
        if message["n"] == 1:
            return later
        if message["n"] == 2:
            raise RuntimeError("no idea")
        return {"twice": 2 * message["n"]}

    world.other.answer = answer
    for n in range(4):
        world.one.channel.ask({"n": n}).addBoth(answers.append)
    world.until(lambda: len(answers) == 3)
    failure = answers.pop(1)
    assert failure.check(NotAnswered)
    assert failure.getErrorMessage() == "no idea"
    later.callback({"late": 1})
    world.until(lambda: len(answers) == 3)
    assert answers == [{"twice": 0}, {"twice": 6}, {"late": 1}]


def test_nobodyAnswers(world: World) -> None:
    """Without a callback a question is refused, and its descriptors are closed."""
    gc.collect()
    a, b = channels()
    got: list[Any] = []
    mute = Channel(b, world.watcher, world.unexpected, got.append)
    asking = Channel(a, world.watcher, world.unexpected, got.append)
    mute.start()
    asking.start()
    asking.ask({}, [a.fileno()]).addBoth(got.append)
    world.until(lambda: got)
    assert got[0].check(NotAnswered)
    asking.close()
    world.until(lambda: got[1:])
    assert got[1:] == ["the other side is gone"]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"x", "it is too short"),
        (HEAD.pack(b"x", 0) + b"{}", "of no known kind"),
        (HEAD.pack(b".", 0) + b"[]", "it is no object"),
        (HEAD.pack(b".", 0) + b"{", "Expecting property name"),
        (HEAD.pack(b".", 0) + b"\xff{}", "codec can't decode"),
        (HEAD.pack(b".", 0) + b"[" * 40_000, "no message"),
        (HEAD.pack(b"!", 7) + b"{}", "it answers what was not asked"),
        (HEAD.pack(b".", 0) + b" " * 60_000, "were cut off"),
    ],
)
def test_noMessage(world: World, octets: bytes, why: str) -> None:
    """What is none closes the channel, and descriptors with it."""
    assert why in raw(world, octets, (0,))
    assert world.other.got == []
    assert not world.other.channel.isOpen


def test_whatTheCalleeRefuses(world: World) -> None:
    """A message that should not come closes the channel, too."""
    world.other.refuses = True
    assert "not now" in raw(world, HEAD.pack(b".", 0) + b"{}")


def test_theEnd(world: World) -> None:
    """What was asked fails, on both sides; nothing can be sent any more."""
    failures: list[Any] = []
    never: Deferred[Message] = Deferred()
    world.other.answer = lambda _: never
    world.one.channel.ask({}).addErrback(failures.append)
    world.settle()
    world.other.channel.close()
    never.callback({})
    world.until(lambda: world.one.closed)
    assert world.one.closed == ["the other side is gone"]
    assert world.other.closed == []
    assert [failure.check(ChannelGone) for failure in failures] == [ChannelGone]
    for end in (world.one, world.other):
        with pytest.raises(ChannelGone):
            end.channel.send({})
        with pytest.raises(ChannelGone):
            _ = end.channel.peer
        end.channel.room().addErrback(failures.append)
        assert not end.channel.wait(0)
    assert len(failures) == 3


def test_theEndIsFoundByAQuestion(world: World) -> None:
    """
    What is asked when the other side has gone, and that is not known yet, fails: it
    waits for no answer.
    """
    world.one.channel.close()
    asked = world.other.channel.ask({"what": "now"})
    failures: list[Any] = []
    asked.addErrback(failures.append)
    world.until(lambda: failures)
    assert [each.type for each in failures] == [ChannelGone]
    assert len(world.other.closed) == 1
    with pytest.raises(ChannelGone):
        world.other.channel.ask({"what": "more"})


@pytest.mark.parametrize("unread", [False, True])
def test_whatItSaidBeforeItsEnd(world: World, unread: bool) -> None:
    """It is read, also when this side speaks first, or has said what was not read."""
    if unread:
        world.other.channel.send({"unread": 1})
    for n in range(3):
        world.one.channel.send({"n": n})
    world.one.channel.close()
    world.other.channel.send({"in": "vain"})
    world.until(lambda: world.other.closed)
    assert [message for message, _ in world.other.got] == [{"n": n} for n in range(3)]
    assert world.other.closed == ["the other side is gone"]


def test_whatWaitsIsSent(world: World) -> None:
    """Before the end of a process, for as long as it may take."""
    a, b = channels()
    b.setblocking(True)
    over: list[str] = []
    ending = Channel(a, world.watcher, world.unexpected, over.append)
    text = "x" * 40_000
    for n in range(8):
        ending.send({"n": n, "text": text})
    assert ending.waiting
    ending.flush(0.01)
    assert ending.waiting
    got: list[bytes] = []
    reading = threading.Thread(
        target=lambda: got.extend(iter(lambda: b.recv(1 << 17), b""))
    )
    reading.start()
    ending.flush(30)
    assert not ending.waiting
    ending.close()
    reading.join()
    b.close()
    assert over == []
    assert [each[HEAD.size : HEAD.size + 6] for each in got] == [
        b'{"n":%d' % n for n in range(8)
    ]


def test_withoutALoop() -> None:
    """Before it starts it can be waited for; what came before the end is read."""
    loop = WatchedLoop()
    a, b = channels()
    got: list[Any] = []
    one = Channel(a, loop.watcher, lambda *_: None, got.append)
    other = Channel(b, loop.watcher, lambda message, _: got.append(message), got.append)
    assert not other.wait(0)
    assert other.peer == (os.getpid(), os.getuid())
    one.send({"n": 1})
    one.send({"n": 2})
    assert other.wait(5)
    assert got == [{"n": 1}, {"n": 2}]
    one.send({"n": 3})
    one.close()
    other.wait(5)
    assert got[2:] == [{"n": 3}, "the other side is gone"]
    loop.closeLoop()
