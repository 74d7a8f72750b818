"""
URLs of databases, without the libraries that use them.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from socksgw.warehouse.address import checkUrl
from socksgw.warehouse.errors import WarehouseError


def test_filesAndServers() -> None:
    assert not checkUrl("sqlite:///audit.db")
    assert not checkUrl("sqlite:////var/lib/audit.db")
    assert checkUrl("postgresql://u:p%25@h:5432/d?sslmode=verify-full")


def test_withoutTheExtra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is told, when the configuration is read."""
    monkeypatch.setattr("socksgw.warehouse.address.find_spec", lambda name: None)
    with pytest.raises(WarehouseError, match=r"pip install 'socksgw\[postgres\]'"):
        checkUrl("postgresql://h/d")
    assert not checkUrl("sqlite:///audit.db")


@pytest.mark.parametrize(
    "text", ["postgresql://u:canary@h:x/d", "mysql://u:canary@h/d", "canary"]
)
def test_itIsNotRepeated(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(WarehouseError) as raised:
        checkUrl(text)
    assert "canary" not in str(raised.value)


def test_nothingLargeIsImported() -> None:
    """
    Not by a gateway, which imports the plug-in to read its configuration, nor by
    commands.
    """
    program = (
        "import sys, socksgw.tap, socksgw.gateway.factory, socksgw.console.examined; "
        "from socksgw.console.parser import makeParser; makeParser(); "
        "from socksgw.audit.sinks.discovery import findSinks; "
        "assert 'sql' in findSinks()[0]; "
        "print([m for m in ('sqlalchemy', 'psycopg') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
