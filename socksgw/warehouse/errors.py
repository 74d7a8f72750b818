"""
What is wrong with a database, in one line with its remedy.
"""

from __future__ import annotations

__all__ = ["WarehouseError"]


class WarehouseError(Exception):
    """
    The database cannot be used; the text says why, and what helps. It holds no secret.
    """
