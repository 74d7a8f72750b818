"""
The running service: generations, listeners, reload, revocation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from socksgw.gateway.factory import SocksFactory
    from socksgw.gateway.gateway import Gateway
    from socksgw.gateway.starting import CannotStart

__all__ = ["CannotStart", "Gateway", "SocksFactory"]

#: The modules of the public names. They are imported when a name is used, since
#: C{socksgw check} needs parts of this package, and not a whole gateway.
_MODULES: Final = {
    "CannotStart": "socksgw.gateway.starting",
    "Gateway": "socksgw.gateway.gateway",
    "SocksFactory": "socksgw.gateway.factory",
}


def __getattr__(name: str) -> object:
    """
    Import a public name of the package.

    @raise AttributeError: there is no public name like that.
    """
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(name)
