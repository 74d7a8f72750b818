"""
What is said once.
"""

from __future__ import annotations

from socksgw.system.once import Once, Seldom


def test_once() -> None:
    """Its beginning is said once, and so is its end, which allows another."""
    once = Once()
    assert not once.ends()
    for _ in range(2):
        assert [once.begins(), once.begins()] == [True, False]
        assert [once.ends(), once.ends()] == [True, False]


def test_several() -> None:
    """Each for itself."""
    once = Once()
    assert [once.begins(what) for what in "abab"] == [True, True, False, False]
    assert once.ends("a")
    assert [once.begins(what) for what in "ab"] == [True, False]
    once.clear()
    assert not once.ends("a")
    assert once.begins("b")


def test_allThatHolds() -> None:
    """What was there the last time is not said; what was away meanwhile is."""
    once = Once()
    assert once.holds(["a", "b"]) == ["a", "b"]
    assert once.holds(["b", "c"]) == ["c"]
    assert once.holds(iter("acb")) == ["a"]
    assert once.holds([]) == []


def test_seldom() -> None:
    """At the first time, and then when so many seconds have passed."""
    seldom = Seldom(10)
    times = (-3.0, 0.0, 6.9, 7.0, 8.0, 40.0, 49.0, 50.0)
    assert [now for now in times if seldom.due(now)] == [-3.0, 7.0, 40.0, 50.0]
