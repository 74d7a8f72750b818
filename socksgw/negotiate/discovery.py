"""
The authentication methods that are installed.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import socksgw.plugins
from socksgw.interfaces import IAuthMethod
from socksgw.negotiate.capabilities import capabilitiesOf

__all__ = ["findMethods"]


def findMethods() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """
    Import every module C{auth_*} of L{socksgw.plugins}.

    Other packages may have added folders to its path.

    @return: the methods by name, and every module that is broken, with why.
    """
    found: dict[str, Any] = {}
    broken: list[tuple[str, str]] = []
    for module in pkgutil.iter_modules(socksgw.plugins.__path__):
        if not module.name.startswith("auth_"):
            continue
        name = f"{socksgw.plugins.__name__}.{module.name}"
        try:
            method = getattr(import_module(name), "method", None)
            if method is None:
                raise Invalid("has no module-level name `method`")
            verifyObject(IAuthMethod, method)
            if not isinstance(method.name, str):
                raise Invalid("the method's name is not a string")
            code, can = method.code, capabilitiesOf(method)
            if code is None and not can.challenge:
                raise Invalid(
                    "the method has no code, and no challenge for HTTP either"
                )
            if code is not None and (not isinstance(code, int) or not 0 <= code < 0xFF):
                raise Invalid("the method's code is not a number from 0 to 254")
        except Invalid as e:
            broken.append((name, " ".join(str(e).split())))
        except Exception as e:
            # An import can fail with anything: it is reported, not hidden.
            why = f"{type(e).__name__}: {e}"
            broken.append((name, " ".join(why.split())))
        else:
            if method.name in found:
                broken.append((name, f'a second method named "{method.name}"'))
            else:
                found[method.name] = method
    return found, broken
