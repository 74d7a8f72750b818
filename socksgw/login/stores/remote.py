"""
What checkers that ask a server have in common.

Their questions are bounded in number and time, and fail in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any, Final, TypeVar, final
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.interfaces import Settings
from socksgw.login.credentials import strip
from socksgw.login.refusal import WRONG, Refused, busy
from socksgw.system.fairly import ASKING, FairQueue
from socksgw.system.once import Once
from socksgw.system.threads import NeverBegun
from socksgw.system.tlspeer import TLSPeer

__all__ = [
    "Evenly",
    "Turns",
    "Unavailable",
    "isLoopback",
    "nameOf",
    "trustIn",
    "urlIn",
    "within",
]

_log = Logger()

T = TypeVar("T")

#: Seconds that a refusal waits at most to be like others.
_EVEN: Final = 0.25
_HOUR: Final = 3600.0
#: Questions under way and waiting, of one checker. Each waits for a client, as long
#: as that may take for its handshake: this only bounds what strangers can have held.
_MOST: Final = 8192


class Unavailable(Refused):
    """
    The store gave no answer: the login is refused.

    @ivar alone: whether that says something of this question only, and nothing
        of the store.
    """

    def __init__(self, why: str, alone: bool = False) -> None:
        super().__init__("store-unavailable", why)
        self.alone = alone


def nameOf(octets: bytes) -> str:
    """
    Return a name as the client sent it, for stores of text.

    @raise Refused: it is no text, or has what no name has.
    """
    try:
        name = octets.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Refused(WRONG) from None
    if not name or not name.isprintable():
        raise Refused(WRONG)
    return name


async def within(reactor: Any, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """
    Do something, for so long at most; then it is cancelled.

    @raise TimeoutError: it took longer.
    """
    running: Deferred[T] = Deferred.fromCoroutine(work)
    timer = reactor.callLater(seconds, running.cancel)
    try:
        return await running
    except CancelledError:
        if timer.active():
            raise
        raise TimeoutError() from None
    finally:
        if timer.active():
            timer.cancel()


@final
class Turns:
    """
    Questions of one checker: so many at a time, and some that wait.

    Each has a time, the waiting included.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        atOnce: int,
        seconds: float,
        most: int | None = None,
    ) -> None:
        """
        Begin with no question.

        @param name: the checker's, for the log.
        @param atOnce: questions under way.
        @param seconds: for each, the waiting included.
        @param most: questions under way and waiting; by default many.
        """
        self._reactor = reactor
        self._name = name
        self._trouble = Once()
        self._seconds = seconds
        self._free = atOnce
        self._most = (_MOST if most is None else most) - atOnce
        self._waiting: FairQueue[Deferred[None]] = FairQueue()

    def ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Ask when it is the turn of the source that asks.

        That is the one in L{ASKING<socksgw.system.fairly.ASKING>}.

        @return: fails with L{Unavailable} when there is no answer in time. When too
            many wait, the last question of the source that has most of them fails with
            L{Refused}.
        """
        source = ASKING.get()

        def cancelled(turn: Deferred[None]) -> None:
            self._waiting.remove(source, turn)
            turn.errback(NeverBegun())

        turn: Deferred[None] = Deferred(cancelled)
        self._waiting.push(source, turn)
        asking: Deferred[T] = Deferred.fromCoroutine(
            within(self._reactor, self._seconds, self._inTurn(turn, work))
        )
        asking.addBoth(self._over)
        self._next()
        if len(self._waiting) > self._most:
            self._waiting.drop(source).errback(busy())
        return asking

    def _next(self) -> None:
        while self._free and (found := self._waiting.pop()) is not None:
            self._free -= 1
            found[1].callback(None)

    async def _inTurn(
        self, turn: Deferred[None], work: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        await turn
        try:
            return await work()
        finally:
            self._free += 1
            self._next()

    def _over(self, result: Any) -> Any:
        failing: Unavailable | None = None
        if isinstance(result, Failure):
            # Its frames hold it, and the question: a password, say.
            strip(result.value)
            result.tb = None
            if result.check(TimeoutError):
                failing = Unavailable("no answer in time")
                result = Failure(failing)
            elif isinstance(result.value, Unavailable):
                if result.value.alone:
                    return result
                failing = result.value
            elif not isinstance(result.value, Refused):
                return result
        if failing is None:
            if self._trouble.ends():
                _log.info("{name} can be asked again", name=self._name)
        elif self._trouble.begins():
            _log.warn("{name} cannot be asked: {why}", name=self._name, why=failing.why)
        return result


@final
class Evenly:
    """
    Let refusals take as long as the slowest of the last hour, within bounds.

    Else the time would tell whether a directory has found a user, or hashed a wrong
    password.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._slowest = 0.0
        self._since = 0.0
        self._before = 0.0

    def __call__(self, asking: Deferred[T]) -> Deferred[T]:
        """Delay the refusal of a login that is under way."""
        began = self._reactor.seconds()

        def refused(failure: Failure) -> Any:
            if isinstance(failure.value, Unavailable) or failure.check(CancelledError):
                return failure
            left = self._left(self._reactor.seconds() - began)
            if left <= 0:
                return failure
            return deferLater(self._reactor, left, failure.raiseException)

        return asking.addErrback(refused)

    def _left(self, took: float) -> float:
        now = self._reactor.seconds()
        if now - self._since > _HOUR / 2:
            self._before = self._slowest if now - self._since <= _HOUR else 0.0
            self._slowest, self._since = 0.0, now
        self._slowest = max(self._slowest, min(took, _EVEN))
        return max(self._slowest, self._before) - took


def isLoopback(host: str) -> bool:
    """Return whether a host in a URL is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def trustIn(settings: Settings) -> Any:
    """
    Return which certificates are believed: those in the file C{ca}.

    Without that key, those that the system believes.
    """
    if "ca" not in settings:
        return platformTrust()
    octets = settings.content("ca")
    if not octets:
        return platformTrust()
    end = b"-----END CERTIFICATE-----"
    blocks = [part + end for part in octets.split(end)[:-1]]
    try:
        if not blocks:
            raise ValueError("no certificate")
        return trustRootFromCertificates([Certificate.loadPEM(b) for b in blocks])
    except Exception:
        # pyOpenSSL and cryptography raise several kinds.
        settings.wrong("ca", "is not a file of certificates in PEM")
        return platformTrust()


def urlIn(
    settings: Settings,
    key: str,
    risk: str,
    cleartext: bool,
    trust: Any,
    peers: dict[str, TLSPeer],
) -> str:
    """
    Return the URL of a service.

    @param risk: what C{http://} to another host means, and the remedy.
    @param cleartext: whether that is accepted.
    @param peers: gets whom the service has to be, by the URL's host.
    """
    url = settings.word(key)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        if type(settings.get(key, "")) is str:
            settings.wrong(key, "must be a URL such as https://decide.example/path")
    elif parts.username is not None:
        settings.wrong(key, "must hold no secret; use token_file")
    elif parts.scheme == "http" and not cleartext and not isLoopback(host):
        settings.wrong(key, f'"{url}" {risk}')
    elif not url.isascii():
        settings.wrong(key, "must be ASCII; names and paths have forms in it")
    elif parts.scheme == "https":
        try:
            peers[host] = TLSPeer(host, trust)
        except ValueError as e:
            settings.wrong(key, str(e))
    return url
