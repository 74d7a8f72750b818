"""
What the facts of a session say of where it leads.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from socksgw.session.case import Case
from socksgw.wire.address import Address
from tests.fakes.policy import PUBLIC


@pytest.mark.parametrize(
    ("own", "banned", "loops"),
    [(PUBLIC, True, True), (PUBLIC, False, False), ("8.8.8.9", True, False)],
)
def test_aConnectionThatLoops(own: str, banned: bool, loops: bool) -> None:
    """
    Both ends have one address, and `self` is banned: so a destination, and the peer
    of a BIND, is known for this host though nothing said so before.
    """
    never = SimpleNamespace(bansSelf=lambda address, port: banned)
    ruleset = SimpleNamespace(never=never)
    case: Any = SimpleNamespace(
        generation=SimpleNamespace(policy=SimpleNamespace(ruleset=ruleset))
    )
    assert Case.loops(case, Address.parse(own), Address.parse(PUBLIC), 443) is loops
