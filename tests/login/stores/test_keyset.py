"""
Sets of keys, and signatures by them.
"""

from __future__ import annotations

import hmac
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk

from socksgw.login.stores.keyset import (
    ALGORITHMS,
    BadToken,
    UnknownKey,
    Verifier,
    keySetIn,
)
from socksgw.login.tokens import partsOf
from tests.tools.tokens import Issuer, encoded, part, setOf

SOME = ("RS256", "ES256", "EdDSA")


def verify(token: bytes, octets: bytes, algorithms: Any = SOME) -> str:
    """Why a token is refused; empty when it is not."""
    header, _ = partsOf(token)
    try:
        Verifier(algorithms).verify(token, header, keySetIn(octets, algorithms))
    except BadToken as e:
        return str(e)
    return ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithms(algorithm: str) -> None:
    """Each is verified, by its own key alone, and only where it is wanted."""
    issuer, other = Issuer(algorithm), Issuer(algorithm, number=1)
    token = issuer.token()
    assert verify(token, setOf(issuer), [algorithm]) == ""
    assert verify(token, setOf(other), [algorithm]) == "is not signed by the issuer"
    wanted = "ES256" if algorithm != "ES256" else "RS256"
    keys = setOf(issuer, Issuer(wanted, "k2"))
    why = "is signed by an algorithm that is not among `algorithms`"
    assert verify(token, keys, [wanted]) == why


#: RFC 7515 appendices A.2 and A.3: keys and signatures as printed there.
CLAIMS = (
    b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19y"
    b"b290Ijp0cnVlfQ"
)
APPENDIX = {
    "RS256": (
        {
            "kty": "RSA",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
            "4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47s"
            "oMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2C"
            "apHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco"
            "9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        b"eyJhbGciOiJSUzI1NiJ9",
        b"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_l"
        b"F5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75v"
        b"RK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWE"
        b"sqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVm"
        b"tVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    "ES256": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        b"eyJhbGciOiJFUzI1NiJ9",
        b"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
        b"Kg6NU1Q",
    ),
}


@pytest.mark.parametrize("algorithm", APPENDIX)
def test_appendix(algorithm: str) -> None:
    """The examples of RFC 7515, and what becomes of one changed octet."""
    key, header, signature = APPENDIX[algorithm]
    token = header + b"." + CLAIMS + b"." + signature
    keys = json.dumps({"keys": [key]}).encode()
    assert verify(token, keys) == ""
    for place in (len(header) + 20, -3):
        changed = bytearray(token)
        changed[place] = ord("A") if changed[place] != ord("A") else ord("B")
        header_, claims = header, bytes(changed)
        with pytest.raises(BadToken, match="is not signed by the issuer"):
            Verifier(SOME).verify(claims, {"alg": algorithm}, keySetIn(keys, SOME))
        assert header_ in claims


def test_swapped() -> None:
    """The public key, which everybody has, is no secret of an HMAC."""
    issuer = Issuer("RS256")
    pem = issuer.key.as_pem(private=False)
    for secret in (pem, pem.strip(), setOf(issuer)):
        for name in ("HS256", "hs256", "RS256"):
            signed = (
                encoded({"alg": name, "kid": "k1"}) + b"." + encoded(issuer.claims())
            )
            token = signed + b"." + part(hmac.digest(secret, signed, "sha256"))
            assert verify(token, setOf(issuer)) in (
                "is signed by an algorithm that is not among `algorithms`",
                "is not signed by the issuer",
            )


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": None},
        {"alg": ["RS256"]},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
    ],
)
def test_wrongAlgorithm(header: dict[str, Any]) -> None:
    issuer = Issuer("RS256")
    why = "is signed by an algorithm that is not among `algorithms`"
    assert verify(issuer.token(header), setOf(issuer)) == why
    # Nor without a signature.
    unsigned = issuer.token(header).rpartition(b".")[0] + b"."
    assert verify(unsigned, setOf(issuer)) == why


def test_unsigned() -> None:
    """An empty signature is none, whatever the header says."""
    issuer = Issuer("ES256")
    token = issuer.token().rpartition(b".")[0] + b"."
    assert verify(token, setOf(issuer)) == "is not signed by the issuer"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"crit": ["exp"], "exp": 1}, "demands an extension (crit)"),
        ({"crit": []}, "demands an extension (crit)"),
        ({"b64": False, "crit": ["b64"]}, "demands an extension (crit)"),
        ({"b64": False}, "demands an extension (crit)"),
        ({"kid": 7}, "names no key"),
        ({"kid": ["k1"]}, "names no key"),
        ({"kid": ""}, "names a key that the issuer does not have"),
        ({"kid": "K1"}, "names a key that the issuer does not have"),
        ({"kid": "../../etc/passwd"}, "names a key that the issuer does not have"),
        ({"kid": "k1\x00"}, "names a key that the issuer does not have"),
        ({"kid": "x" * 9000}, "names a key that the issuer does not have"),
        ({"kid": None}, ""),
        ({"x5t": "abc", "nonce": "x", "vendor": {"a": 1}}, ""),
    ],
)
def test_header(header: dict[str, Any], why: str) -> None:
    issuer = Issuer("ES256")
    assert verify(issuer.token(header), setOf(issuer)) == why


@pytest.mark.parametrize("own", ["jwk", "jku", "x5u", "x5c"])
def test_ownKey(own: str) -> None:
    """A token that brings its own key is judged by the issuer's all the same."""
    issuer, thief = Issuer("ES256"), Issuer("ES256")
    value: Any = thief.public if own == "jwk" else "https://thief.example/keys"
    header = {own: [value] if own == "x5c" else value}
    assert verify(thief.token(header), setOf(issuer)) == "is not signed by the issuer"
    # An issuer that adds such a name says nothing false by it.
    assert verify(issuer.token(header), setOf(issuer)) == ""


