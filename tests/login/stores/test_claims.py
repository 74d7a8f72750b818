"""
The claims of tokens: who the bearer is, and when a token is good.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from socksgw.login.refusal import Refused
from socksgw.login.stores.claims import Requirement, Wanted

NOW = 1_800_000_000.0
WANTED = Wanted("https://issuer.example", frozenset({"socksgw", "other"}), 30.0)
GOOD: dict[str, Any] = {
    "iss": "https://issuer.example",
    "aud": "socksgw",
    "sub": "build",
    "exp": NOW + 600,
}
#: As a projected token of Kubernetes has it.
POD: dict[str, Any] = {
    **GOOD,
    "aud": ["socksgw"],
    "iat": NOW - 60,
    "nbf": NOW - 60,
    "sub": "system:serviceaccount:ci:builder",
    "kubernetes.io": {
        "namespace": "ci",
        "pod": {"name": "build-7", "uid": "1a"},
        "serviceaccount": {"name": "builder", "uid": "2b"},
    },
}


def judged(claims: dict[str, Any], wanted: Wanted = WANTED, typ: Any = None) -> Any:
    """Who the bearer is, or why it is refused."""
    header = {} if typ is None else {"typ": typ}
    try:
        return wanted.judge(header, claims, NOW)
    except Refused as e:
        refused = e
    assert refused.reason == "bad-token"
    assert refused.counts
    assert "build" not in refused.why
    return refused.why.removeprefix("the token ")


def test_good() -> None:
    proved = judged(GOOD)
    assert (proved.name, proved.expires) == ("build", NOW + 630)
    assert proved.groups == frozenset()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iss": "https://issuer.example/"}, "is of another issuer"),
        ({"iss": ["https://issuer.example"]}, "is of another issuer"),
        ({"iss": None}, "is of another issuer"),
        ({"aud": "Socksgw"}, "is for another audience"),
        ({"aud": []}, "is for another audience"),
        ({"aud": [["socksgw"], 1]}, "is for another audience"),
        ({"aud": {"socksgw": 1}}, "has no usable aud"),
        ({"aud": None}, "has no usable aud"),
        ({"aud": ["socksgw"] * 65}, "has no usable aud"),
        ({"exp": None}, "has an exp that is no time"),
        ({"exp": "2000000000"}, "has an exp that is no time"),
        ({"exp": True}, "has an exp that is no time"),
        ({"exp": 10**400}, "has an exp that is no time"),
        ({"exp": 1e999}, "has an exp that is no time"),
        ({"exp": NOW - 30}, "has expired"),
        ({"exp": -1}, "has expired"),
        ({"nbf": NOW + 31}, "is not valid yet: its nbf is in the future"),
        ({"iat": NOW + 31}, "is not valid yet: its iat is in the future"),
        ({"iat": "x"}, "has an iat that is no time"),
        ({"iat": NOW + 20, "exp": NOW - 20}, "ends before its iat"),
        ({"sub": None}, "has no string at sub, which name_claim names"),
        ({"sub": 7}, "has no string at sub, which name_claim names"),
        ({"sub": ["build"]}, "has no string at sub, which name_claim names"),
        *(
            ({"sub": name}, "has a name at sub that nobody can have here")
            for name in (
                "",
                " build",
                "bu\nild",
                "bu\x00ild",
                "\u202ebuild",
                "CORP\\build",
                "build\u200b",
                "x" * 2049,
            )
        ),
    ],
)
def test_refused(changed: dict[str, Any], why: str) -> None:
    assert judged({**GOOD, **changed}) == why


@pytest.mark.parametrize("key", ["exp", "sub", "aud", "iss"])
def test_missing(key: str) -> None:
    assert "token" not in judged({k: v for k, v in GOOD.items() if k != key})
    assert isinstance(judged({k: v for k, v in GOOD.items() if k != key}), str)


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": NOW - 29},
        {"exp": NOW + 0.5},
        {"nbf": NOW + 30, "iat": NOW + 30},
        {"aud": ["x", "other", 7]},
        {"sub": "alice@corp.example"},
        {"sub": "alice+job"},
        {"sub": "zoë"},
        {"sub": "x" * 2048},
    ],
)
def test_taken(changed: dict[str, Any]) -> None:
    """What looks odd and is good; within the leeway the token has not ended."""
    proved = judged({**GOOD, **changed})
    assert proved.name == changed.get("sub", "build")
    assert proved.expires > NOW


@pytest.mark.parametrize(
    ("typ", "good"),
    [
        ("JWT", True), ("jwt", True), ("JOSE", True), ("at+jwt", True),
        ("application/at+JWT", True), ("logout+jwt", False), ("dpop+jwt", False),
        (7, False), ("", False), (["JWT"], False),
    ],
)  # fmt: skip
def test_type(typ: Any, good: bool) -> None:
    """A token that is for something else is none (RFC 8725 section 3.11)."""
    assert isinstance(judged(GOOD, typ=typ), str) is not good


def test_nested() -> None:
    """A path leads into objects, and names with dots are names."""
    wanted = evolve(
        WANTED,
        name=("kubernetes.io", "serviceaccount", "name"),
        groups=("kubernetes.io", "namespace"),
        prefix="prod:",
    )
    proved = judged(POD, wanted)
    assert (proved.name, proved.groups) == ("prod:builder", {"prod:ci"})
    flat = {**GOOD, "kubernetes.io.serviceaccount.name": "x", "kubernetes.io": "y"}
    where = "kubernetes.io → serviceaccount → name"
    assert judged(flat, wanted) == f"has no string at {where}, which name_claim names"


@pytest.mark.parametrize(
    ("said", "groups"),
    [
        (None, set()),
        ("a", {"a"}),
        (["a", "b", "a"], {"a", "b"}),
        ([], set()),
        (7, None),
        ({"a": 1}, None),
        (["a", 7], None),
        ([f"g{i}" for i in range(257)], None),
        (["x" * 1025], None),
    ],
)
def test_groups(said: Any, groups: set[str] | None) -> None:
    """Groups that cannot be read are not none: a deny may be for them."""
    found = judged({**GOOD, "roles": said}, evolve(WANTED, groups=("roles",)))
    if groups is None:
        assert found == "has no groups that can be read at roles"
    else:
        assert found.groups == groups


@pytest.mark.parametrize(
    ("said", "good"),
    [("corp", True), (["x", "corp"], True), ("Corp", False), (None, False), (7, False)],
)
def test_required(said: Any, good: bool) -> None:
    wanted = evolve(
        WANTED, required=[Requirement(("repository_owner",), frozenset({"corp"}))]
    )
    found = judged({**GOOD, "repository_owner": said}, wanted)
    assert isinstance(found, str) is not good
    if not good:
        assert found == "lacks what `require` asks of repository_owner"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        # SPIFFE's tokens need no iss (JWT-SVID section 3).
        ({"iss": None, "sub": "spiffe://corp.example/ci/build"}, ""),
        ({"iss": "https://oidc.example", "sub": "spiffe://corp.example/a"}, ""),
        ({"sub": "spiffe://other.example/a"}, "is of another issuer"),
        ({"sub": "spiffe://corp.example.evil/a"}, "is of another issuer"),
        ({"sub": "spiffe://corp.example"}, "is of another issuer"),
        ({"sub": "SPIFFE://corp.example/a"}, "is of another issuer"),
        ({"sub": ["spiffe://corp.example/a"]}, "is of another issuer"),
        ({"sub": "spiffe://corp.example/a/../b"}, "has a . or .. in its path"),
        ({"sub": "spiffe://corp.example/a b"}, "is malformed"),
    ],
)
def test_workload(claims: dict[str, Any], why: str) -> None:
    """A trust domain as the issuer: the subject is of it, and to the letter."""
    found = judged({**GOOD, **claims}, evolve(WANTED, issuer="spiffe://corp.example"))
    if why:
        assert found.endswith(why)
    else:
        assert found.name == claims["sub"]
