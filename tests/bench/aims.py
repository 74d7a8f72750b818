"""
What the benchmarks say of a figure beside its aim.
"""

from __future__ import annotations


def verdict(held: bool) -> str:
    """Return the word for an aim that holds, or does not."""
    return "ok" if held else "NOT REACHED"