def test_keys() -> None:
    """Keys of the same name, or of none: each that fits is tried."""
    first, second = Issuer("ES256"), Issuer("ES256")
    assert verify(second.token(), setOf(first, second)) == ""
    assert verify(second.token({"kid": None}), setOf(first, second)) == ""
    many = [Issuer("ES256", f"k{i}") for i in range(5)]
    assert verify(many[4].token(), setOf(*many)) == ""
    # But a nameless token costs no more than so many signatures.
    why = "is not signed by the issuer"
    assert verify(many[4].token({"kid": None}), setOf(*many)) == why


def test_bundle() -> None:
    """A trust bundle of SPIFFE says what its keys are for in its own words."""
    issuer = Issuer("ES256")
    issuer.public["use"] = "jwt-svid"
    assert verify(issuer.token(), setOf(issuer)) == ""


def test_wrongKey() -> None:
    """A key is used for its own algorithm alone."""
    issuer = Issuer("RS256")
    issuer.public["alg"] = "RS512"
    other = Issuer("ES256", "k2")
    token = issuer.token()
    with pytest.raises(UnknownKey):
        Verifier(SOME).verify(
            token, {"alg": "RS256", "kid": "k1"}, keySetIn(setOf(issuer, other), SOME)
        )
    assert verify(other.token({"alg": "RS256"}), setOf(Issuer("RS256"), other)) == (
        "is signed by an algorithm that its key is not for"
    )


def _short() -> dict[str, Any]:
    key = rsa.generate_private_key(65537, 1024)
    with pytest.warns(UserWarning, match="2048"):
        return {**jwk.RSAKey.import_key(key).as_dict(private=False), "kid": "short"}


@pytest.mark.parametrize(
    "key",
    [
        _short,
        lambda: {"kty": "oct", "k": "c2VjcmV0", "kid": "o"},
        lambda: {**Issuer("ES256").public, "use": "enc"},
        lambda: {**Issuer("ES256").public, "use": "x509-svid"},
        lambda: {**Issuer("ES256").public, "key_ops": ["sign"]},
        lambda: {**Issuer("ES256").public, "key_ops": "verify"},
        lambda: {**Issuer("ES256").public, "kid": 7},
        lambda: {**Issuer("ES256").public, "kid": "x" * 257},
        lambda: {**Issuer("ES256").public, "x": "AAAA"},
        lambda: {**Issuer("ES256").public, "x": 7},
        lambda: {**Issuer("ES256").public, "crv": "secp256k1"},
        lambda: {**Issuer("ES256").public, "alg": "none"},
        lambda: Issuer("ES256").key.as_dict(private=True),
        lambda: {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        lambda: {"kty": "RSA", "n": "A" * 40_000, "e": "AQAB"},
        dict,
        lambda: "key",
    ],
)
def test_skipped(key: Any) -> None:
    """A key that is of no use spoils no other."""
    issuer = Issuer("ES256", "good")
    octets = json.dumps({"keys": [key(), issuer.public]}).encode()
    found = keySetIn(octets, SOME)
    assert (len(found), found.skipped) == (1, 1)
    with pytest.raises(ValueError, match="has no key for RS256, ES256, EdDSA"):
        keySetIn(json.dumps({"keys": [key()]}).encode(), SOME)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "not a set of keys"),
        (b"<html>", "not a set of keys"),
        (b"[]", "not a set of keys"),
        (b"{}", "not a set of keys"),
        (b'{"keys": {}}', "not a set of keys"),
        (b'{"keys": [], "keys": []}', "not a set of keys"),
        (b'{"keys": []}', "has no key for"),
        (b'{"keys": ' + b"[" * 60_000, "not a set of keys"),
        (b'{"keys": [' + b"1," * 100 + b"1]}", "has more than 100 keys"),
        (b" " * 65537, "larger than 64 KiB"),
    ],
)
def test_noSet(octets: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        keySetIn(octets, SOME)


def test_manyKeys() -> None:
    """A set of 10,000 keys is refused by its size, before it is read."""
    octets = json.dumps({"keys": [Issuer("RS256").public] * 10_000}).encode()
    assert len(octets) > 4_000_000
    with pytest.raises(ValueError, match="larger than 64 KiB"):
        keySetIn(octets, SOME)


@pytest.mark.parametrize("algorithm", SOME)
def test_mutatedTokens(algorithm: str) -> None:
    """A token with a changed octet is refused, in one way, wherever that is."""
    issuer = Issuer(algorithm)
    keys, good = keySetIn(setOf(issuer), SOME), issuer.token()
    verifier, chance = Verifier(SOME), random.Random(12)
    for place in range(len(good)):
        mutated = bytearray(good)
        while mutated == good:
            mutated[place] = chance.choice(b"ABCxyz019-_.=+/ \x00\xff")
        try:
            header, _ = partsOf(bytes(mutated))
        except ValueError:
            continue
        with pytest.raises(BadToken):
            verifier.verify(bytes(mutated), header, keys)


def test_mutatedSets() -> None:
    """Whatever stands in a set, it is one, or it is refused as one."""
    good = setOf(Issuer("RS256", "a"), Issuer("ES256", "b"), Issuer("EdDSA", "c"))
    chance, refused = random.Random(12), 0
    for _ in range(1000):
        mutated = bytearray(good)
        for _ in range(chance.choice((1, 1, 3, 30))):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        try:
            keySetIn(bytes(mutated), SOME)
        except ValueError:
            refused += 1
    assert 0 < refused < 1000
