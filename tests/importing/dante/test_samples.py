"""
Requests that are made of the rules of a Dante server.
"""

from __future__ import annotations

from socksgw.importing.dante.file import read
from socksgw.importing.dante.rules import ruleOf
from socksgw.importing.dante.samples import samples

RULES = """\
client pass { from: 10.0.0.0/8 to: 0/0 }
socks pass { from: 10.3.0.0/16 to: 10.2.0.0/16 port 20-25
  user: alice
}
"""


def test_bothSidesOfEachEnd() -> None:
    """Within networks and ports, and beside them; as users whom rules name."""
    found = [ruleOf(each) for each in read(RULES).blocks]
    made = [
        *samples(found[:1], found[1:], [("10.0.0.1", 1080)], [("username", "somebody")])
    ]
    assert len(made) == len({*made})
    assert {each.source for each, _ in made} == {
        "10.0.0.1", "10.3.0.1", "93.184.215.14",
    }  # fmt: skip
    assert {each.user for each, _ in made} == {"alice", "somebody"}
    asked = {(each.host, each.port) for _, each in made}
    for host in ("10.2.0.1", "10.3.0.0", "93.184.215.14"):
        assert {port for other, port in asked if other == host} >= {19, 20, 25, 26}
    assert {each.command for _, each in made} == {"connect", "bind", "udp"}
