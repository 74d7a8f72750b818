"""
Clients that get in nowhere fill a part of the journal, and not more.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.config.convert import Octets
from socksgw.config.schema import AuditConfig
from socksgw.errors import AuditFailed
from tests.fakes.journal import Kept, event, outcome


def test_aPartOfMaxSizeIsForThoseWhoLogIn(tmp_path: Path) -> None:
    """
    Strangers' lines end at nine tenths; users' go on; after more room strangers
    are recorded again, and a line says how many were not.
    """
    kept = Kept(tmp_path, max_size=100_000).open()
    body = f'"event":"decision","filler":"{"x" * 900}"'
    refused = 0
    for _ in range(120):
        committed = outcome(kept.journal.commit(body, stranger=True))
        kept.turn()
        refused += isinstance(committed[0], AuditFailed)
    assert refused
    assert sum("login are refused" in text for text in kept.told) == 1
    committed = outcome(kept.journal.commit(body))
    kept.turn()
    assert committed == [None]
    assert not kept.journal.failing
    kept.journal.apply(AuditConfig(sync="never", max_size=Octets(1_000_000)))
    committed = outcome(kept.journal.commit(event(), stranger=True))
    kept.turn()
    assert committed == [None]
    kept.close()
    assert [x["refused"] for x in kept.lines() if x["event"] == "resumed"] == [refused]


def test_alsoAfterARestart(tmp_path: Path) -> None:
    """A journal that strangers have filled is not theirs to fill anew."""
    kept = Kept(tmp_path, max_size=100_000).open()
    body = f'"event":"decision","filler":"{"x" * 900}"'
    for _ in range(120):
        outcome(kept.journal.commit(body, stranger=True))
        kept.turn()
    kept.close()
    again = Kept(tmp_path, max_size=100_000).open()
    stranger = outcome(again.journal.commit(body, stranger=True))
    again.turn()
    user = outcome(again.journal.commit(body))
    again.turn()
    assert isinstance(stranger[0], AuditFailed)
    assert user == [None]
    again.close()
