"""
How fast lines become rows.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from socksgw.audit.sinks.entries import Lines
from socksgw.audit.sinks.reader import JournalReader
from socksgw.warehouse.writing import Writer
from tests.tools.journals import chainOf, decision, ending, written

#: Lines a second, at least.
AIM = 20_000
SESSIONS = 10_000


@pytest.mark.alone
def test_linesASecond(tmp_path: Path) -> None:
    """
    20,000 and more go into SQLite, by the steps of the sinks' process: read, parsed,
    written. The best of three counts: others use the machine, too.
    """
    bodies = []
    for i in range(1, SESSIONS + 1):
        host = f"host{i % 300}.example"
        bodies.append(decision(i, user=f"user{i % 100}", asked=host, name=host))
        if i > 40:
            bodies.append(ending(i - 40))
    written(tmp_path / "audit", chainOf(bodies))
    rates = []
    for name in "abc":
        reader = JournalReader(tmp_path / "audit", Lines())
        reader.after(0)
        writing = Writer(f"sqlite:///{name}.db", tmp_path, "gw")
        writing.open()
        began = time.process_time()
        while lines := reader.read():
            for at in range(0, len(lines), 1000):
                writing.write(lines[at : at + 1000])
        rates.append(len(bodies) / (time.process_time() - began))
        assert writing.position == len(bodies)
        writing.close()
        reader.close()
    assert max(rates) >= AIM, [round(each) for each in rates]
