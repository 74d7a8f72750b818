"""
Sets of public keys (JWKS, RFC 7517 section 5), as issuers of tokens publish them.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, final

from joserfc import jwk
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry, extract_compact, validate_compact

from socksgw.login.tokens import LONGEST, objectIn

__all__ = ["ALGORITHMS", "BadToken", "KeySet", "UnknownKey", "Verifier", "keySetIn"]

#: Octets of a set, and keys in it, at most.
MOST: Final = 64 << 10
_KEYS: Final = 100
#: Characters of a key's name.
_LONGEST_ID: Final = 256
#: Keys that are tried where a token does not name its own.
_TRIED: Final = 4
#: Bits of an RSA key: fewer are forbidden (RFC 7518 section 3.3), and more cost more
#: than a login may.
_BITS: Final = range(2048, 8192 + 1)
#: What a key may be for: signatures; in bundles of SPIFFE, its tokens.
_USES: Final = ("sig", "jwt-svid")
_TOLD: Final = frozenset({"use", "key_ops"})
#: Signatures by public keys: the key's type, and the curves that it may be on. There
#: is no other: none signs nothing, and of HMAC who verifies can sign.
ALGORITHMS: Final[Mapping[str, tuple[str, Collection[str]]]] = {
    "RS256": ("RSA", ()),
    "RS384": ("RSA", ()),
    "RS512": ("RSA", ()),
    "PS256": ("RSA", ()),
    "PS384": ("RSA", ()),
    "PS512": ("RSA", ()),
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    "Ed25519": ("OKP", ("Ed25519",)),
    "Ed448": ("OKP", ("Ed448",)),
}


class BadToken(Exception):
    """
    A token is refused; the text says why, without any part of it.
    """


class UnknownKey(BadToken):
    """A token names a key that is not in the set."""


@final
class _Key:
    """
    One key.

    @ivar name: its C{kid}; L{None} where it has none.
    @ivar serves: the algorithms that it is for.
    """

    __slots__ = ("key", "name", "serves")

    def __init__(self, key: Any, name: str | None, serves: frozenset[str]) -> None:
        self.key = key
        self.name = name
        self.serves = serves


@final
class KeySet:
    """
    The keys of one issuer that can be used.

    @ivar skipped: how many keys of the set cannot: they are for something else, too
        short, or of a kind that is not known here.
    """

    __slots__ = ("_keys", "skipped")

    def __init__(self, keys: list[_Key], skipped: int) -> None:
        self._keys = keys
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._keys)

    def of(self, name: str | None, algorithm: str) -> Iterator[Any]:
        """
        Yield the keys that may have signed a token.

        @param name: its C{kid}; L{None} where it has none.
        @raise UnknownKey: there is no key of that name.
        """
        if name is None:
            # It is optional (RFC 7515 section 4.1.4).
            found = [each for each in self._keys if algorithm in each.serves][:_TRIED]
        else:
            found = [each for each in self._keys if each.name == name]
            if not found:
                raise UnknownKey("names a key that the issuer does not have")
            found = [each for each in found if algorithm in each.serves]
        if not found:
            raise BadToken("is signed by an algorithm that its key is not for")
        yield from (each.key for each in found)


def keySetIn(octets: bytes, algorithms: Collection[str]) -> KeySet:
    """
    Read a set.

    Keys that are of no use are left out (RFC 7517 section 5).

    @param algorithms: those that are wanted, of L{ALGORITHMS}.
    @raise ValueError: it is no set, is too large, or has no key that is of use; the
        text says which.
    """
    if len(octets) > MOST:
        raise ValueError(f"larger than {MOST >> 10} KiB")
    try:
        keys = objectIn(octets).get("keys")
    except ValueError:
        raise ValueError("not a set of keys (JWKS)") from None
    if type(keys) is not list:
        raise ValueError("not a set of keys (JWKS)")
    if len(keys) > _KEYS:
        raise ValueError(f"has more than {_KEYS} keys")
    found = [each for each in (_keyIn(each, algorithms) for each in keys) if each]
    if not found:
        wanted = ", ".join(algorithms)
        raise ValueError(f"has no key for {wanted}")
    return KeySet(found, len(keys) - len(found))


def _keyIn(table: Any, algorithms: Collection[str]) -> _Key | None:
    """Return a key; L{None} when it is of no use."""
    if type(table) is not dict:
        return None
    name, operations = table.get("kid"), table.get("key_ops", ["verify"])
    if name is not None and (type(name) is not str or len(name) > _LONGEST_ID):
        return None
    # Neither "use" nor "key_ops" is needed (RFC 7517 sections 4.2 and 4.3).
    if table.get("use", "sig") not in _USES:
        return None
    if type(operations) is not list or "verify" not in operations:
        return None
    kind, curve, said = table.get("kty"), table.get("crv"), table.get("alg")
    serves = frozenset(
        each
        for each in algorithms
        if ALGORITHMS[each][0] == kind
        and (not ALGORITHMS[each][1] or curve in ALGORITHMS[each][1])
        and said in (None, each)
    )
    # A private key has no business here, and is not used as if it were public.
    if not serves or "d" in table:
        return None
    try:
        with warnings.catch_warnings():
            # Of short keys, which are left out.
            warnings.simplefilter("ignore")
            # The library knows no other use than "sig", and has been told enough.
            key = jwk.import_key({k: v for k, v in table.items() if k not in _TOLD})
            raw: Any = key.public_key
    except Exception:
        # The library raises several kinds.
        return None
    if kind == "RSA" and raw.key_size not in _BITS:
        return None
    return _Key(key, name, serves)


class _Registry(JWSRegistry):
    """
    The algorithms of one issuer.

    The library's own warns at each use of C{EdDSA}, a name that RFC 9864 replaces and
    that tokens have all the same.
    """

    max_header_length = LONGEST
    max_payload_length = LONGEST

    def get_alg(self, name: str) -> Any:
        """Return an algorithm."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError()
        return self.algorithms[name]


