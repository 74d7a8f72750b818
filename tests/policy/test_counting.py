"""
Who counts in a limit that is not for everybody.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import load
from socksgw.gateway.host import HostAddresses
from socksgw.interfaces import Asker
from socksgw.policy.document import Compiled, Compiler
from socksgw.wire.address import Address
from tests.fakes.policy import ANONYMOUS, Somebody

ALICE = Somebody("alice", frozenset({"staff"}), "userpass")
BOB = Somebody("bob", frozenset(), "userpass")
MAYBE = Somebody("carol", frozenset(), "userpass", unsure=frozenset({"staff"}))
INSIDE, OUTSIDE = Address.parse("10.7.1.2"), Address.parse("10.8.1.2")

TEXT = """
[groups]
staff = ["alice"]
[networks]
dial = ["10.7.0.0/16"]
[[rule]]
id = "all"
allow = ["connect"]
to = ["any"]
[[limit]]
per = "user"
sessions = 1
"""


def compiled(directory: Path, text: str) -> Compiled:
    file = directory / "gw.toml"
    file.write_text(TEXT + text)
    config = load(str(file))
    return Compiler(config, HostAddresses.of(config)).compile()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('who = ["@staff"]', {"alice", "maybe"}),
        ('who = ["bob", "anonymous"]', {"bob", "anonymous"}),
        ('who = ["users"]', {"alice", "bob", "maybe"}),
        ('from = ["dial"]', {"alice", "anonymous"}),
        ('who = ["@staff", "bob"]\nfrom = ["10.7.0.0/16"]', {"alice"}),
    ],
)
def test_some(tmp_path: Path, said: str, meant: set[str]) -> None:
    """Users and clients are those of a rule with the same words."""
    (some,) = compiled(tmp_path, said).counted
    assert some is not None
    askers = {
        "alice": Asker(ALICE, INSIDE, "lan"),
        "bob": Asker(BOB, OUTSIDE, "lan"),
        "maybe": Asker(MAYBE, OUTSIDE, "lan"),
        "anonymous": Asker(ANONYMOUS, INSIDE, "lan"),
    }
    assert {name for name, asker in askers.items() if some.counts(asker)} == meant


def test_all(tmp_path: Path) -> None:
    """Without words everybody counts."""
    assert compiled(tmp_path, "").counted == (None,)


def test_text(tmp_path: Path) -> None:
    """The same words make the same text, in whatever order."""
    texts = set()
    for said in ('who = ["bob", "@staff"]', 'who = ["@staff", "bob", "bob"]'):
        (some,) = compiled(tmp_path, f'{said}\nfrom = ["dial"]').counted
        assert some is not None
        texts.add(some.text)
    assert texts == {"who @staff, bob from dial"}


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ('who = ["@nobody"]', "limit[0].who[0]"),
        ('from = ["nowhere"]', "limit[0].from[0]"),
        ("who = []", "limit[0].who"),
        ("from = []", "limit[0].from"),
    ],
)
def test_wrong(tmp_path: Path, said: str, wrong: str) -> None:
    """As in rules; and a limit for nobody is none."""
    assert wrong in [each.path for each in compiled(tmp_path, said).errors]
