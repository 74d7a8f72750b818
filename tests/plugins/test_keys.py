"""
The keys of methods' tables, as the manual has them, and as they are read.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock

from socksgw.interfaces import Settings
from socksgw.plugins.auth_gssapi import GssapiMethod
from socksgw.plugins.auth_tls import TLSMethod
from tests.live.servers import Certificate
from tests.tools.keys import declared


def test_gssapi(tmp_path: Path) -> None:
    """Levels are words there, and objects in the code."""
    method = GssapiMethod()
    settings = Settings({"mechanism": "stub"}, tmp_path, name="gssapi")
    declared(
        method.keys,
        lambda read: method.build(read, MemoryReactorClock()),
        settings,
        "protection",
    )
    levels = ", ".join(f'"{level}"' for level in method.protection)
    assert f"default ``[{levels}]``" in method.keys["protection"]


def test_tls(tmp_path: Path) -> None:
    """Certificate and key are files of their own."""
    pair = Certificate(tmp_path)
    pair.key.chmod(0o600)
    method = TLSMethod()
    settings = Settings(
        {"certificate": str(pair.file), "key": str(pair.key)}, tmp_path, name="tls"
    )
    declared(
        method.keys, lambda read: method.build(read, MemoryReactorClock()), settings
    )
