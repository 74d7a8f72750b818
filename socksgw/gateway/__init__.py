"""
The running service: what one configuration came to, listeners, reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socksgw.gateway.gateway import CannotStart, Gateway, SocksFactory

__all__ = ["CannotStart", "Gateway", "SocksFactory"]


def __getattr__(name: str) -> object:
    """
    Import the gateway when somebody asks for it: the parts of this package are
    also used without it.
    """
    if name in __all__:
        from socksgw.gateway import gateway

        return getattr(gateway, name)
    raise AttributeError(name)
