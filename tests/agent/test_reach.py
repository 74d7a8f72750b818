"""
When the gateway is tried, and what is said.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from socksgw.agent.reach import Reach
from socksgw.agent.trouble import Trouble

NO_TICKET = Trouble("no-ticket", "there is no ticket", "kinit")
EXPIRED = Trouble("ticket-expired", "the ticket has expired", "kinit")
UNREACHED = Trouble("unreachable", "gw is not reached", "is it up?")


class User:
    """
    Everything around a L{Reach}, whose clock the test sets.

    @ivar local: what is wrong with the credentials.
    @ivar remote: what a trial finds.
    @ivar trials: when there was one.
    @ivar said: what was said.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.local: Trouble | None = None
        self.remote: Trouble | None = None
        self.trials: list[float] = []
        self.said: list[Trouble | None] = []
        self.waiting: Deferred[Trouble | None] | None = None
        self.reach = Reach(
            self.clock, lambda: succeed(self.local), self._try, self.said.append
        )

    def _try(self) -> Deferred[Trouble | None]:
        self.trials.append(self.clock.seconds())
        return succeed(self.remote) if self.waiting is None else self.waiting

    def passes(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.pump([1.0] * seconds)


@pytest.fixture
def user() -> Iterator[User]:
    """A user, whose agent is stopped at the end."""
    made = User()
    yield made
    made.reach.stop()
    assert not made.clock.getDelayedCalls()


def test_works(user: User) -> None:
    """It is said once, and not asked again without a reason."""
    user.reach.start()
    user.passes(3600)
    assert user.said == [None]
    assert user.trials == [0]


def test_withoutCredentials(user: User) -> None:
    """The gateway is not bothered; one line for each kind of trouble."""
    user.local = NO_TICKET
    user.reach.start()
    user.passes(60)
    assert (user.said, user.trials) == ([NO_TICKET], [])
    user.local = None
    user.passes(5)
    assert (user.said, user.trials) == ([NO_TICKET, None], [62])
    user.local = EXPIRED
    user.passes(60)
    user.local = EXPIRED._replace(what="expired an hour ago")
    user.passes(60)
    user.local = NO_TICKET
    user.passes(60)
    assert user.said == [NO_TICKET, None, EXPIRED, NO_TICKET]


def test_unreachable(user: User) -> None:
    """It is tried ever less often, up to once a minute, and at once after sleep."""
    user.remote = UNREACHED
    user.reach.start()
    user.passes(600)
    assert user.said == [UNREACHED]
    gaps = [b - a for a, b in zip(user.trials, user.trials[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 2
    assert set(gaps[-5:]) == {60}
    user.remote = None
    user.reach.renew()
    assert user.said == [UNREACHED, None]
    user.reach.renew(other=True)
    assert user.said == [UNREACHED, None, None]


def test_doubt(user: User) -> None:
    """Many sessions that fail are one reason; what was only a moment is not said."""
    user.reach.start()
    user.passes(10)
    for _ in range(100):
        user.reach.doubt()
    assert user.trials == [0, 10]
    user.passes(2)
    assert user.trials == [0, 10, 12]
    assert user.said == [None]
    user.remote = UNREACHED
    user.passes(10)
    user.reach.doubt()
    user.passes(10)
    assert user.said == [None, UNREACHED]
    user.remote = None
    user.passes(60)
    assert user.said == [None, UNREACHED, None]


def test_oneAtATime(user: User) -> None:
    """A trial that waits for its gateway is the only one."""
    user.waiting = Deferred()
    user.reach.start()
    user.passes(20)
    user.reach.renew()
    assert user.trials == [0]
    waiting, user.waiting = user.waiting, None
    waiting.callback(UNREACHED)
    user.passes(5)
    assert (len(user.trials), user.said) == (2, [UNREACHED, None])
