"""
First configurations: each is good as it is written.
"""

from __future__ import annotations

from itertools import product

import pytest
from attrs import evolve

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import loads
from socksgw.config.schema import Config
from socksgw.console.firstfile import PUBLIC, Answers, builtIn, firstFile, isLocal
from socksgw.gateway.host import HostAddresses
from socksgw.importing.draft import Draft
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet


def config(draft: Draft) -> Config:
    """What is written."""
    return loads("\n".join(draft.lines("x")), "x")


def test_builtIn() -> None:
    """The file is what holds without one."""
    made, expected = config(builtIn()), defaultConfig()
    assert made.listen == expected.listen
    assert made.auth == expected.auth
    rules = [evolve(each, place="") for each in made.rule]
    assert rules == [evolve(each, place="") for each in expected.rule]
    assert (made.never, made.limit) == (expected.never, expected.limit)
    text = list(builtIn().lines("x"))
    for i, line in enumerate(text):
        if line.startswith("["):
            assert text[i - 1].startswith("#"), line


@pytest.mark.parametrize(
    ("login", "to", "sources"),
    [
        *product(
            ["none", "passwords", "pam", "kerberos"],
            [(PUBLIC,), ("10.1.0.0/16", "fd00:7::/32"), (".a.example", "=b.example")],
            [("10.0.0.0/16", "10.9.0.0/24"), ("fd00::/64",), ("0.0.0.0/0",)],
        )
    ],
)
def test_rules(login: str, to: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """They do what the requests at the end expect."""
    answers = Answers(
        listen=["10.0.0.2:1080"],
        sources=sources,
        to=to,
        ports=[443, "8000-8099"],
        login=login,
        who=["@staff", "alice"] if login == "pam" else [],
        cleartext=True,
        http=True,
        users="users",
        keytab="k",
        state="var",
        realm="CORP.EXAMPLE" if login == "kerberos" else "",
        admin=login == "none",
    )
    made = config(firstFile(answers))
    compiled = Compiler(made, HostAddresses.of(made)).compile()
    assert compiled.errors == []
    assert made.expect
    expected = [each for each in made.expect if each.rule != "auth.choose"]
    assert expected
    assert list(unmet(evolve(made, expect=tuple(expected)), compiled.ruleset)) == []


@pytest.mark.parametrize(
    ("sources", "expected"),
    [(["127.0.0.0/8", "::1"], True), (["127.0.0.0/8", "10.0.0.0/8"], False)],
)
def test_local(sources: list[str], expected: bool) -> None:
    """All of them have to be of this machine."""
    assert isLocal(sources) == expected
