"""
C{socksgw init}: what is written is good, and what is missing is asked or told.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.login.passwords import setPassword
from tests.live.kerberos import Realm
from tests.live.running import environment, socksgw
from tests.live.servers import package

LAN = ["--from", "10.0.0.0/16", "--listen", "127.0.0.1:1085"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--built-in"],
        [*LAN, "--login", "none"],
        [*LAN, "--login", "passwords", "--cleartext-passwords", "--http"],
        [*LAN, "--login", "passwords", "--cleartext-passwords", "--who", "alice"],
        [*LAN, "--login", "none", "--to", ".a.example", "--to", "10.1.0.0/16"],
        [*LAN, "--login", "none", "--port", "443", "--port", "8000-8099"],
        [*LAN, "--login", "none", "--installed"],
    ],
)
def test_checkIsClean(tmp_path: Path, options: list[str]) -> None:
    """There is nothing to warn of."""
    made = tmp_path / "gw.toml"
    done = socksgw("init", *options, "-o", str(made))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"next: socksgw check {made}" in done.stderr
    if "alice" in options:
        setPassword(tmp_path / "users", "alice", b"x")
    done = socksgw("check", "--strict", str(made))
    assert done.returncode == 0, done.stdout
    assert "warning" not in done.stdout
    assert "nobody gets in" not in done.stdout
    assert "nothing is allowed" not in done.stdout


def test_tickets(tmp_path: Path) -> None:
    """The keytab that lacks is told with its remedy; with a real KDC's all is clean."""
    package("gssapi")
    made = tmp_path / "gw.toml"
    wanted = ["--login", "kerberos", "--realm", "CORP.TEST", "--who", "alice"]
    done = socksgw("init", *LAN, *wanted, "-o", str(made))
    assert done.returncode == 0, done.stderr
    done = socksgw("check", "--strict", str(made))
    assert done.returncode == 2
    assert "socksgw.keytab: No such file or directory; make it with kadmin's ktadd" in (
        done.stdout
    )
    realm = Realm(tmp_path / "realm", "CORP.TEST")
    realm.services(tmp_path / "socksgw.keytab", "rcmd/gw.corp.test")
    done = socksgw("check", "--strict", str(made))
    assert (done.returncode, "is good" in done.stdout) == (0, True), done.stdout
    assert 'strip_realms = ["CORP.TEST"]' in made.read_text()


def test_pam(tmp_path: Path) -> None:
    """The service that lacks is told with its remedy."""
    package("pam")
    made = tmp_path / "gw.toml"
    done = socksgw(
        "init", *LAN, "--login", "pam", "--cleartext-passwords", "-o", str(made)
    )
    assert done.returncode == 0, done.stderr
    assert not Path("/etc/pam.d/socksgw").exists()
    done = socksgw("check", str(made))
    assert done.returncode == 0
    assert "there is no file /etc/pam.d/socksgw" in done.stdout
    text = made.read_text()
    made.write_text(text.replace('service = "socksgw"', 'service = "login"'))
    done = socksgw("check", "--strict", str(made))
    assert (done.returncode, "is good" in done.stdout) == (0, True), done.stdout


def test_installed(tmp_path: Path) -> None:
    """Files are where the package has them, and no file of users is made."""
    made = tmp_path / "gw.toml"
    wanted = ["--login", "passwords", "--cleartext-passwords", "--installed"]
    assert socksgw("init", *LAN, *wanted, "-o", str(made)).returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["gw.toml"]
    text = made.read_text()
    for each in (
        'state_dir = "/var/lib/socksgw"', 'checkers = ["passwd:/etc/socksgw/users"]',
        "[admin]",
    ):  # fmt: skip
        assert each in text


def test_usersAreKept(tmp_path: Path) -> None:
    """The file of users is made once; a configuration never takes another's place."""
    made, users = tmp_path / "gw.toml", tmp_path / "users"
    options = ["init", *LAN, "--login", "passwords", "--cleartext-passwords", "-o"]
    assert socksgw(*options, str(made)).returncode == 0
    assert users.stat().st_mode & 0o777 == 0o600
    users.write_text("kept")
    done = socksgw(*options, str(made))
    assert done.returncode == 2
    assert "cannot be made: File exists" in done.stderr
    assert users.read_text() == "kept"
    made.unlink()
    nowhere = str(tmp_path / "nowhere" / "users")
    done = socksgw(*options, str(made), "--users", nowhere)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"{nowhere}: cannot be made: No such file or directory\n"
    )
    assert not made.exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--from", "10.0.0.0/16"], "nothing says --listen"),
        (LAN, "nothing says --login"),
        ([*LAN, "--login", "passwords"], "--cleartext-passwords"),
        (["--from", "10.0.0.0/99"], "--from 10.0.0.0/99: no network"),
        ([*LAN, "--login", "none", "--port", "x"], "--port x: a port is 443"),
        ([*LAN, "--login", "none", "--port", "70000"], "70000"),
        ([*LAN, "--login", "none", "--to", "somewhere"], "somewhere"),
        ([*LAN, "--login", "none", "--to", "public", "--to", "x"], "stands alone"),
        ([*LAN, "--login", "none", "--who", "alice"], "nobody has a name"),
        ([*LAN, "--login", "none", "--realm", "A"], "only with --login kerberos"),
        ([*LAN, "--login", "kerberos", "--who", "alice"], "say --realm REALM"),
    ],
)
def test_wrongAnswers(tmp_path: Path, options: list[str], why: str) -> None:
    """They are told, and nothing is written."""
    made = tmp_path / "gw.toml"
    done = socksgw("init", *options, "-o", str(made))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert not made.exists()


def test_itAsks(tmp_path: Path) -> None:
    """On a terminal, for what no option says; an empty answer is the default."""
    parent, child = pty.openpty()
    made = tmp_path / "gw.toml"
    with subprocess.Popen(
        [sys.executable, "-m", "socksgw.console.command", "init", "-o", str(made)],
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as asking:
        os.close(child)
        answers = ["10.0.0.0/16", "127.0.0.1:1085", "", "443", "", "yes", "alice"]
        os.write(parent, "".join(f"{each}\n" for each in answers).encode())
        out, err = asking.communicate(timeout=60)
    os.close(parent)
    assert (asking.returncode, out) == (0, ""), err
    assert "From where do clients come (networks)? [127.0.0.0/8 ::1]" in err
    text = made.read_text()
    for each in ('from = ["10.0.0.0/16"]', 'who = ["alice"]', "ports = [443]"):
        assert each in text
    assert 'checkers = ["passwd:users"]' in text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            '[timeouts]\nconnect = "5s"\n',
            ["at least one [[listen]] is needed", "socksgw init --built-in"],
        ),
        (
            '[[listen]]\nname = "a"\naddress = ["127.0.0.1:1085"]\n',
            [
                "nobody gets in: add [[auth.choose]]",
                "nothing is allowed: add a [[rule]]",
            ],
        ),
    ],
)
def test_whatIsLacking(tmp_path: Path, text: str, lines: list[str]) -> None:
    """A file with one table is told which lines to add."""
    file = tmp_path / "gw.toml"
    file.write_text(text)
    done = socksgw("check", str(file))
    for line in lines:
        assert line in done.stdout
