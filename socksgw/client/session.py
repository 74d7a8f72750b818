"""
Sessions with SOCKS 6 proxies, and their idempotence tokens (draft -11, sections 8.4, 8.5).
"""

from __future__ import annotations

from typing import Final, final

from socksgw.wire.socks6options import (
    WINDOW_LIMIT,
    AuthOptions,
    Kind,
    encodeOption,
    encodeSession,
    encodeToken,
    encodeWindowRequest,
)

__all__ = ["Part", "Session"]

_MODULUS: Final = 1 << 32
_HALF: Final = 1 << 31


@final
class _Tokens:
    """
    The window of a session, as far as the client knows it.

    Each token is spent by one request, the smaller ones first.
    """

    __slots__ = ("_base", "_next", "_size", "_unanswered")

    def __init__(self, base: int, size: int) -> None:
        self._base = self._next = base
        self._size = size
        # Tokens of requests that are not answered, in the order of spending.
        self._unanswered: dict[int, None] = {}

    def told(self, base: int, size: int) -> None:
        """Take note of a window: an older one than is known counts for nothing."""
        if (base - self._base) % _MODULUS >= _HALF:
            return
        self._base, self._size = base, size
        if 0 < (base - self._next) % _MODULUS < _HALF:
            self._next = base

    @property
    def isUsedUp(self) -> bool:
        """Whether there is no token left, and no answer awaited that may bring more."""
        spent = (self._next - self._base) % _MODULUS
        return spent >= self._size and not self._unanswered

    def take(self) -> int | None:
        """
        Return the next token; L{None} if there is none.

        The proxy may move the window when it sees a token of its upper part. So all
        tokens that are under way are of one half: none of them falls out of it.
        """
        token = self._next
        if (token - self._base) % _MODULUS >= self._size:
            return None
        for oldest in self._unanswered:
            if (token - oldest) % _MODULUS >= self._size // 2:
                return None
            break
        self._next = (token + 1) % _MODULUS
        self._unanswered[token] = None
        return token

    def answered(self, token: int) -> None:
        """Take note that a request is over."""
        self._unanswered.pop(token, None)


@final
class Session:
    """
    A session with one SOCKS 6 proxy, for any number of requests, also at a time.

    The first request logs in, and asks for the session. The requests after it have the
    session's ID instead of a login: they take one round trip, whatever the login is.
    Until the session has begun, and where the proxy has none, each request logs in. If
    the proxy knows the session no more, or refuses the token, the request logs in on a
    new connection, and asks for a new session. A request with initial data whose token
    is refused is not made again (L{TokenRefused<socksgw.client.errors.TokenRefused>}).

    The ID stands for the login: a session is for one proxy and one login. A session
    that has begun inside TLS is used inside TLS alone, and one in clear in clear alone,
    where whoever reads the ID can use it, as far as the proxy lets him.
    """

    def __init__(self, tokens: int = 0) -> None:
        """
        Make one that has not begun.

        @param tokens: the size of the window of tokens to ask for; the proxy may grant
            fewer, or none. With a window each request in the session spends a token,
            and a request that a network delivers twice is served once. The request that
            begins a session spends none, nor does one for which no token is left until
            others are answered. If the proxy does not move the window on, another
            session begins.
        @raise ValueError: a window has fewer than 2^31 tokens.
        """
        if not 0 <= tokens < WINDOW_LIMIT:
            raise ValueError(f"a window has fewer than {WINDOW_LIMIT} tokens")
        self._wanted = tokens
        self._beginning = False
        self._id = b""
        self._secured = False
        self._tokens: _Tokens | None = None

    @property
    def isOpen(self) -> bool:
        """Whether the session has begun, and neither side has ended it."""
        return bool(self._id)

    def part(self, secured: bool, first: bool = False) -> Part:
        """
        Begin a request.

        @param secured: whether it is inside TLS.
        @param first: whether it is not to be of the session that has begun.
        """
        if self._tokens is not None and self._tokens.isUsedUp:
            # The proxy does not move the window: a session has no second one.
            self._lost(self._id)
        if not self._id:
            begins, self._beginning = not self._beginning, True
            return Part(self, begins, b"", secured)
        if first or self._secured is not secured:
            return Part(self, False, b"", secured)
        return Part(self, False, self._id, secured, self._tokens)

    def teardown(self, secured: bool) -> bytes:
        """
        Forget the session, and return the options that end it; empty if there is none.

        @param secured: as of L{part}.
        """
        session, self._id, self._tokens = self._id, b"", None
        if not session or self._secured is not secured:
            return b""
        return encodeSession(session) + encodeOption(Kind.SESSION_TEARDOWN)

    def _request(self, part: Part) -> bytes:
        """Return the options of a request."""
        found = b""
        if part.begins:
            found = encodeOption(Kind.SESSION_REQUEST)
        elif part.presented:
            found = encodeSession(part.presented)
        if found and self._wanted and self._tokens is None:
            # A window that is not granted is asked for again.
            found += encodeWindowRequest(self._wanted)
        return found

    def _begun(self, session: bytes, secured: bool) -> None:
        self._id, self._secured, self._tokens = session, secured, None

    def _told(self, session: bytes, window: tuple[int, int]) -> None:
        """Take note of a window, if it is of the session that is known."""
        if not self._wanted or session != self._id:
            return
        if self._tokens is None:
            self._tokens = _Tokens(*window)
        else:
            self._tokens.told(*window)

    def _lost(self, session: bytes) -> None:
        """Forget a session, if no other one has begun meanwhile."""
        if session == self._id:
            self._id, self._tokens = b"", None

    def _over(self) -> None:
        """Take note that the request which asks for the session is over."""
        self._beginning = False


@final
class Part:
    """
    What one request has of a session.

    @ivar begins: whether it asks for the session.
    @ivar presented: the session's ID, which stands for a login; empty for none.
    @ivar token: what it spends; L{None} for nothing.
    """

    __slots__ = ("_secured", "_session", "_tokens", "begins", "presented", "token")

    def __init__(
        self,
        session: Session,
        begins: bool,
        presented: bytes,
        secured: bool,
        tokens: _Tokens | None = None,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._secured = secured
        self.begins = begins
        self.presented = presented
        self.token = tokens.take() if tokens is not None else None

    @property
    def options(self) -> bytes:
        """The options of the request."""
        found = self._session._request(self)
        return found if self.token is None else found + encodeToken(self.token)

    def told(self, succeeded: bool, options: AuthOptions) -> None:
        """
        Take note of an authentication reply.

        @param succeeded: whether it lets the client in.
        """
        session = self.presented
        if self.begins and succeeded and options.session is not None:
            session = options.session
            self._session._begun(session, self._secured)
        elif session and not (succeeded and options.sessionOK):
            # The proxy does not know it, or knows of no sessions, or the tokens are not
            # those that are known here.
            self._session._lost(session)
        if succeeded and session and options.window is not None:
            self._session._told(session, options.window)

    def over(self) -> None:
        """Take note that no authentication reply is awaited any more."""
        if self.begins:
            self._session._over()
        if self.token is not None and self._tokens is not None:
            self._tokens.answered(self.token)
