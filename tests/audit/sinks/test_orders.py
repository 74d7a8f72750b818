"""
Orders and standings go through pipes as they are.
"""

from __future__ import annotations

from socksgw.audit.sinks.orders import Order, Orders, Standing


def test_theyComeAsTheyWent() -> None:
    """Each is one line; the secrets of orders are not in their text for people."""
    order = Order(
        "n", "sql", "m", "sql://u:canary@h", "native", "first", {"batch": 3, "x": ["y"]},
        {"token_file": b"\xffcanary\n"}, "/etc", "edge",
    )  # fmt: skip
    orders = Orders("/var/audit", "/var", (order,), 17)
    octets = orders.octets()
    assert octets.count(b"\n") == 1
    assert Orders.of(octets) == orders
    assert "canary" not in repr(orders)
    standings = [Standing("n"), Standing("o", "failing", 4, 3, 2, 1, 7, 8, "wh\ny")]
    octets = Standing.octets(standings)
    assert octets.count(b"\n") == 1
    assert Standing.every(octets) == standings
