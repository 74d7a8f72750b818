"""
Where a client connected to last, as workers tell each other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from socksgw.gateway.networks import Networks
from socksgw.route.outward import Last
from socksgw.system.domains import OWN, Domain
from socksgw.wire.address import Address
from socksgw.workers.destinations import answer, lastsIn, question, together

ALICE = (b"\x04\xc0\x00\x02\x09", "al\udcffice")
BOB = (ALICE[0], "bob")
FOUR, SIX = Address.parse("198.51.100.7"), Address.parse("2001:db8::7")
RED, BLUE = Domain("device", "red"), Domain("netns", "blue")


def test_askedAndAnswered() -> None:
    """
    Each answers for its own clients, domain by domain, and the answers of all are
    what the one who asked gets; nobody comes to know a domain by being asked.
    """
    nothing: Any = None
    workers = [Networks(Path(), nothing, nothing, nothing) for _ in range(3)]
    first, second, _ = workers
    first.outwardOf(OWN).connected(ALICE, FOUR)
    first.outwardOf(RED).connected(ALICE, SIX)
    second.outwardOf(OWN).connected(ALICE, FOUR)
    second.outwardOf(OWN).connected(BOB, SIX)

    def asked(domain: Domain, client: Any, version: int) -> list[Address]:
        message = json.loads(json.dumps(question(domain, client, version)))
        answers = [json.loads(json.dumps(answer(message, w))) for w in workers]
        lasts = lastsIn(together(answers))
        known = [w.last(domain, client, version) for w in workers]
        assert lasts == [each for each in known if each is not None]
        return [each.destination for each in lasts]

    assert asked(OWN, ALICE, 4) == [FOUR, FOUR]
    assert asked(RED, ALICE, 6) == [SIX]
    assert asked(OWN, BOB, 6) == [SIX]
    for nowhere in ((OWN, BOB, 4), (RED, BOB, 6), (BLUE, ALICE, 4)):
        assert asked(*nowhere) == []
    assert all(BLUE not in each._known for each in workers)
    assert isinstance(first.last(OWN, ALICE, 4), Last)
