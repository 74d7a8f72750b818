"""
Tags, which clients write behind their names.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "SEPARATORS", "isPatternOfTags", "isTag"]

#: Octets of the longest tag.
LONGEST: Final = 64
#: What may stand between a name and its tag.
SEPARATORS: Final = "+#%=,~._/-"
_TAG: Final = re.compile(rf"[A-Za-z0-9:{re.escape(SEPARATORS)}]{{1,{LONGEST}}}\Z")


def isTag(text: str) -> bool:
    """
    Tell whether a client may have such a tag.

    It may have letters, digits, colons and separators, so that no log or rule has to
    escape it.
    """
    return _TAG.match(text) is not None


def isPatternOfTags(text: str) -> bool:
    """Tell whether it is a tag, or what tags begin with and C{*}."""
    beginning = text.removesuffix("*")
    return isTag(beginning) or text == "*"
