"""
A GSSAPI mechanism without Kerberos, and without any secret.

A client has the name that it claims to have. For tests and demonstrations on one
machine.

It does what the real one does: several rounds, integrity, encryption, detection
of what is changed, repeated or missing. Its strength is none.

A context begins with the client's C{b"stub"}, the number of tokens that the
client will send, 16 octets of its own choice, the name, C{@} and the realm;
every further one of its tokens is C{b"more"}. The answers are C{b"again"}, and
at last 16 octets of ours, or nothing where the client asked for 128 tokens more
than it sends.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Final, final

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import Answer
from socksgw.wire.gssapi import LONGEST
from socksgw.wire.reader import WireError

__all__ = ["StubContext", "StubInitiator", "StubMechanism", "StubTokens"]

_MARK: Final = b"stub"
_NONCE: Final = 16
#: Flags, sequence number; and the tag behind the octets.
_HEADER: Final = 9
_TAG: Final = 16
#: Sequence numbers behind the highest seen that are looked at still.
_WINDOW: Final = 64
#: Added to the number of tokens: the last answer is empty.
SILENT: Final = 128


def _toy(key: bytes, octets: bytes) -> bytes:
    """Encrypts, and decrypts; a toy."""
    stream = hashlib.shake_128(key).digest(len(octets))
    found = int.from_bytes(octets, "little") ^ int.from_bytes(stream, "little")
    return found.to_bytes(len(octets), "little")


@final
class StubTokens:
    """
    The wrapped tokens of an established context, for either side.
    """

    def __init__(self, nonces: bytes, initiator: bool) -> None:
        """
        Derive the keys of both directions.

        @param nonces: the client's octets and the server's.
        @param initiator: whether this is the client's side.
        """
        keys = [hashlib.sha256(side + nonces).digest() for side in (b"c", b"s")]
        self._sending, self._receiving = keys if initiator else reversed(keys)
        self._next = 0
        self._highest = -1
        self._seen: set[int] = set()

    def wrap(self, octets: bytes, confidential: bool) -> bytes:
        """Return a token that holds C{octets}."""
        header = bytes((confidential,)) + self._next.to_bytes(8, "big")
        self._next += 1
        if confidential:
            octets = _toy(self._sending + header, octets)
        return header + octets + _tag(self._sending, header + octets)

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        """As L{socksgw.plugins.auth_gssapi.Context.unwrap}."""
        if len(token) < _HEADER + _TAG:
            raise WireError("a token that is too short")
        signed, tag = token[:-_TAG], token[-_TAG:]
        if not hmac.compare_digest(tag, _tag(self._receiving, signed)):
            raise WireError("a token that was changed on the way")
        self._once(int.from_bytes(signed[1:_HEADER], "big"))
        confidential = signed[0] == 1
        octets = signed[_HEADER:]
        if confidential:
            octets = _toy(self._receiving + signed[:_HEADER], octets)
        return octets, confidential

    def _once(self, number: int) -> None:
        if number in self._seen or number <= self._highest - _WINDOW:
            raise WireError("a token that has come before")
        self._highest = max(self._highest, number)
        self._seen.add(number)
        if len(self._seen) > 2 * _WINDOW:
            self._seen = {x for x in self._seen if x > self._highest - _WINDOW}


def _tag(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")[:_TAG]


@final
class StubContext:
    """
    As L{socksgw.plugins.auth_gssapi.Context}.
    """

    expires = None
    confidential = True

    def __init__(self, nonce: bytes) -> None:
        """
        @param nonce: our 16 octets.
        """
        self.complete = False
        self.name = b""
        self.realm = ""
        self._nonce = nonce
        self._left = 0
        self._silent = False
        self._tokens: StubTokens | None = None
        self._begun = False

    async def step(self, token: bytes) -> bytes:
        """As L{socksgw.plugins.auth_gssapi.Context.step}."""
        if not self._begun:
            self._begin(token)
        elif token != b"more":
            raise AuthenticationFailed("not a token of the stub", reason="bad-token")
        self._left -= 1
        if self._left > 0:
            return b"again"
        self.complete = True
        return b"" if self._silent else self._nonce

    def _begin(self, token: bytes) -> None:
        rounds = token[4] if len(token) > 4 else 0
        name, at, realm = token[5 + _NONCE :].rpartition(b"@")
        if token[:4] != _MARK or not rounds % SILENT or not at:
            raise AuthenticationFailed("not a token of the stub", reason="bad-token")
        self._begun = True
        self._left = rounds % SILENT
        self._silent = rounds > SILENT
        self.name, self.realm = name, realm.decode("utf-8", "replace")
        if self._silent:
            self._nonce = b""
        self._tokens = StubTokens(token[5 : 5 + _NONCE] + self._nonce, False)

    def wrap(self, octets: bytes, confidential: bool) -> bytes:
        """As L{socksgw.plugins.auth_gssapi.Context.wrap}."""
        assert self._tokens is not None
        return self._tokens.wrap(octets, confidential)

    def unwrap(self, token: bytes) -> tuple[bytes, bool]:
        """As L{socksgw.plugins.auth_gssapi.Context.unwrap}."""
        assert self._tokens is not None
        return self._tokens.unwrap(token)

    def longest(self, confidential: bool) -> int:
        """As L{socksgw.plugins.auth_gssapi.Context.longest}."""
        return LONGEST - _HEADER - _TAG


@final
class StubMechanism:
    """
    As L{socksgw.plugins.auth_gssapi.Mechanism}.
    """

    def accept(self, negotiated: bool = False) -> StubContext:
        """Return the context of a client that begins."""
        return StubContext(os.urandom(_NONCE))

    async def probe(self) -> Sequence[Answer]:
        """Return what everybody should know of it."""
        said = "believes every client: it is for tests"
        return [Answer('mechanism = "stub"', said, "warning", "use a keytab")]

    def problems(self) -> tuple[str, ...]:
        """Return nothing: there is no file that could be wrong."""
        return ()


@final
class StubInitiator:
    """
    The client's side.

    @ivar first: its first token.
    @ivar more: how many C{b"more"} follow.
    """

    def __init__(
        self, name: str, rounds: int = 1, silent: bool = False, nonce: bytes = b""
    ) -> None:
        """
        Make the client's side.

        @param name: with its realm.
        @param rounds: the tokens that it sends.
        @param silent: whether the server shall have no last token to send.
        @param nonce: 16 octets; random by default.
        """
        self._nonce = nonce or os.urandom(_NONCE)
        asked = bytes((rounds + (SILENT if silent else 0),))
        self.first = _MARK + asked + self._nonce + name.encode()
        self.more = rounds - 1

    def established(self, answer: bytes) -> StubTokens:
        """
        @param answer: the server's last token.
        """
        return StubTokens(self._nonce + answer, True)
