"""
What would hold up the reactor is made ready in a thread.
"""

from __future__ import annotations

import grp
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.accept import unixport
from socksgw.accept.unixport import ownerOf
from socksgw.config.loading import loads
from socksgw.gateway.foresight import foresee
from tests.live.running import OPEN

MORE = """
[admin]
endpoint = ["unix:/run/admin.sock"]
owner = "root:root"
[[auth.checker]]
kind = "jwt"
[[auth.checker]]
kind = "nobody.has.that"
[[decider]]
name = "ask"
url = "https://127.0.0.1/"
[pac]
address = ["127.0.0.1:8081"]
"""
WANTED = (
    "socksgw.admin.server",
    "socksgw.gateway.deciders",
    "socksgw.gateway.pacserver",
    "socksgw.login.stores.jwt",
    "twisted.web.server",
)


def test_modules(tmp_path: Path) -> None:
    """All that takes long to import is there; what is missing is no failure here."""
    (tmp_path / "more").write_text(OPEN + MORE)
    program = f"""
import sys
from socksgw.config.loading import loads
from socksgw.gateway.foresight import foresee
missing = [each for each in {WANTED} if each not in sys.modules]
assert len(missing) == {len(WANTED)}, missing
foresee(loads(open("more").read(), "gw.toml"))
print([each for each in {WANTED} if each not in sys.modules])
"""
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_ownersOfSockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The system is asked for them again at each reading, and not when a socket is made.
    One that it does not know is an error there.
    """
    monkeypatch.setattr(unixport, "_asked", {})
    asked: list[str] = []
    numbers = {"web": 5, "staff": 6}

    def number(name: str) -> int:
        asked.append(name)
        return numbers[name]

    monkeypatch.setattr(unixport, "_userNamed", number)
    monkeypatch.setattr(unixport, "_groupNamed", number)
    listen = '[[listen]]\nname = "{}"\naddress = ["unix:/run/{}"]\nowner = "{}"\n'
    owners = ("web:staff", "nobody-has-that", "7:8")
    text = "".join(listen.format(i, i, each) for i, each in enumerate(owners))
    config = loads(text + '[[rule]]\nid = "a"\nallow = "any"\n', "gw.toml", tmp_path)
    for web in (5, 9):
        numbers["web"] = web
        foresee(config)
        assert asked == ["web", "staff", "nobody-has-that"]
        asked.clear()
        assert ownerOf("web:staff") == (web, 6)
        assert ownerOf("7:8") == (7, 8)
        assert asked == []
    with pytest.raises(ValueError, match="nobody-has-that"):
        ownerOf("nobody-has-that")


def test_theRealOnes() -> None:
    """As the system says."""
    unixport.askOwner("root:root")
    assert ownerOf("root:root") == (
        pwd.getpwnam("root").pw_uid,
        grp.getgrnam("root").gr_gid,
    )