@final
class Verifier:
    """
    Verify the signatures of tokens.

    What a token says of keys of its own (C{jwk}, C{jku}, C{x5c}, C{x5u}) counts for
    nothing: only the issuer's set does.
    """

    def __init__(self, algorithms: Collection[str]) -> None:
        """
        @param algorithms: of L{ALGORITHMS}.
        """
        self._algorithms = frozenset(algorithms)
        self._registry = _Registry(algorithms=self._algorithms)
        # Names that mean nothing to us are let through (RFC 7515 section 4).
        self._registry.strict_check_header = False

    def verify(self, token: bytes, header: Mapping[str, Any], keys: KeySet) -> None:
        """
        Make sure that the issuer has signed a token.

        @param header: the token's own.
        @raise UnknownKey: it names a key that is not in the set.
        @raise BadToken: it is refused.
        """
        if "crit" in header or "b64" in header:
            # No extension is understood here (RFC 7515 section 4.1.11).
            raise BadToken("demands an extension (crit)")
        name, algorithm = header.get("kid"), header.get("alg")
        if name is not None and type(name) is not str:
            raise BadToken("names no key")
        if type(algorithm) is not str or algorithm not in self._algorithms:
            raise BadToken("is signed by an algorithm that is not among `algorithms`")
        try:
            signed = extract_compact(token, registry=self._registry)
        except (JoseError, ValueError):
            raise BadToken("cannot be read") from None
        if not any(self._isSigned(signed, key) for key in keys.of(name, algorithm)):
            raise BadToken("is not signed by the issuer")

    def _isSigned(self, signed: Any, key: Any) -> bool:
        try:
            return validate_compact(signed, key, registry=self._registry)
        except Exception:
            # The library raises several kinds, of what a stranger has sent.
            return False
