"""
By which entries of C{[networks]} a rule matches.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from socksgw.policy.entries import entriesOf
from socksgw.policy.facts import Facts
from socksgw.wire.address import Address

TEXT = """
[networks]
inside = ["private", "10.0.0.0/8", "=Db.Corp.Example", "*.lab.example"]
all = ["inside", "10.1.0.0/16"]
clients = ["192.168.0.0/16"]
[[rule]]
id = "a"
allow = ["connect"]
from = ["clients", "127.0.0.0/8"]
to = ["all", "inside", "9.9.9.9"]
resolving_to = ["inside"]
"""


@pytest.mark.parametrize(
    ("name", "address", "source", "found"),
    [
        (
            None,
            "10.1.2.3",
            "192.168.4.5",
            [
                'to = "all": gw.toml:3: "10.0.0.0/8"',
                'to = "all": gw.toml:4: "10.1.0.0/16"',
                'resolving_to = "inside": gw.toml:3: "10.0.0.0/8"',
                'from = "clients": gw.toml:5: "192.168.0.0/16"',
            ],
        ),
        ("db.corp.example", "8.8.8.8", None, ['to = "all": gw.toml:3: "=Db.Corp.Example"']),
        ("a.lab.example", "8.8.8.8", "127.0.0.1", ['to = "all": gw.toml:3: "*.lab.example"']),
        ("lab.example", "9.9.9.9", None, []),
    ],
)  # fmt: skip
def test_entries(
    name: str | None, address: str, source: str | None, found: list[str]
) -> None:
    """Each word once, also where an entry is in another one; others tell nothing."""
    facts = Facts(
        "alice",
        frozenset(),
        "connect",
        name,
        443,
        (Address.parse(address),),
        source=None if source is None else Address.parse(source),
    )
    config = loads(TEXT, "gw.toml")
    assert list(entriesOf(config, "a", facts)) == found
    assert list(entriesOf(config, "never", facts)) == []
