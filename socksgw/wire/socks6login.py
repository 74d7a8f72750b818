"""
The login of SOCKS 6: it comes with the request, or behind it.

A client may send the first message of a method in an option of its request
(draft-olteanu-intarea-socks-6-11 section 8.3). Where that is not enough, and the client
takes part in a login by messages, they follow the request and its initial data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from socksgw.wire.codes import SOCKS6, Method
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.socks6options import (
    NO_OPTIONS,
    Kind,
    RequestOptions,
    encodeAuthData,
    encodeOption,
    encodeSelected,
    encodeWindow,
)
from socksgw.wire.stacks import Stack

__all__ = ["Login6", "encodeAuthReply"]

_NONE: Final = int(Method.NO_AUTHENTICATION)
_NO_ACCEPTABLE: Final = int(Method.NO_ACCEPTABLE)
#: Octets of padding behind the message in an option, at most.
_PADDING: Final = 3


def encodeAuthReply(succeeded: bool, options: bytes = b"") -> bytes:
    """
    Return an authentication reply (section 6).

    @param options: encoded ones.
    """
    return bytes((SOCKS6, not succeeded)) + len(options).to_bytes(2, "big") + options


#: Of a request without options: the method that every client has.
_NOTHING_OFFERED: Final = (bytes((_NONE,)),)
_LET_IN: Final = encodeAuthReply(True)


@final
class Login6:
    """
    The login of one request (L{socksgw.wire.dialect.Login}).

    @ivar over: whether the client has been told how it ended.
    @ivar options: what the request's options say.
    @ivar early: the initial data, once it has been read.
    """

    __slots__ = (
        "_kept",
        "_method",
        "_mismatch",
        "_presented",
        "_said",
        "early",
        "options",
        "over",
    )

    def __init__(self, options: RequestOptions, mismatch: bytes = b"") -> None:
        """
        Take what a request says.

        @param mismatch: what a client is told that made none, instead of a reply.
        """
        self.options = options
        self._mismatch = mismatch
        self.over = False
        self.early = b""
        self._method = _NONE
        # The message of the option, until it is read; None as soon as messages follow
        # the request.
        self._presented: bytes | None = b""
        # What is to be told in options of the next reply: of the method, and of all
        # else.
        self._said = b""
        self._kept = b""

    @property
    def resumes(self) -> bytes | None:
        """As L{socksgw.wire.dialect.Login.resumes}; not in the request that ends it."""
        return None if self.options.endsSession else self.options.session

    @property
    def begins(self) -> bool:
        """Whether the client asks for a session."""
        return self.options.wantsSession

    @property
    def ends(self) -> bytes | None:
        """The ID of a session that is torn down (section 8.4.3)."""
        return self.options.session if self.options.endsSession else None

    @property
    def token(self) -> int | None:
        """The token that is spent."""
        return self.options.token

    @property
    def window(self) -> int:
        """The size of the window that is asked for."""
        return self.options.window

    @property
    def stack(self) -> Sequence[Stack]:
        """How the client wants the stacks (section 8.1)."""
        return self.options.stack

    def stacked(self, told: Sequence[Stack]) -> None:
        """Tell how they are, in the operation reply."""
        self.options.told = tuple(told)

    def begun(self, key: bytes) -> None:
        """Tell the session's ID: among the session options of this reply (8.4)."""
        self._tell(Kind.SESSION_ID, key)

    def resumed(self) -> None:
        """Tell that the request is of its session."""
        self._tell(Kind.SESSION_OK)

    def unknown(self) -> None:
        """Tell that there is no such session."""
        self._tell(Kind.SESSION_INVALID)

    def windowed(self, base: int, size: int) -> None:
        """Tell the window of tokens."""
        self._kept += encodeWindow(base, size)

    def spent(self, granted: bool) -> None:
        """Tell whether the token was spent."""
        kind = Kind.IDEMPOTENCE_ACCEPTED if granted else Kind.IDEMPOTENCE_REJECTED
        self._tell(kind)

    @property
    def offers(self) -> tuple[bytes, ...]:
        """The methods that the client can have, those first that cost no message."""
        options = self.options
        if options is NO_OPTIONS:
            return _NOTHING_OFFERED
        if not options.advertised:
            return (bytes((*options.data, _NONE)),)
        return bytes((*options.data, _NONE)), options.methods

    def presented(self, method: int) -> bytes | None:
        """Return what the request says by a method, with padding; L{None} for nothing."""
        return self.options.data.get(method)

    def select(self, method: int) -> bytes:
        """
        Take the method that was chosen.

        @return: the octets to send: none, where the request has what the method reads
            first.
        """
        self._method = method
        if method in (_NONE, _NO_ACCEPTABLE):
            return b""
        self._presented = self.options.data.get(method)
        if self._presented is None:
            self._presented = b""
            return self.proceed()
        return b""

    def _spoken(self) -> bytes:
        """Return what the method said, as an option."""
        said, self._said = self._said, b""
        return encodeAuthData(self._method, said) if said else b""

    def message(self, decoder: Callable[[Reader], Any], limit: int) -> Any:
        """
        Read the message that the request brought.

        @raise WireError: it is none, or not all of the option.
        """
        octets = self._presented
        assert octets is not None
        self._presented = b""
        reader = Reader(octets[:limit])
        try:
            message = decoder(reader)
        except NeedMoreData:
            raise WireError("a message of a login that is cut off") from None
        rest = octets[reader.position :]
        if len(rest) > _PADDING or any(rest):
            raise WireError("more than one message of a login")
        return message

    @property
    def brings(self) -> bool:
        """Whether the request has brought a message that is not read yet."""
        return bool(self._presented)

    def proceed(self) -> bytes:
        """
        Have the method's messages follow: the first of two replies (section 6).

        @return: what the client is sent first; nothing the second time.
        @raise WireError: the client takes no part in such a login.
        """
        if self._presented is None:
            return b""
        if self._method not in self.options.methods:
            raise WireError("the login takes more messages than the client offered")
        self._presented = None
        return encodeAuthReply(False, encodeSelected(self._method) + self._spoken())

    def behind(
        self, decoder: Callable[[Reader], Any]
    ) -> tuple[Callable[[Reader], Any], int]:
        """
        Return what reads the method's next message behind the initial data.

        @return: with the octets of that.
        """
        initial = self.options.initial
        if not initial or self.early:
            return decoder, 0

        def read(reader: Reader) -> Any:
            early = reader.take(initial)
            message = decoder(reader)
            self.early = early
            return message

        return read, initial

    def say(self, octets: bytes) -> bytes:
        """
        Take what the method says.

        @return: the octets to send now; none where an option of the next reply tells it.
        """
        if self._presented is None:
            return octets
        self._said += octets
        return b""

    def _tell(self, kind: int, data: bytes = b"") -> None:
        """Put an option into the reply that ends the login."""
        self._kept += encodeOption(kind, data)

    def admitted(self) -> bytes:
        """Return the reply that the client is let in; once."""
        if self.over:
            return b""
        self.over = True
        options = self._spoken() + self._kept
        return encodeAuthReply(True, options) if options else _LET_IN

    def refused(self) -> bytes:
        """Return the reply that the client is not let in; once."""
        if self.over:
            return b""
        self.over = True
        if self._mismatch:
            return self._mismatch
        options = self._spoken() + self._kept
        if self._method == _NO_ACCEPTABLE and self.options.advertised:
            options += encodeSelected(_NO_ACCEPTABLE)
        return encodeAuthReply(False, options)
