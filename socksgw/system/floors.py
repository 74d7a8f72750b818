"""
The oldest versions of other packages that the gateway may run with.

pip sees to them, but not whoever installs packages without their dependencies.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version

__all__ = ["outdated"]


def outdated() -> list[str]:
    """
    Return a line for each installed package that is older than C{setup.cfg} says.

    Only packages that every gateway needs are looked at. Where the gateway is not
    installed itself there is nothing to look at.
    """
    found = []
    with suppress(PackageNotFoundError):
        for each in requires("socksgw") or []:
            match = re.match(r"([\w.-]+)[^;]*?>= *([\d.]+)[^;]*$", each)
            if match is None:
                continue
            name, floor = match.groups()
            has = version(name)
            if _numbers(has) < _numbers(floor):
                found.append(
                    f"{name} {has} is older than {floor}, which the gateway needs: "
                    "older ones have known defects, perhaps of security"
                )
    return found


def _numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", text)]
