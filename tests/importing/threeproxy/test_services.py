"""
Commands of a 3proxy server's file: each is in the manual's chapter.
"""

from __future__ import annotations

import re
from pathlib import Path

from socksgw.importing.threeproxy.services import (
    ELSEWHERE,
    LIMITS,
    NOWHERE,
    OTHERS,
    PORTS,
)
from tests.live.running import ROOT, socksgw

CHAPTER = (ROOT / "socksgw" / "manual" / "3proxy.rst").read_text()
#: What is written, by its own words.
WRITTEN = frozenset(
    [
        "allow",
        "deny",
        "redirect",
        "parent",
        "flush",
        "auth",
        "users",
        "internal",
        "external",
        "maxconn",
        "timeouts",
        "nserver",
        "nsrecord",
        "fakeresolve",
        "include",
        "end",
        "ssl_serv",
        "ssl_server",
        "ssl_noserv",
        "ssl_noserver",
        "ssl_server_cert",
        "ssl_server_key",
        "ssl_server_verify",
    ]
)


def test_eachIsInTheManual() -> None:
    """In the table, in its first column."""
    table = CHAPTER.partition("What each command is here")[2]
    first = re.findall(r"(?m)^``.*?(?:  |$)", table.partition("What differs")[0])
    told = set(re.findall(r"``([^`]+)``", "\n".join(first)))
    known = {*WRITTEN, *ELSEWHERE, *LIMITS, *NOWHERE, *OTHERS, *PORTS}
    assert known - told == set()


def test_theChapter(tmp_path: Path) -> None:
    """Its file is imported, and what comes out is good."""
    text = re.search(r"(?s)with a password::\n\n(.*?)\n\nFirst, import", CHAPTER)
    assert text is not None
    file = tmp_path / "3proxy.cfg"
    file.write_text(re.sub("(?m)^    ", "", text[1]) + "\n")
    made = tmp_path / "gateway.toml"
    done = socksgw("import", str(file), "-o", str(made))
    assert done.returncode == 0, done.stderr
    assert "WIDER" not in done.stderr
    assert (tmp_path / "3proxy.users").stat().st_mode & 0o777 == 0o600
    done = socksgw("check", str(made))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "anonymous" in done.stdout
