"""
The stages of a session.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Stage"]


class Stage(Enum):
    """
    The stages, each of which is a folder of C{socksgw}.

    L{socksgw.session.session} says in which order a session goes through them.
    """

    ACCEPT = "accept"
    NEGOTIATE = "negotiate"
    LOGIN = "login"
    POLICY = "policy"
    ROUTE = "route"
    RELAY = "relay"
    AUDIT = "audit"
