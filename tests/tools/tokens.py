"""
Issuers of tokens: keys, sets of keys, and tokens good and bad.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from joserfc import jwk
from joserfc.jws import JWSRegistry

__all__ = ["AUDIENCE", "ISSUER", "Issuer", "encoded", "part", "setOf"]

ISSUER, AUDIENCE = "https://issuer.example", "socksgw"


def part(octets: bytes) -> bytes:
    """Encode octets as a part of a token (RFC 7515 section 2)."""
    return urlsafe_b64encode(octets).rstrip(b"=")


def encoded(value: Any) -> bytes:
    """Encode JSON as a part of a token; octets stay as they are."""
    return part(value if isinstance(value, bytes) else json.dumps(value).encode())


@cache
def _rsa(number: int) -> Any:
    return jwk.import_key(_jwk(rsa.generate_private_key(65537, 2048)))


def _jwk(key: Any) -> Any:
    """Return a key of cryptography's as a JSON Web Key."""
    kind = jwk.RSAKey if isinstance(key, rsa.RSAPrivateKey) else (
        jwk.ECKey if isinstance(key, ec.EllipticCurvePrivateKey) else jwk.OKPKey
    )  # fmt: skip
    return kind.import_key(key).as_dict(private=True)


class Issuer:
    """
    One key of an issuer.

    @ivar public: the key as the set has it.
    """

    def __init__(self, algorithm: str = "ES256", kid: str = "k1", number: int = 0):
        """
        @param number: tells keys of RSA apart, which take long to make.
        """
        self.algorithm, self.kid = algorithm, kid
        if algorithm[:2] in ("RS", "PS"):
            self.key = _rsa(number)
        elif algorithm.startswith("ES"):
            curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(
                algorithm, ec.SECP521R1
            )
            self.key = jwk.import_key(_jwk(ec.generate_private_key(curve())))
        else:
            kind: Any = (
                ed448.Ed448PrivateKey
                if algorithm == "Ed448"
                else ed25519.Ed25519PrivateKey
            )
            self.key = jwk.import_key(_jwk(kind.generate()))
        self.public: dict[str, Any] = {
            **self.key.as_dict(private=False), "kid": kid, "use": "sig",
        }  # fmt: skip

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Good claims; C{None} takes one away."""
        now = int(time.time())
        found = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": "build",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            **claims,
        }
        return {key: value for key, value in found.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, /, **claims: Any) -> bytes:
        """Sign a token of good claims, with some of its own."""
        return self.sign(self.claims(**claims), header)

    def sign(self, claims: Any, header: dict[str, Any] | bytes | None = None) -> bytes:
        """Sign anything; of a header, C{None} takes a name away."""
        if not isinstance(header, bytes):
            whole = {"alg": self.algorithm, "kid": self.kid, **(header or {})}
            header = json.dumps(
                {k: v for k, v in whole.items() if v is not None}
            ).encode()
        signed = part(header) + b"." + encoded(claims)
        signature = JWSRegistry.algorithms[self.algorithm].sign(signed, self.key)
        return signed + b"." + part(signature)


def setOf(*issuers: Issuer) -> bytes:
    """Return the set of some keys."""
    return json.dumps({"keys": [each.public for each in issuers]}).encode()
