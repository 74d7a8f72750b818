"""
How a broker starts: where, as whom, and what it says when it cannot.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksgw.system import brokerstart
from socksgw.system.broker import Broker
from socksgw.system.brokerstart import brokerMain
from tests.live.netns import alone, passable
from tests.live.running import environment
from tests.live.servers import missing
from tests.system.brokers import Threaded


def run(*arguments: str, user: str = "") -> tuple[int, str]:
    """Run the command, and return its status and errors."""
    as_ = ["setpriv", f"--reuid={user}", "--clear-groups", "--"] if user else []
    command = [sys.executable, "-m", "socksgw.console.command", "netns-broker"]
    done = subprocess.run(
        [*as_, *command, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.fixture
def privileged() -> Iterator[None]:
    """A broker in this process, which keeps what it has."""
    with pytest.MonkeyPatch.context() as kept:
        kept.setattr(brokerstart, "giveUpPrivileges", lambda: None)
        yield


def test_noSuchNamespace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error with a remedy."""
    me = "root" if os.getuid() == 0 else None
    assert brokerMain("no-such-netns", tmp_path / "s", me) == 2
    assert "ip netns add no-such-netns makes one" in capsys.readouterr().err


def test_rootHasToSayWho(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who the gateway is; and the user has to be there."""
    if os.getuid() == 0:
        assert brokerMain("x", tmp_path / "s", None) == 2
        assert "--user socksgw" in capsys.readouterr().err
    assert brokerMain("x", tmp_path / "s", "no-such-user") == 2
    assert 'there is no user "no-such-user"' in capsys.readouterr().err


@pytest.mark.usefixtures("privileged")
def test_itsPlace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left of a broker is removed; what serves, or is another thing, is not."""
    monkeypatch.setattr(brokerstart, "NAMESPACES", Path("/proc/self/ns"))
    monkeypatch.setattr(Broker, "serve", lambda self: self._listening.close())
    me = "root" if os.getuid() == 0 else None
    for _ in range(2):
        assert brokerMain("net", tmp_path / "dir" / "s", me) == 1
        assert (tmp_path / "dir" / "s").stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    assert brokerMain("net", tmp_path / "file", me) == 2
    assert "is not a socket" in capsys.readouterr().err
    monkeypatch.undo()
    other = Threaded(tmp_path / "other")
    monkeypatch.setattr(brokerstart, "NAMESPACES", Path("/proc/self/ns"))
    assert brokerMain("net", tmp_path / "other", me) == 2
    assert "another broker serves" in capsys.readouterr().err
    other.end()


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_privilegesAreGone(user: str) -> None:
    """Also those that a supervisor gives another user than root (ambient ones)."""
    if os.getuid() != 0:
        missing("root, who gives the privileges")
    had = "+chown,+net_raw"
    script = (
        "import re; from pathlib import Path\n"
        "from socksgw.system.brokerstart import giveUpPrivileges\n"
        "def told():\n"
        "    text = Path('/proc/self/status').read_text()\n"
        "    print(*(int(x, 16) for x in re.findall(r'Cap(?:Prm|Eff|Amb):(.*)', text)))\n"
        "    print(*re.findall(r'NoNewPrivs:\\s*(.)', text))\n"
        "told(); giveUpPrivileges(); told()\n"
    )
    done = subprocess.run(
        passable(
            "setpriv", f"--reuid={user}", "--clear-groups", f"--inh-caps={had}",
            f"--ambient-caps={had}", "--", sys.executable, "-c", script,
        ),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )  # fmt: skip
    before, _, after, new = done.stdout.splitlines()
    assert all(map(int, before.split()))
    assert (after, new) == ("0 0 0", "1")


def test_withoutPrivilege() -> None:
    """Somebody who may not enter is told what is needed, and how to do without."""
    assert alone("tests.system.test_brokerstart") == ""


if __name__ == "__main__":
    subprocess.run(["ip", "netns", "add", "red"], check=True)
    code, said = run("red", "--socket", "/tmp/never.sock", user="nobody")
    assert code == 2, said
    for words in ("CAP_SYS_ADMIN", "--user", "NetworkNamespacePath=/run/netns/red"):
        assert words in said, said
