"""
Facts of sessions and users, as JSON has them: for another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from socksgw.interfaces import User
from socksgw.login.realm import SocksUser
from socksgw.wire.address import Address

__all__ = ["decoded", "encoded", "userOf", "userTold"]


def encoded(value: Any) -> Any:
    """
    Return a value as JSON has it.

    @raise TypeError: it is of no known type.
    """
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, bytes):
        return {"octets": value.hex()}
    if isinstance(value, Address):
        return {"address": value.packed.hex(), "key": value.sourceKey.hex()}
    if isinstance(value, (tuple, list)):
        return [encoded(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(value)}
    raise TypeError(f"{type(value).__name__} does not move")


def decoded(value: Any) -> Any:
    """
    Return what L{encoded} has encoded; sequences are tuples.

    @raise ValueError: it is none of that.
    """
    if isinstance(value, list):
        return tuple(decoded(each) for each in value)
    if not isinstance(value, dict):
        return value
    if "octets" in value:
        return bytes.fromhex(value["octets"])
    if "address" in value:
        address = Address(bytes.fromhex(value["address"]))
        address.sourceKey = bytes.fromhex(value["key"])
        return address
    return frozenset(value["set"])


def userTold(user: User) -> dict[str, Any]:
    """Return who somebody is."""
    found: Any = user
    return {name: encoded(value) for name, value in asdict(found).items()}


def userOf(told: Mapping[str, Any]) -> SocksUser:
    """
    Return whom L{userTold} has told of.

    @raise ValueError: it is none of that.
    """
    user = {name: decoded(value) for name, value in told.items()}
    del user["anonymous"]
    return SocksUser(**user)
