"""
C{socksgw import}: what is written, what is told, and what is refused.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from socksgw.config.problems import ConfigError
from socksgw.console.importing import importMain
from tests.live.running import socksgw

HEAD = "internal: 10.0.0.1 port = 1080\nexternal: 10.0.0.1\nsocksmethod: none\n"
CLIENTS = "client pass { from: 10.0.0.0/8 to: 0/0 }\n"
GOOD = HEAD + CLIENTS + "socks pass { from: 0/0 to: 0/0 port = 443 }\n"


def imported(
    directory: Path,
    text: str,
    *,
    output: str = "",
    wider: bool = False,
    json_: bool = False,
) -> tuple[int, str, str]:
    """The exit status, what is printed, and what is told."""
    file = directory / "danted.conf"
    file.write_text(text)
    out, err = io.StringIO(), io.StringIO()
    status = importMain(
        str(file),
        None,
        str(directory / output) if output else None,
        wider,
        json_,
        out,
        err,
    )
    return status, out.getvalue(), err.getvalue()


def test_whatIsPrintedIsGood(tmp_path: Path) -> None:
    """Each table tells its lines, and check takes it, with its expectations."""
    status, text, told = imported(tmp_path, GOOD)
    assert status == 0
    assert 'id = "line-5"' in text
    assert "# lines 5 to 5: pass" in text
    assert text.count("[[expect]]") > 4
    assert "timeout.io: connections idle for two hours end here" in told
    made = tmp_path / "gw.toml"
    made.write_text(text)
    done = socksgw("check", str(made))
    assert done.returncode == 0, done.stdout + done.stderr


def test_aFileIsMadeOnce(tmp_path: Path) -> None:
    """What is there is not written over."""
    status, text, told = imported(tmp_path, GOOD, output="gw.toml")
    assert (status, text) == (0, "")
    assert "gw.toml is written; next: socksgw check" in told
    with pytest.raises(ConfigError, match="cannot be made: File exists"):
        imported(tmp_path, GOOD, output="gw.toml")


@pytest.mark.parametrize(
    ("setting", "within", "told"),
    [
        ("srchost: nodnsunknown\n", "", "srchost: names of clients are not looked up"),
        ("libwrap.hosts_access: yes\n", "", "libwrap.hosts_access: hosts.allow and"),
        ("something.new: 7\n", "", "something.new: this setting is not known"),
        ("", "libwrap: DENY", "libwrap: left out: nothing is run"),
        ("", "something.new: 7", "something.new: left out: this keyword is not"),
        (
            "",
            "session.throttle: 1/7200",
            "session.throttle: 1 in 7200 s are 1 in each hour",
        ),
    ],
)
def test_widerIsAnError(tmp_path: Path, setting: str, within: str, told: str) -> None:
    """Unless it is wanted; it is told, and marked in the file."""
    rule = f"socks pass {{ from: 0/0 to: 0/0\n{within}\n}}\n"
    text = HEAD + setting + CLIENTS + rule
    status, out, err = imported(tmp_path, text)
    assert (status, out) == (1, "")
    line = next(each for each in err.splitlines() if told in each)
    assert line.endswith("(WIDER)")
    assert "nothing is written" in err
    status, out, err = imported(tmp_path, text, wider=True)
    assert status == 0
    assert "(WIDER)" in out


def test_asJson(tmp_path: Path) -> None:
    """What is not the same, for programs."""
    status, out, err = imported(tmp_path, "logoutput: stderr\n" + GOOD, json_=True)
    assert (status, err) == (0, "")
    assert [each["said"] for each in json.loads(out)] == [
        "logoutput",
        "timeout.io",
        "socks pass",
        "to",
    ]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"[gateway]\n", "line 1: '[gateway]' begins neither"),
        (b"\xff\xfe", "begins neither a setting nor a rule"),
        (None, "cannot be read: No such file"),
    ],
)
def test_otherFiles(tmp_path: Path, octets: bytes | None, why: str) -> None:
    """They are refused with the line."""
    file = tmp_path / "other"
    if octets is not None:
        file.write_bytes(octets)
    done = socksgw("import", "--kind", "dante", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_whatNeverMatches(tmp_path: Path) -> None:
    """Is left out, since check takes it for a mistake."""
    first = "socks pass { from: 0/0 to: 0/0 }\n"
    status, text, told = imported(tmp_path, HEAD + CLIENTS + first + first)
    assert (status, text.count("[[rule]]")) == (0, 1)
    assert "line-6 (lines 6 to 6: pass): left out" in told


def test_secrets(tmp_path: Path) -> None:
    """They go into files that nobody else may read, and only with C{-o}."""
    file = tmp_path / "3proxy.cfg"
    file.write_text(
        "users alice:CL:canary-1\nauth strong\nallow alice 127.0.0.0/8 *.example\n"
        "internal 127.0.0.1\nsocks\n"
    )
    done = socksgw("import", str(file))
    assert (done.returncode, "canary" in done.stdout + done.stderr) == (0, False)
    assert "3proxy.users has secrets: it is made with -o alone" in done.stderr
    done = socksgw("import", str(file), "-o", str(tmp_path / "gw.toml"))
    assert done.returncode == 0
    users = tmp_path / "3proxy.users"
    assert users.stat().st_mode & 0o777 == 0o600
    assert "canary" not in users.read_text()
    done = socksgw("check", str(tmp_path / "gw.toml"))
    assert done.returncode == 0, done.stdout + done.stderr
