"""
What goes wrong in the first minute: each cause is told in a line or a few,
with a remedy, and nothing is left behind.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.clients import powerless
from tests.live.running import OPEN, TWISTD, Running, environment

Gateway = Callable[..., Running]


def _fails(
    directory: Path, *arguments: str, prefix: list[str] | None = None
) -> list[str]:
    """
    A gateway that cannot start.

    @return: what it says to the operator, a line each.
    """
    ended = subprocess.run(
        [*(prefix or []), str(TWISTD), "-n", "socksgw", *arguments],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode not in (0, None), said
    assert ended.returncode > 0, said
    assert "Traceback" not in said
    assert "Unhandled" not in said
    assert "Error:" not in said
    assert list(directory.glob("*.pid")) == []
    # twistd takes standard error into its log, with the time before each line.
    lines = re.findall(r"^(?:20\S+ \[\S+\] )?socksgw: (.*)", said, re.M)
    assert lines, said
    assert len(said.splitlines()) < 12, said
    # For people, not for Python programmers.
    assert not re.search(r"Errno|<class|object at 0x|NoneType", "\n".join(lines))
    return lines


def _configured(directory: Path, text: str, *arguments: str) -> list[str]:
    (directory / "gw.toml").write_text(text)
    return _fails(directory, "--config", "gw.toml", *arguments)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def _at(address: str) -> str:
    return OPEN.replace("127.0.0.1:0", address)


# Ports and addresses.


@pytest.mark.parametrize("way", ["address", "endpoint", "option", "default"])
def test_thePortIsTaken(tmp_path: Path, taken: int, way: str) -> None:
    """Told with the address, and how to find out who has it."""
    place = f"127.0.0.1:{taken}"
    if way == "address":
        lines = _configured(tmp_path, _at(place))
    elif way == "endpoint":
        endpoint = f"tcp:{taken}:interface=127.0.0.1"
        lines = _configured(
            tmp_path,
            OPEN.replace('address = ["127.0.0.1:0"]', f'endpoint = "{endpoint}"'),
        )
    elif way == "option":
        lines = _configured(tmp_path, OPEN, "--listen", place)
    else:
        lines = _fails(tmp_path, "--listen", place)
    assert len(lines) == 1
    assert str(taken) in lines[0]
    assert "taken" in lines[0]
    assert "ss -ltnp" in lines[0]


def test_noSuchAddress(tmp_path: Path) -> None:
    """An address that this machine has not; told how to see those it has."""
    (line,) = _configured(tmp_path, _at("198.51.100.77:1080"))
    assert "198.51.100.77:1080" in line
    assert "no such address" in line
    assert "ip addr" in line


def test_aPrivilegedPort(tmp_path: Path) -> None:
    """A port below 1024 without the right to it."""
    first = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    if int(first) <= 81:
        pytest.skip("this kernel has no privileged ports")
    (tmp_path / "gw.toml").write_text(_at("127.0.0.1:81"))
    arguments = ("--config", "gw.toml")
    (line,) = _fails(tmp_path, *arguments, prefix=powerless())
    assert "127.0.0.1:81" in line
    assert "permission" in line
    assert "CAP_NET_BIND_SERVICE" in line


# The configuration file.


def test_anUnreadableConfiguration(tmp_path: Path) -> None:
    """A file that may not be read."""
    file = tmp_path / "gw.toml"
    file.write_text(OPEN)
    file.chmod(0)
    (line,) = _fails(tmp_path, "--config", "gw.toml", prefix=powerless())
    assert line.startswith("gw.toml: ")
    assert "Permission denied" in line
    assert "permissions" in line


def test_aMissingConfiguration(tmp_path: Path) -> None:
    """A file that is not there, or not a file."""
    for name in ("none.toml", "."):
        (line,) = _fails(tmp_path, "--config", name)
        assert line.startswith(f"{name}: ")
        assert "cannot be read" in line
        assert "check the path" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gateway\n", r"line 1, column \d+"),
        ('[gateway]\nname = "edge\n', r"line 2, column \d+"),
        ("[gateway]\nname = edge\n", r"line 2, column \d+"),
        (OPEN + "[[rule]]\nid = \n", r"line \d+, column \d+"),
        (_at("127.0.0.1"), r"listen\[1\]\.address\[1\] .*address:port"),
        (OPEN.replace("[[listen]]", "[[lisen]]"), r'lisen: .*"listen"'),
        (OPEN + '[auth]\ncheckers = ["passwd:none"]\n', r"auth"),
        (
            OPEN.replace('["none"]', '["userpass"]'),
            r'auth\.choose\[1\]\.methods: "userpass".*passwd:users',
        ),
        (
            OPEN.replace('["none"]', '["userpass"]').replace(
                "[[auth.choose]]",
                '[auth]\ncheckers = ["passwd:none"]\n[[auth.choose]]',
            ),
            r"auth\.checkers\[1\]: .*socksgw passwd",
        ),
        (_at("0.0.0.0:1080").replace('from = ["127.0.0.0/8", "::1"]\n', ""), "exposed"),
        (_at("[::]:1080").replace('from = ["127.0.0.0/8", "::1"]\n', ""), "exposed"),
        (
            OPEN.replace("127.0.0.0/8", "0.0.0.0/0", 1).replace(
                'address = ["127.0.0.1:0"]', 'endpoint = "tcp:1080"'
            ),
            "exposed",
        ),
    ],
)
def test_aWrongConfiguration(tmp_path: Path, text: str, expected: str) -> None:
    """File, place and remedy of what is wrong; an open relay among it."""
    lines = _configured(tmp_path, text)
    assert all(re.match(r"gw\.toml(:\d+)?: ", line) for line in lines)
    assert any(re.search(expected, line) for line in lines), lines
    assert not (tmp_path / "var").exists()


def test_everythingWrongAtOnce(tmp_path: Path) -> None:
    """All errors are told in one go: those of shape, then those of meaning."""
    shape = """
