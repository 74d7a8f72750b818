"""
The stages of a session.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Stage"]


class Stage(Enum):
    """The seven folders, in the order of a session."""

    ACCEPT = "accept"
    NEGOTIATE = "negotiate"
    LOGIN = "login"
    POLICY = "policy"
    ROUTE = "route"
    RELAY = "relay"
    AUDIT = "audit"
