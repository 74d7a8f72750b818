"""
Lines of the journal in the formats of other programs: pure functions.

Each format is the function of its name in the module of its name, which is imported
when a sink uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from socksgw.audit.formats.facts import Origin
from socksgw.audit.formats.sound import WRONG, sound

__all__ = ["FORMATS", "NATIVE", "Format", "formatOf"]

#: The lines as they are in the journal.
NATIVE: Final = "native"
#: The names of all formats.
FORMATS: Final = (NATIVE, "cef", "ecs", "ocsf")

Format = Callable[[Mapping[str, Any]], bytes | None]


def formatOf(name: str, gateway: str) -> Format | None:
    """
    Return what makes a format of a line's members.

    @param name: one of L{FORMATS}, or empty.
    @param gateway: the name of the gateway.
    @return: L{None} for lines as they are, which need not be parsed. What it returns is
        without a line feed; L{None} where the format leaves such events out.
    """
    if name in ("", NATIVE):
        return None
    module = import_module(f"{__name__}.{name}")
    origin = Origin(gateway, version("socksgw"))
    made: Callable[[Mapping[str, Any], Origin], bytes | None] = getattr(module, name)

    def of(fields: Mapping[str, Any]) -> bytes | None:
        try:
            return made(fields, origin)
        except WRONG:
            return made(sound(fields), origin)

    return of
