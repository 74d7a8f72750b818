"""
The running service: what one configuration came to, listeners, reload.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socksgw.gateway.factory import SocksFactory
    from socksgw.gateway.gateway import Gateway
    from socksgw.gateway.listeners import CannotStart

__all__ = ["CannotStart", "Gateway", "SocksFactory"]

#: The modules of the public names. C{socksgw check} needs parts of this package
#: without a gateway, so they are imported when they are asked for.
_MODULES: Final = {
    "CannotStart": "socksgw.gateway.listeners",
    "Gateway": "socksgw.gateway.gateway",
    "SocksFactory": "socksgw.gateway.factory",
}


def __getattr__(name: str) -> object:
    """
    Import a public name.

    @raise AttributeError: there is none of that name.
    """
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(name)
