"""
Sets of ports.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from socksgw.policy.ports import Ports


@given(st.lists(st.sampled_from([80, 443, "1-3", "8000-8099", "1-65535"]), unique=True))
def test_fewPorts(words: list[int | str]) -> None:
    """Each port of those that are not many, and one of those that are some."""
    ports = Ports(words)
    few = ports.few(256)
    assert (few is None) is ("1-65535" in words)
    if few is not None:
        assert few == {port for port in range(1, 9000) if port in ports}
    assert bool(ports) is bool(words)
    if ports:
        assert ports.one() in ports
