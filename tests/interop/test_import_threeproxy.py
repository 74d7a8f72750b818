"""
What was imported decides as the original does: 3proxy and a gateway are asked the same,
in one network; the requests are made of the file.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.live.netns import alone

DAY = "1-5" if datetime.now(UTC).weekday() < 5 else "6,7"
#: In the manner of 3proxy's sample: by address, by login, by operation.
#: Without -Ne 3proxy 1.0.0 names its own port in answer to BIND, not the one it listens on.
OFFICE = f"""\
users alice:CL:wonderland-7 bob:CL:wonderland-7 somebody:CL:wonderland-7
internal 10.0.0.1
external 10.0.0.1
maxconn 500
auth iponly
deny * * 10.1.1.0/24,*.bad.example
allow * 10.0.0.0/16 10.1.0.0/16,10.2.0.1-10.2.0.9 25,80-90
allow * 10.0.1.0/24 * * CONNECT,UDPASSOC {DAY} 00:00:00-24:00:00
deny * * 10.4.0.0/16 * * * 00:00:00-24:00:00
allow * 10.3.0.1,10.3.0.9 *.good.example,exact.example,10.4.0.0/15
socks -Ne10.0.0.1
flush
auth strong
deny bob * 10.5.0.0/16
allow alice,bob 10.0.0.0/8 10.0.0.0/8 443
allow alice * * 1000-2000 HTTP,HTTPS
proxy -n -p3129
flush
auth iponly strong
allow * 10.6.0.0/16 10.7.0.0/16
allow bob * 10.8.0.0/16 22
socks -p1081 -Ne10.0.0.1
"""


def test_threeproxy(tmp_path: Path) -> None:
    """Some hundred requests get the same verdict from each of them."""
    threeproxy = shutil.which("3proxy")
    if threeproxy is None:
        # Neither Debian nor PyPI has it: missing() would fail wherever CI runs.
        pytest.skip("no 3proxy in PATH: build github.com/3proxy/3proxy 1.0")
    file = tmp_path / "3proxy.cfg"
    file.write_text(OFFICE)
    asked = json.loads(
        alone("tests.interop.importing_threeproxy", str(file), threeproxy)
    )
    assert len(asked) > 200
    assert [each for each in asked if len(set(each[3])) > 1] == []
    verdicts: dict[str, set[bool]] = {}
    for _, _, (operation, *_), (theirs, *_) in asked:
        verdicts.setdefault(operation, set()).add(theirs)
    assert [each for each, said in verdicts.items() if len(said) < 2] == []
