"""
Lines of the journal that another process of the gateway writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure

from socksgw.audit.journal import Journal
from socksgw.audit.waiting import Waiting, fail, fire
from socksgw.system.channel import Channel, ChannelError, Message

__all__ = ["GivenLines", "write"]

#: Lines of one message.
_AT_ONCE: Final = 200


@final
class GivenLines:
    """Has the process at the other end of a channel write lines."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._last: Deferred[None] = succeed(None)

    def __call__(self, lines: Sequence[Waiting]) -> Deferred[None]:
        """
        Have lines written, in their order.

        @return: fires when they are, or cannot be.
        """
        for at in range(0, len(lines), _AT_ONCE):
            self._last = self._give(lines[at : at + _AT_ONCE])
        return self._last

    def _give(self, lines: Sequence[Waiting]) -> Deferred[None]:
        told = [[body, w is not None, stranger] for body, w, stranger in lines]

        def written(answer: Message) -> None:
            failed = {int(i): str(why) for i, why in answer["failed"]}
            for i, line in enumerate(lines):
                if i in failed:
                    fail([line], failed[i])
                else:
                    fire([line])

        def lost(failure: Failure) -> None:
            failure.trap(ChannelError)
            fail(lines, f"the process that writes the journal: {failure.value}")

        try:
            asked = self._channel.ask({"what": "lines", "lines": told})
        except ChannelError:
            asked = Deferred()
            asked.errback()
        return asked.addCallbacks(written, lost)


def write(journal: Journal, message: Message) -> Deferred[Message]:
    """
    Write the lines that another process gives.

    @return: the answer to it, when those that requests wait for are written.
    @raise ValueError: these are none.
    """
    failed: list[tuple[int, str]] = []
    waits: list[Deferred[Any]] = []
    for i, (body, awaited, stranger) in enumerate(message["lines"]):
        if not (
            type(body) is str
            and body.isascii()
            and body.startswith('"event":"')
            and "\n" not in body
        ):
            raise ValueError("it is no line of a journal")
        if awaited:
            committed = journal.commit(body, bool(stranger))
            waits.append(committed.addErrback(_noting(failed, i)))
        else:
            journal.append(body, bool(stranger))
    return gatherResults(waits).addCallback(lambda _: {"failed": failed})


def _noting(failed: list[tuple[int, str]], i: int) -> Callable[[Failure], None]:
    """Return what takes note that a line is not written."""
    return lambda failure: failed.append((i, str(failure.value)))