[gateway]
naem = "x"
state_dir = 7
[timeouts]
handshake = 10
[relay]
memory = "lots"
[gatewya]
[admin]
endpont = "x"
"""
    lines = _configured(tmp_path, OPEN + shape)
    for expected in (
        r'gateway\.naem: .*did you mean "name"',
        r"gateway\.state_dir: must be a string",
        r'timeouts\.handshake: .*"10s"',
        r'relay\.memory: .*"256MB"',
        r'gatewya: unknown key.*"gateway"',
        r'admin\.endpont: .*"endpoint"',
    ):
        assert any(re.search(expected, line) for line in lines), expected
    assert len(lines) == 6
    text = OPEN.replace("127.0.0.1:0", "nowhere").replace('"all"', '""')
    lines = _configured(tmp_path, text + '[audit]\nmax_size = "1B"\n')
    assert len(lines) == 3


def test_notUtf8(tmp_path: Path) -> None:
    """A file in another encoding."""
    (tmp_path / "gw.toml").write_bytes(b'[gateway]\nname = "caf\xe9"\n')
    (line,) = _fails(tmp_path, "--config", "gw.toml")
    assert "not UTF-8" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bogus",),
        ("--listen",),
        ("--listen", "nonsense:0"),
        ("--listen", "127.0.0.1:99999"),
        ("--auth", "nonsense:x"),
        ("--auth", "passwd:none"),
        ("surplus",),
    ],
    ids=" ".join,
)
def test_aWrongCommandLine(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What is wrong with the command line, without a traceback."""
    assert len(_fails(tmp_path, *arguments)) <= 2


# The journal.


def test_theStateDirectoryCannotBeWritten(tmp_path: Path) -> None:
    """A place where nothing may be made."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o500)
    (tmp_path / "gw.toml").write_text(f'[gateway]\nstate_dir = "{state}/gw"\n{OPEN}')
    (line,) = _fails(tmp_path, "--config", "gw.toml", prefix=powerless())
    assert str(state) in line
    remedy = f"install -d -m 0700 -o {os.geteuid()} {state}/gw"
    assert f"make it writable for this user (as root: {remedy})" in line
    assert "state_dir" in line


def test_theStateDirectoryIsAFile(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "var").write_text("")
    (line,) = _configured(tmp_path, OPEN)
    assert "var" in line
    assert "state_dir" in line


def test_theJournalIsInUse(gateway: Gateway) -> None:
    """A second gateway on the same state directory; the first goes on."""
    first = gateway()
    (line,) = _fails(first.directory, "--config", "gw.toml")
    assert "in use by another process" in line
    assert "state_dir" in line
    assert first.process.poll() is None
    assert len(first.journal("start")) == 1


def test_theJournalIsNone(tmp_path: Path) -> None:
    """A journal whose last line somebody has written in."""
    gateway = Running(tmp_path, OPEN)
    try:
        gateway.ready().stop()
    finally:
        gateway.kill()
    (file,) = (tmp_path / "var" / "audit").glob("*.jsonl")
    with file.open("a") as journal:
        journal.write("not of the gateway's\n")
    (line,) = _configured(tmp_path, OPEN)
    assert file.name in line
    assert "move the file away" in line


def test_asADaemon(tmp_path: Path, taken: int) -> None:
    """
    In the background, too, the failure is told, the exit status is not 0,
    and no pid file stays.
    """
    (tmp_path / "gw.toml").write_text(_at(f"127.0.0.1:{taken}"))
    options = ["--pidfile=gw.pid", "--logfile=gw.log"]
    with (tmp_path / "said").open("wb") as said:
        ended = subprocess.run(
            [str(TWISTD), *options, "socksgw", "--config", "gw.toml"],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=30,
            check=False,
        )
    log = (tmp_path / "gw.log").read_text()
    assert ended.returncode == 1
    assert "look at log" in (tmp_path / "said").read_text()
    assert "ss -ltnp" in log
    assert "Traceback" not in log
    assert not (tmp_path / "gw.pid").exists()
