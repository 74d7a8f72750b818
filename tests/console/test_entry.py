"""
Where the command starts: C{connect} without the rest, all else as ever.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from socksgw.console import entry
from socksgw.console.parser import makeParser
from socksgw.console.usage import commandsOf

#: Ends with a refusal: nothing listens at that port of loopback.
STARTED = """
import sys
from socksgw.console.entry import main
status = main(["connect", "db.example", "22", "--proxy", "socks5://127.0.0.1:1"])
print(status, sorted(m for m in sys.modules if m.startswith("socksgw.")))
"""


def test_connectAlone() -> None:
    """No part of the gateway is imported, nor its configuration."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("3 "), done.stderr
    assert "socksgw.client" in done.stdout
    for other in ("gateway", "config", "session", "policy", "route", "relay"):
        assert f"'socksgw.{other}" not in done.stdout


def test_sameHelp(capsys: pytest.CaptureFixture[str]) -> None:
    """It is described as in the manual."""
    with pytest.raises(SystemExit) as caught:
        entry.main(["connect", "--help"])
    assert caught.value.code == 0
    whole = commandsOf(makeParser())["connect"].format_help()
    assert capsys.readouterr().out == whole


def test_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Every other word goes to the whole command."""
    assert entry.main(["help", "no such topic"]) == 2
    assert "no such topic" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        entry.main(["pigeons"])
