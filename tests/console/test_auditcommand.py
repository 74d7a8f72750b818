"""
What reads the journal starts without a gateway.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.console.auditcommand import AUDIT
from socksgw.console.command import main
from socksgw.console.parser import makeParser
from socksgw.console.usage import commandsOf
from tests.live.running import environment
from tests.tools.journals import chainOf, decision, written

STARTED = """
import sys
from socksgw.console.command import main
status = main(["audit", "search", "--user", "alice", "--json"])
wrong = ("socksgw.gateway.gateway", "socksgw.session", "twisted.internet.reactor")
print(status, [name for name in wrong if name in sys.modules])
"""


def test_alone(tmp_path: Path) -> None:
    """No gateway is imported, and no reactor."""
    written(tmp_path / "var" / "audit", chainOf([decision(1)]))
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    line, told = done.stdout.splitlines()
    assert '"user":"alice"' in line
    assert told == "0 []", done.stderr


@pytest.mark.parametrize("name", AUDIT)
def test_sameHelp(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is described as in the manual."""
    with pytest.raises(SystemExit) as caught:
        main(["audit", name, "--help"])
    assert caught.value.code == 0
    whole = commandsOf(makeParser())[f"audit {name}"].format_help()
    assert capsys.readouterr().out == whole


def test_statuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of wrong use, of a wrong configuration, and of a journal that is not there."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["audit", "serach"])
    assert caught.value.code == 2
    (tmp_path / "gw.toml").write_text("x = 1\n")
    assert main(["audit", "verify", "--config", "gw.toml"]) == 2
    assert "gw.toml:1: x: unknown key" in capsys.readouterr().err
    assert main(["audit", "search", "--user", "alice"]) == 2
