"""
Files of a Dante server, read.
"""

from __future__ import annotations

import pytest

from socksgw.importing.dante.file import read
from socksgw.importing.host import Unreadable

#: In the forms that danted 1.4.2 reads.
TEXT = """\
# settings
logoutput: syslog stderr
internal: 10.0.0.1 port = 1080
internal: fd00::1 port = 1080
external: eth1
socksmethod: none username  # in this order

client pass { from: fd00::/8 to: ::/0 log: connect }
socks block {
    from: 0/0 to: .example.com port 20-25
    user: alice bob
}
pass { from: 0.0.0.0/0 port > 1023 to: 10.0.0.0/8 }
route { from: 0/0 to: 0/0 via: 10.0.0.9 port = 1080 }
"""


def test_everyForm() -> None:
    """Keywords, one or several in a line, addresses with colons, comments."""
    file = read(TEXT)
    assert [(each.line, each.keyword, each.values) for each in file.said] == [
        (2, "logoutput", ("syslog", "stderr")),
        (3, "internal", ("10.0.0.1", "port", "=", "1080")),
        (4, "internal", ("fd00::1", "port", "=", "1080")),
        (5, "external", ("eth1",)),
        (6, "socksmethod", ("none", "username")),
    ]
    found = [(b.kind, b.passes, b.line, b.last) for b in file.blocks]
    assert found == [
        ("client", True, 8, 8),
        ("socks", False, 9, 12),
        ("socks", True, 13, 13),
        ("route", False, 14, 14),
    ]
    client, block, *_ = file.blocks
    assert client.of("from") == ("fd00::/8",)
    assert client.of("to") == ("::/0",)
    assert block.of("to") == (".example.com", "port", "20-25")
    assert block.of("user") == ("alice", "bob")
    assert block.of("group") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("internal: 10.0.0.1\nallow all\n", "line 2: 'allow' begins neither"),
        ("client pass\nfrom: 0/0\n", "line 1: a rule needs {"),
        ("socks pass {\nfrom: 0/0\n", "line 1: the rule that begins here"),
        ("socks pass { 0/0 }\n", "line 1: '0/0' is no keyword"),
        ("client { from: 0/0 }\n", "line 1: 'client' begins neither"),
    ],
)
def test_whatIsNone(text: str, why: str) -> None:
    """The line is named."""
    with pytest.raises(Unreadable) as raised:
        read(text)
    assert str(raised.value).startswith(why)
