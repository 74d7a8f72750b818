"""
Checks of credentials that are under way.

Clients that log in by equal credentials at the same time wait for one check. When
the last of them has gone, it goes on in the background, and what it says counts:
else a right password of an impatient client would count as a wrong one, or each
guess that its client does not wait for would be free.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, final

from twisted.cred.error import LoginFailed
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.login.credentials import forget, strip
from socksgw.login.realm import SocksUser
from socksgw.login.refusal import WRONG, Refused
from socksgw.login.throttle import LoginThrottle
from socksgw.system.threads import NeverBegun
from socksgw.wire.address import Address

__all__ = ["Checks", "reportFailure"]

_log = Logger()

#: Checks of one source that go on at a time while no client waits for them. The
#: threads and connections that they take are bounded by source besides.
_DESERTED: Final = 16
#: Seconds after which such a check is given up. What checkers bring along answers
#: in less than half of that; one that does not tells a guesser nothing.
_SECONDS: Final = 60.0

#: Asks the checkers about credentials, of a digest and a method.
Ask = Callable[[object, Any, str], Coroutine[Any, Any, SocksUser]]
#: Counts credentials of a source that were refused, under their digest.
Refuse = Callable[[object, Any, Address, Refused | None], None]


def reportFailure(error: BaseException) -> None:
    """Log that a checker failed, by neither text nor traceback: both may hold a secret."""
    _log.error("a checker failed: {kind}", kind=type(error).__qualname__)


class _Check:
    """
    One check.

    @ivar running: the check itself.
    @ivar waiting: those who wait for it.
    @ivar credentials: what is checked.
    @ivar released: whether the client that brought the credentials has an answer,
        or is gone.
    @ivar number: how many checks there were before it.
    @ivar begun: L{False} where it was cancelled before its turn came.
    @ivar source: of the last client that has gone, while none waits.
    @ivar timer: ends the check meanwhile.
    """

    __slots__ = (
        "begun", "credentials", "key", "number", "released", "running", "source", "timer",
        "waiting",
    )  # fmt: skip

    running: Deferred[Any]

    def __init__(self, number: int, key: object, credentials: Any) -> None:
        self.number = number
        self.key = key
        self.credentials = credentials
        self.waiting: list[Deferred[SocksUser]] = []
        self.released = False
        self.begun = True
        self.source: Address | None = None
        self.timer: Any = None


@final
class Checks:
    """The checks of one generation."""

    def __init__(
        self,
        ask: Ask,
        refuse: Refuse,
        throttle: LoginThrottle | None,
    ) -> None:
        """
        Make an empty set of checks.

        @param ask: checks credentials.
        @param refuse: called for a check that no client has waited for, with what it
            says; L{None} when it was given up after it had begun.
        @param throttle: counts failures. Without one, a check is given up as soon as
            no client waits for it.
        """
        self._ask = ask
        self._refuse = refuse
        self._throttle = throttle
        # By the digest of the credentials.
        self._shared: dict[object, _Check] = {}
        # By the credentials that they use.
        self._using: dict[int, _Check] = {}
        self._deserted: dict[bytes, list[_Check]] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._using)

    def of(
        self, key: object, credentials: Any, method: str, source: Address
    ) -> Deferred[SocksUser]:
        """
        Have credentials checked.

        @param key: their digest; L{None} to share the check with no other client.
        @return: fires with the user, or with the checkers' failure.
        """
        check = None if key is None else self._shared.get(key)
        if check is None:
            check = _Check(next(self._numbers), key, credentials)
            self._using[id(credentials)] = check
            if key is not None:
                self._shared[key] = check
            answer = self._wait(check, source)
            check.running = Deferred.fromCoroutine(self._run(check, method))
            check.running.addBoth(self._over, check)
            return answer
        self._resume(check)
        return self._wait(check, source)

    def release(self, credentials: Any) -> None:
        """
        Have credentials drop their secret.

        They drop it now, or when the check that uses them is over.
        """
        check = self._using.get(id(credentials))
        if check is None:
            forget(credentials)
        else:
            check.released = True

    def part(self) -> None:
        """Have the checks under way answer those who wait now, and no later login."""
        self._shared.clear()

    # Each check.

    def _wait(self, check: _Check, source: Address) -> Deferred[SocksUser]:
        def gone(waiting: Deferred[SocksUser]) -> None:
            check.waiting.remove(waiting)
            if not check.waiting:
                self._desert(check, source)

        answer: Deferred[SocksUser] = Deferred(gone)
        check.waiting.append(answer)
        return answer

    async def _run(self, check: _Check, method: str) -> SocksUser:
        try:
            return await self._ask(check.key, check.credentials, method)
        except CancelledError as e:
            # Who waited for a turn in vain has guessed nothing.
            check.begun = not isinstance(e, NeverBegun)
            raise
        except Exception as e:
            if check.source is not None:
                self._judge(check, e)
            raise
        finally:
            del self._using[id(check.credentials)]
            self._resume(check)
            self._unshare(check)
            if check.released:
                forget(check.credentials)

    def _over(self, result: SocksUser | Failure, check: _Check) -> None:
        if isinstance(result, Failure):
            # No frame of it holds it, or the password, while the others go on.
            strip(result.value)
            result.tb = None
        while check.waiting:
            each = check.waiting.pop(0)
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(result)

    def _unshare(self, check: _Check) -> None:
        if self._shared.get(check.key) is check:
            del self._shared[check.key]

    # Without a client.

    def _desert(self, check: _Check, source: Address) -> None:
        """
        Let a check go on that no client waits for any more, if it may.

        @param source: of the last of them.
        """
        throttle = self._throttle
        if throttle is None or not throttle.counts:
            self._drop(check, source)
            return
        alone = self._deserted.setdefault(source.sourceKey, [])
        alone.append(check)
        check.source = source
        check.timer = throttle.callLater(_SECONDS, self._giveUp, check)
        if len(alone) > _DESERTED:
            # The checks of a source begin in the order in which they came. One that has
            # not begun can be given up without being counted as a failed login.
            last = max(alone, key=lambda each: each.number)
            assert last.source is not None
            source = last.source
            self._resume(last)
            self._drop(last, source)

    def _drop(self, check: _Check, source: Address) -> None:
        """Give up a check at once; it counts if it has begun."""
        self._unshare(check)
        # What is refused needs them for another moment.
        released, check.released = check.released, False
        check.running.cancel()
        if check.begun:
            self._refuse(check.key, check.credentials, source, None)
        if released:
            forget(check.credentials)

    def _resume(self, check: _Check) -> None:
        """Count a check as deserted no longer: a client waits for it, or it is over."""
        if check.source is None:
            return
        source = check.source.sourceKey
        alone = self._deserted[source]
        alone.remove(check)
        if not alone:
            del self._deserted[source]
        check.source = None
        timer, check.timer = check.timer, None
        if timer.active():
            timer.cancel()

    def _giveUp(self, check: _Check) -> None:
        self._unshare(check)
        check.running.cancel()

    def _judge(self, check: _Check, error: Exception) -> None:
        """Count what a check says that no client has waited for."""
        assert check.source is not None
        if isinstance(error, Refused):
            self._refuse(check.key, check.credentials, check.source, error)
        elif isinstance(error, LoginFailed):
            self._refuse(check.key, check.credentials, check.source, Refused(WRONG))
        else:
            reportFailure(error)
