"""
Where the keys of an issuer come from: a file, or a URL.

While they cannot be had, those that were had last count for a time; then no token is
good.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.login.refusal import Refused
from socksgw.login.stores.httpservice import JSONService
from socksgw.login.stores.keyset import KeySet
from socksgw.login.stores.remote import Unavailable, within
from socksgw.system.files import FileError, readOwn, readSecret, stampOf, unreadable
from socksgw.system.once import Once

__all__ = ["FileKeys", "KeySource", "URLKeys"]

_log = Logger()

#: Seconds from one question to a server to the next at least, whatever tokens come.
AGAIN: Final = 10.0

#: Reads a set; raises C{ValueError}.
Parse = Callable[[bytes], KeySet]


class KeySource(Protocol):
    """
    The keys of one issuer.

    @ivar state: differs where the keys do.
    @ivar trouble: why they cannot be had now, a line for the operator; or nothing.
    """

    state: object
    trouble: str

    def look(self) -> None:
        """Read the file again if it has changed."""

    async def current(self) -> KeySet:
        """
        Return the keys that count now.

        @raise Unavailable: there are none.
        """

    async def newer(self) -> KeySet | None:
        """
        Ask again, for a token names a key that is not known.

        @return: L{None} where it was asked just now.
        """


@final
class FileKeys:
    """
    Keys in a file, which is read again when it changes.

    A file that cannot be used leaves the keys as they were.
    """

    def __init__(
        self, path: Path, parse: Parse, hold: float, clock: Callable[[], float]
    ) -> None:
        """
        Read the file.

        @param hold: how many seconds the last keys count while it cannot be used.
        @param clock: monotonic seconds.
        @raise ValueError: it cannot be used; the text names it and the remedy.
        """
        self._path = path
        self._parse = parse
        self._hold = hold
        self._clock = clock
        self._stamp: object = stampOf(path)
        self._bad: float | None = None
        self.trouble = ""
        self._keys = self._read()

    def _read(self) -> KeySet:
        """
        @raise ValueError: it cannot be used.
        """
        try:
            octets = readOwn(self._path)
            keys = self._parse(octets)
        except OSError as e:
            raise ValueError(unreadable(self._path, e)) from None
        except FileError as e:
            raise ValueError(str(e)) from None
        except ValueError as e:
            raise ValueError(f"{self._path}: {e}") from None
        # Not the file's age: a reload may have read it, too.
        self.state: object = sha256(octets).digest()
        return keys

    def look(self) -> None:
        """As L{KeySource.look}; a C{stat(2)} while nothing changes."""
        stamp = stampOf(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = self._read()
        except ValueError as e:
            if self._bad is None:
                self._bad = self._clock()
            trouble = f"{e}; the keys that it had count for {self._hold:g} s more"
            if trouble != self.trouble:
                _log.error("{why}", why=trouble)
            self.trouble = trouble
            return
        self._bad, self.trouble = None, ""
        _log.info("{path}: read again", path=str(self._path))

    async def current(self) -> KeySet:
        """As L{KeySource.current}."""
        self.look()
        if self._bad is not None and self._clock() - self._bad > self._hold:
            raise Unavailable(self.trouble.partition(";")[0])
        return self._keys

    async def newer(self) -> None:
        """Return nothing: the file is read as soon as it changes."""


@final
class URLKeys:
    """
    Keys that a server publishes.

    All who need them wait for one answer. It is not asked before somebody logs in.
    """

    def __init__(
        self,
        reactor: Any,
        service: JSONService,
        url: str,
        parse: Parse,
        seconds: float,
        refresh: float,
        hold: float,
        token: Path | None = None,
    ) -> None:
        """
        Ask nothing yet.

        @param seconds: that an answer may take.
        @param refresh: how long an answer counts.
        @param hold: how long the last one counts while there is no other.
        @param token: the file of what the server is told (RFC 6750): read for each
            question, since such tokens are renewed.
        """
        self._reactor = reactor
        self._service = service
        self._url = url
        self._parse = parse
        self._seconds = seconds
        self._refresh = refresh
        self._hold = hold
        self._token = token
        self._once = Once()
        self._keys: KeySet | None = None
        self._said = 0.0
        self._asked: float | None = None
        self._waiting: list[Deferred[None]] | None = None
        self.state: object = None
        self.trouble = ""

    def look(self) -> None:
        """Do nothing: the next login asks when it is time."""

    @property
    def _now(self) -> float:
        now: float = self._reactor.seconds()
        return now

    @property
    def _mayAsk(self) -> bool:
        return (
            self._waiting is not None
            or self._asked is None
            or self._now - self._asked >= AGAIN
        )

    async def current(self) -> KeySet:
        """As L{KeySource.current}."""
        keys = self._keys
        if keys is not None and self._now - self._said < self._refresh:
            return keys
        if self._mayAsk:
            await self._ask()
        keys = self._keys
        if keys is None or self._now - self._said > self._hold:
            raise Unavailable(self.trouble)
        return keys

    async def newer(self) -> KeySet | None:
        """As L{KeySource.newer}."""
        if not self._mayAsk:
            return None
        await self._ask()
        return None if self.trouble else self._keys

    def _ask(self) -> Deferred[None]:
        """Ask, or wait for the answer to come; failures are in C{trouble}."""
        waiting = self._waiting
        fresh = waiting is None
        if waiting is None:
            waiting = self._waiting = []
            self._asked = self._now
        answer: Deferred[None] = Deferred(waiting.remove)
        waiting.append(answer)
        if fresh:
            # It ends by itself when no login waits any more.
            asking = Deferred.fromCoroutine(
                within(self._reactor, self._seconds, self._fetch())
            )
            asking.addBoth(self._settled)
        return answer

    async def _fetch(self) -> None:
        token = b""
        if self._token is not None:
            try:
                token = readSecret(self._token).strip()
            except OSError as e:
                raise Unavailable(unreadable(self._token, e)) from None
            except FileError as e:
                raise Unavailable(str(e)) from None
        octets = await self._service.fetch(self._url, token)
        state = sha256(octets).digest()
        if state == self.state:
            return
        try:
            keys = self._parse(octets)
        except ValueError as e:
            raise Unavailable(f"an answer that cannot be used: {e}") from None
        self._keys, self.state = keys, state

    def _settled(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting or [], None
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, TimeoutError):
                why = f"no answer within {self._seconds:g} s"
            else:
                why = error.why if isinstance(error, Refused) else type(error).__name__
            self.trouble = f"{self._url} cannot be asked for keys: {why}"
            if self._once.begins():
                _log.warn(
                    "{why}; those it gave last count for {hold:g} s",
                    why=self.trouble,
                    hold=self._hold,
                )
        else:
            self._said, self.trouble = self._now, ""
            if self._once.ends():
                _log.info("{url} can be asked for keys again", url=self._url)
        while waiting:
            waiting.pop(0).callback(None)
