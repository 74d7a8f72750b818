"""
How a client's octets are protected on the wire, in the words of the policy.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLEAR", "CONFIDENTIALITY", "INTEGRITY", "LEVELS"]

#: Not at all.
CLEAR: Final = "clear"
#: Nothing can be changed unnoticed, and everything can be read.
INTEGRITY: Final = "integrity"
#: Nothing can be changed or read.
CONFIDENTIALITY: Final = "confidentiality"
#: All of them, the weakest first.
LEVELS: Final = (CLEAR, INTEGRITY, CONFIDENTIALITY)
