"""
Options of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 8).

What is said of draft -12 is its authors' working copy of 2022, which was not published.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, final

from socksgw.wire.reader import WireError
from socksgw.wire.stacks import Stack, readStacks

__all__ = [
    "INITIAL_LIMIT",
    "NO_OPTIONS",
    "OPTIONS_LIMIT",
    "SESSION_LIMIT",
    "WINDOW_LIMIT",
    "AuthOptions",
    "Kind",
    "RequestOptions",
    "encodeAdvertisement",
    "encodeAuthData",
    "encodeOption",
    "encodeSelected",
    "encodeSession",
    "encodeToken",
    "encodeWindow",
    "encodeWindowRequest",
    "readAuthOptions",
    "readOptions",
    "readReplyOptions",
    "readRequestOptions",
]

#: Octets of all options of one message: draft -12 has 20 KB, so that the tokens of
#: GSSAPI fit; -11 has 16 KB.
OPTIONS_LIMIT: Final = 20 << 10
#: Options of one message; the draft leaves the bound to the reader (section 13.1).
_MOST: Final = 128
#: Octets of initial data (section 8.2).
INITIAL_LIMIT: Final = 1 << 14
#: Octets of a session's ID that are read; the draft has no bound.
SESSION_LIMIT: Final = 256
#: The first size of a window of tokens that is too large (section 8.5.1).
WINDOW_LIMIT: Final = 1 << 31
_HEAD: Final = 4


class Kind(IntEnum):
    """Kinds of options (section 15)."""

    STACK = 1
    METHODS = 2
    METHOD = 3
    AUTH_DATA = 4
    SESSION_REQUEST = 5
    SESSION_ID = 6
    SESSION_OK = 8
    SESSION_INVALID = 9
    SESSION_TEARDOWN = 10
    IDEMPOTENCE_REQUEST = 11
    IDEMPOTENCE_WINDOW = 12
    IDEMPOTENCE_EXPENDITURE = 13
    IDEMPOTENCE_ACCEPTED = 14
    IDEMPOTENCE_REJECTED = 15


@final
class RequestOptions:
    """
    What the options of a request say.

    @ivar advertised: whether the client takes part in a login by messages.
    @ivar methods: the methods of that, in the client's order; without 00, which every
        client has.
    @ivar initial: octets of initial data that stand before the login's messages.
    @ivar data: the first message of each method, by its number; secret.
    @ivar wantsSession: whether the client asks for a session.
    @ivar session: the ID of the session that it is of; L{None} for none.
    @ivar endsSession: whether that is to end.
    @ivar window: the size of the window of tokens that it asks for; 0 for none.
    @ivar token: the token that it spends; L{None} for none.
    @ivar stack: how it wants the stacks.
    @ivar told: how they are, which the client is to be told.
    """

    __slots__ = (
        "advertised", "data", "endsSession", "initial", "methods", "session", "stack",
        "token", "told", "wantsSession", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.advertised = False
        self.methods = b""
        self.initial = 0
        self.data: dict[int, bytes] = {}
        self.wantsSession = False
        self.session: bytes | None = None
        self.endsSession = False
        self.window = 0
        self.token: int | None = None
        self.stack: tuple[Stack, ...] = ()
        self.told: tuple[Stack, ...] = ()


@final
class AuthOptions:
    """
    What the options of an authentication reply say.

    @ivar method: the method that has to proceed; L{None} for none.
    @ivar data: the message of each method, by its number.
    @ivar session: the ID of the session that has begun; L{None} for none.
    @ivar sessionOK: whether the request is of the session that it named.
    @ivar sessionInvalid: whether there is no such session.
    @ivar window: the base and the size of the window of tokens; L{None} for none.
    @ivar spent: whether the token was spent; L{None} where none is spoken of.
    """

    __slots__ = (
        "data", "method", "session", "sessionInvalid", "sessionOK", "spent", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.method: int | None = None
        self.data: dict[int, bytes] = {}
        self.session: bytes | None = None
        self.sessionOK = False
        self.sessionInvalid = False
        self.window: tuple[int, int] | None = None
        self.spent: bool | None = None


_OF_REQUESTS: Final = frozenset(
    {
        Kind.METHODS, Kind.SESSION_ID, Kind.SESSION_REQUEST, Kind.SESSION_TEARDOWN,
        Kind.IDEMPOTENCE_REQUEST, Kind.IDEMPOTENCE_EXPENDITURE,
    }
)  # fmt: skip
_OF_ANSWERS: Final = frozenset(
    {
        Kind.METHOD, Kind.SESSION_ID, Kind.SESSION_OK, Kind.SESSION_INVALID,
        Kind.IDEMPOTENCE_WINDOW, Kind.IDEMPOTENCE_ACCEPTED, Kind.IDEMPOTENCE_REJECTED,
    }
)  # fmt: skip
#: Of a request without options; nobody changes it.
NO_OPTIONS: Final = RequestOptions()


def readOptions(octets: bytes) -> list[tuple[int, bytes]]:
    """
    Return the options of a message, each its kind and its data.

    @raise WireError: a length is wrong, or there are too many.
    """
    found: list[tuple[int, bytes]] = []
    position, end = 0, len(octets)
    while position < end:
        length = int.from_bytes(octets[position + 2 : position + _HEAD], "big")
        if length < _HEAD or length % 4 or position + length > end:
            raise WireError("an option whose length is wrong")
        if len(found) >= _MOST:
            raise WireError(f"more than {_MOST} options")
        kind = int.from_bytes(octets[position : position + 2], "big")
        found.append((kind, octets[position + _HEAD : position + length]))
        position += length
    return found


def _sized(data: bytes, size: int, what: str) -> bytes:
    """
    Return the data of an option that has one size.

    @raise WireError: it has another one.
    """
    if len(data) != size:
        raise WireError(f"{what} of {len(data)} octets, and not {size}")
    return data


def _once(seen: set[int], kind: int) -> None:
    """
    Take note of an option that a message has once.

    @raise WireError: it has it again.
    """
    if kind in seen:
        raise WireError(f"two options of kind {kind}")
    seen.add(kind)


def _authData(found: dict[int, bytes], data: bytes) -> None:
    """
    Read an Authentication Data option (section 8.3).

    The padding stays: only the method can tell it from its message.

    @raise WireError: it is empty, or the second one of its method.
    """
    if len(data) < _HEAD:
        raise WireError("authentication data without a method")
    if data[0] in found:
        raise WireError(f"two options with data of method {data[0]}")
    found[data[0]] = data[1:]


def readRequestOptions(octets: bytes) -> RequestOptions:
    """
    Read the options of a request; unknown ones are ignored (section 8).

    @raise WireError: one that is known is not as the draft has it.
    """
    found, seen = RequestOptions(), set[int]()
    stacks = []
    for kind, data in readOptions(octets):
        if kind == Kind.STACK:
            stacks.append(data)
            continue
        if kind == Kind.AUTH_DATA:
            _authData(found.data, data)
            continue
        if kind not in _OF_REQUESTS:
            continue
        _once(seen, kind)
        if kind == Kind.METHODS:
            if len(data) < _HEAD:
                raise WireError("an advertisement of no methods")
            found.advertised = True
            found.initial = int.from_bytes(data[:2], "big")
            if found.initial > INITIAL_LIMIT:
                raise WireError(f"more than {INITIAL_LIMIT} octets of initial data")
            # Padding cannot be told from method 00, which needs no advertisement.
            found.methods = data[2:].replace(b"\0", b"")
        elif kind == Kind.SESSION_ID:
            found.session = _session(data)
        elif kind == Kind.SESSION_REQUEST:
            _sized(data, 0, "a session request")
            found.wantsSession = True
        elif kind == Kind.SESSION_TEARDOWN:
            _sized(data, 0, "a session teardown")
            found.endsSession = True
        elif kind == Kind.IDEMPOTENCE_REQUEST:
            size = int.from_bytes(_sized(data, 4, "a token request"), "big")
            found.window = min(size, WINDOW_LIMIT - 1)
        else:
            found.token = int.from_bytes(_sized(data, 4, "a token"), "big")
    if found.session is not None and found.wantsSession:
        raise WireError("a session requested from within a session")
    found.stack = readStacks(stacks)
    return found


def _session(data: bytes) -> bytes:
    """
    Return a session's ID (section 8.4.1).

    @raise WireError: it is empty or too long.
    """
    if not 1 <= len(data) <= SESSION_LIMIT:
        raise WireError(f"a session ID of {len(data)} octets")
    return data


def readAuthOptions(octets: bytes) -> AuthOptions:
    """
    Read the options of an authentication reply; unknown ones are ignored.

    @raise WireError: one that is known is not as the draft has it.
    """
    found, seen = AuthOptions(), set[int]()
    for kind, data in readOptions(octets):
        if kind == Kind.AUTH_DATA:
            _authData(found.data, data)
            continue
        if kind not in _OF_ANSWERS:
            continue
        _once(seen, kind)
        if kind == Kind.METHOD:
            found.method = _sized(data, 4, "a method selection")[0]
        elif kind == Kind.SESSION_ID:
            found.session = _session(data)
        elif kind == Kind.IDEMPOTENCE_WINDOW:
            _sized(data, 8, "a token window")
            base, size = data[:4], int.from_bytes(data[4:], "big")
            if not 0 < size < WINDOW_LIMIT:
                raise WireError(f"a window of {size} tokens")
            found.window = int.from_bytes(base, "big"), size
        else:
            _sized(data, 0, "an option of a session")
            if kind == Kind.SESSION_OK:
                found.sessionOK = True
            elif kind == Kind.SESSION_INVALID:
                found.sessionInvalid = True
            elif found.spent is not None:
                raise WireError("a token that is accepted and rejected")
            else:
                found.spent = kind == Kind.IDEMPOTENCE_ACCEPTED
    return found


def readReplyOptions(octets: bytes) -> tuple[Stack, ...]:
    """
    Read the Stack options of an operation reply; others are ignored.

    @raise WireError: they are not as the draft has them.
    """
    if not octets:
        return ()
    return readStacks([d for kind, d in readOptions(octets) if kind == Kind.STACK])


def encodeOption(kind: int, data: bytes = b"") -> bytes:
    """
    Return an option, padded to a multiple of four octets.

    @raise ValueError: it is longer than all options may be.
    """
    data += bytes(-len(data) % 4)
    length = _HEAD + len(data)
    if length > OPTIONS_LIMIT:
        raise ValueError(f"an option has {OPTIONS_LIMIT} octets at most")
    return kind.to_bytes(2, "big") + length.to_bytes(2, "big") + data


def encodeAdvertisement(methods: bytes, initial: int = 0) -> bytes:
    """
    Return an Authentication Method Advertisement option (section 8.2).

    @param methods: method octets; 00 is left out, which goes without saying.
    @param initial: octets of initial data that follow the request.
    @raise ValueError: there is more of that than the draft lets be.
    """
    if initial > INITIAL_LIMIT:
        raise ValueError(f"initial data has {INITIAL_LIMIT} octets at most")
    said = methods.replace(b"\0", b"")
    # With none it still says that the client takes part in the login.
    return encodeOption(Kind.METHODS, initial.to_bytes(2, "big") + (said or b"\0"))


def encodeSelected(method: int) -> bytes:
    """Return an Authentication Method Selection option (section 8.2)."""
    return encodeOption(Kind.METHOD, bytes((method,)))


def encodeAuthData(method: int, data: bytes) -> bytes:
    """Return an Authentication Data option (section 8.3)."""
    return encodeOption(Kind.AUTH_DATA, bytes((method,)) + data)


def encodeSession(session: bytes) -> bytes:
    """
    Return a Session ID option (section 8.4.1).

    @param session: not empty, and a multiple of four octets.
    """
    return encodeOption(Kind.SESSION_ID, session)


def encodeWindowRequest(size: int) -> bytes:
    """Return a Token Request option (section 8.5.1)."""
    return encodeOption(Kind.IDEMPOTENCE_REQUEST, size.to_bytes(4, "big"))


def encodeWindow(base: int, size: int) -> bytes:
    """Return an Idempotence Window option (section 8.5.1)."""
    octets = base.to_bytes(4, "big") + size.to_bytes(4, "big")
    return encodeOption(Kind.IDEMPOTENCE_WINDOW, octets)


def encodeToken(token: int) -> bytes:
    """
    Return an Idempotence Expenditure option (section 8.5.2).

    Its figure has length 4, and its text 8, which is what it takes.
    """
    return encodeOption(Kind.IDEMPOTENCE_EXPENDITURE, token.to_bytes(4, "big"))
