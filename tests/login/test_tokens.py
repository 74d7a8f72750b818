"""
What is read of a token before its signature.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.login.tokens import LONGEST, isToken, objectIn, partsOf, subjectIn
from tests.tools.tokens import encoded, part

#: RFC 7519 section 3.1, and RFC 7515 appendix A.1, to the letter.
EXAMPLE = (
    b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    b".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
#: RFC 7519 section 6.1: signed by nobody.
UNSECURED = (
    b"eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6"
    b"Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
)


@pytest.mark.parametrize("token", [EXAMPLE, UNSECURED])
def test_example(token: bytes) -> None:
    header, claims = partsOf(token)
    assert header["alg"] in ("HS256", "none")
    assert claims == {
        "iss": "joe", "exp": 1300819380, "http://example.com/is_root": True
    }  # fmt: skip
    assert isToken(token)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"hunter2",
        b"a.b.c",
        b"eyJ9.e30",
        b"eyJ9.e30.x.y",
        b"eyJ9.e30.x\n",
        b"eyJ9.e30=.x",
        b"eyJ9.e+30.x",
        b"eyJ9..x",
        b"e" + b"y" * LONGEST + b".e30.x",
        # What is encrypted (RFC 7516 section 3.1).
        b"eyJ9.a.b.c.d",
        "eyJ9.é.x".encode(),
    ],
)
def test_none(octets: bytes) -> None:
    """What is no token, as a password may be."""
    assert not isToken(octets)
    assert subjectIn(octets) == b""
    with pytest.raises(ValueError, match="form"):
        partsOf(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"[]",
        b"1",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"exp": NaN}',
        b'{"exp": -Infinity}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"{",
    ],
)
def test_noObject(octets: bytes) -> None:
    with pytest.raises(ValueError):
        objectIn(octets)


@pytest.mark.parametrize(
    ("claims", "subject"),
    [
        ({"sub": "alice"}, b"alice"),
        ({"sub": 7}, b""),
        ({"sub": ["alice"]}, b""),
        ({}, b""),
        ([], b""),
        ({"sub": "x" * 300}, b"x" * 255),
        (b'{"sub": "a", "sub": "b"}', b""),
        (b'{"sub": "\\ud800"}', b"?"),
    ],
)
def test_subject(claims: Any, subject: bytes) -> None:
    assert (
        subjectIn(encoded({"alg": "none"}) + b"." + encoded(claims) + b".x") == subject
    )


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_anything(first: bytes, second: bytes) -> None:
    """Nothing but C{ValueError} comes of octets."""
    for octets in (first, part(b"{" + first) + b"." + part(second) + b".x"):
        subjectIn(octets)
        try:
            header, claims = partsOf(octets)
        except ValueError:
            continue
        assert json.dumps([header, claims])
