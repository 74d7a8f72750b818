"""
The authentication methods that are installed.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.interfaces import IAuthMethod
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.system.discovery import discovered

__all__ = ["findMethods"]


def findMethods() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{auth_*} of L{socksgw.plugins}.

    @return: the methods by name, and every module that is broken, with why.
    """
    return discovered(socksgw.plugins, "auth_", "method named", _methodIn)


def _methodIn(module: ModuleType) -> list[Any]:
    """
    Return the method of a module.

    @raise Invalid: it is not what it should be.
    """
    method = getattr(module, "method", None)
    if method is None:
        raise Invalid("has no module-level name `method`")
    verifyObject(IAuthMethod, method)
    if not isinstance(method.name, str):
        raise Invalid("the method's name is not a string")
    code, can = method.code, capabilitiesOf(method)
    if code is None and not can.challenge:
        raise Invalid("the method has no code, and no challenge for HTTP either")
    if code is not None and (not isinstance(code, int) or not 0 <= code < 0xFF):
        raise Invalid("the method's code is not a number from 0 to 254")
    return [method]
