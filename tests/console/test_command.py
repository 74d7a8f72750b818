"""
The C{socksgw} command, as a process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from socksgw.console.command import _RUN, main
from socksgw.console.parser import COMMANDS, makeParser
from socksgw.console.usage import commandsOf
from tests.fakes.journal import Kept, event
from tests.live.running import ROOT, environment, socksgw, socksgwProcess

GOOD = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:1080"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration."""
    path = tmp_path / "gw.toml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("option", [(), ("--config",), ("--strict",)])
def test_checkOfTheShippedExample(option: tuple[str, ...]) -> None:
    """It is good, also strictly; status 0, and the end is what is exposed."""
    found = socksgwProcess("check", *option, "etc/socksgw.toml", cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    assert lines[:2] == ["etc/socksgw.toml: is good", "exposed without login:"]
    assert 'rule "web"' in lines[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gateway\n", ": line 1, column 9"),
        ("[gateway]\nname = edge\n", ": line 2, column 8: Invalid value (a string"),
        (
            "[listen]\nname = 'a'\n",
            ':1: listen ("a"): must be an array, not a table; w',
        ),
        (
            GOOD + "protocol = 5\n",
            ':4: listen[1].protocol ("main"): unknown key; did you mean "',
        ),
        (
            GOOD + 'audit = { sinks = ["x"] }\n',
            ':4: listen[1].audit ("main"): unknown key',
        ),
        (
            GOOD + '[[rule]]\nid = "r"\nallow = "any"\nto = ["x"]\n',
            ':7: rule[1].to[1] ("r"): ',
        ),
        ("", ": listen: is missing: at least one [[listen]] is needed, with a name"),
        (
            GOOD.replace("127.0.0.1", "0.0.0.0")
            + '[[auth.choose]]\nmethods = ["none"]\n[[rule]]\nid = "r"\nallow = "any"\n',
            ':1: listen[1] ("main"): exposed',
        ),
    ],
)
def test_checkOfWhatIsWrong(file: Path, text: str, said: str) -> None:
    """Status 2; one line with file and place; no traceback."""
    file.write_text(text)
    found = socksgw("check", str(file))
    assert found.returncode == 2
    out = found.stdout + found.stderr
    assert f"{file}{said}" in out
    assert "Traceback" not in out


def test_checkSaysAllErrorsAtOnce(file: Path) -> None:
    """Not one after the other."""
    file.write_text(GOOD + "a = 1\nb = 2\n[c]\n")
    found = socksgw("check", str(file))
    for place in ('4: listen[1].a ("main")', '5: listen[1].b ("main")', "6: c"):
        assert f"{file}:{place}: unknown key" in found.stderr


def test_warningsCountOnlyStrictly(file: Path) -> None:
    """`check --strict` makes them errors."""
    file.write_text(GOOD + '[groups]\ng = ["a"]\n')
    found = socksgw("check", str(file))
    assert found.returncode == 0
    assert f"warning: {file}:5: groups.g: is not used" in found.stdout
    assert socksgw("check", "--strict", str(file)).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("check",),
        ("check", "/nonexistent/gw.toml"),
        ("nonsense",),
        ("audit",),
        ("audit", "verify", "--config", "/nonexistent/gw.toml"),
        ("passwd",),
    ],
)
def test_whatIsNoCommand(arguments: tuple[str, ...]) -> None:
    """Status 2, a word on standard error, no traceback."""
    found = socksgw(*arguments)
    assert found.returncode == 2
    assert found.stderr
    assert "Traceback" not in found.stderr


def test_theHelpNamesTheCommands() -> None:
    """All of them."""
    found = socksgw("--help")
    assert found.returncode == 0
    for command in ("check", "passwd", "audit", "plugins"):
        assert command in found.stdout


def test_plugins() -> None:
    """The built-in methods are found."""
    found = socksgw("plugins")
    assert found.returncode == 0
    assert "none" in found.stdout
    assert "userpass" in found.stdout
    assert "not declared" not in found.stdout


def test_auditVerify(file: Path) -> None:
    """Whole: 0. Not whole: 1. None: 2."""
    arguments = ("audit", "verify", "--config", str(file))
    assert socksgw(*arguments).returncode == 2
    kept = Kept(file.parent / "var" / "audit").open()
    kept.append(event(1), event(2))
    kept.close()
    found = socksgw(*arguments)
    assert (found.returncode, "whole: 2 lines, 1 to 2" in found.stdout) == (0, True)
    (journal,) = (file.parent / "var" / "audit").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"session":1', b'"session":3'))
    found = socksgw(*arguments)
    assert (found.returncode, "NOT whole" in found.stdout) == (1, True)


def test_theStateDirectoryIsBesideTheFile(file: Path, tmp_path: Path) -> None:
    """Never the current directory."""
    kept = Kept(file.parent / "state" / "log").open()
    kept.append(event(1))
    kept.close()
    file.write_text(GOOD + '[gateway]\nstate_dir = "state"\n[audit]\njournal = "log"\n')
    (tmp_path / "elsewhere").mkdir()
    found = socksgw(
        "audit", "verify", "--config", str(file), cwd=tmp_path / "elsewhere"
    )
    assert found.returncode == 0, found.stdout


def test_anAsciiTerminalShowsEveryLine(tmp_path: Path) -> None:
    """Whatever is in it; nothing is a traceback."""
    file = tmp_path / "gw.toml"
    file.write_text('[gateway]\n"nöme" = "x"\n', encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "socksgw.console.command", "check", str(file)],
        env=environment(PYTHONIOENCODING="ascii:strict"),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    text = (ended.stdout + ended.stderr).decode("ascii")
    assert "n\\xf6me" in text
    assert "Traceback" not in text


#: Each ends with status 3: there is nothing at these places.
_NOBODY = {
    "connect": ("connect", "db.example", "22", "--proxy", "socks5://127.0.0.1:1"),
    "run": ("run", "--proxy", "socks5://127.0.0.1:1", "true"),
    "status": ("status", "--endpoint", "unix:/nonexistent/admin.sock"),
}
_STARTED = """
import sys
from socksgw.console.command import main
status = main(sys.argv[1:])
print(status, *sys.modules)
"""


@pytest.mark.parametrize(
    ("name", "own", "others"),
    [
        ("connect", "client", ("config", "relay", "session")),
        ("run", "run.running", ("session",)),
        ("status", "console.live", ("client", "session.session", "records", "run")),
    ],
)
def test_aCommandImportsNoOther(name: str, own: str, others: tuple[str, ...]) -> None:
    """OpenSSH and health checks start these all the time."""
    done = subprocess.run(
        [sys.executable, "-c", _STARTED, *_NOBODY[name]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    status, *modules = done.stdout.split()
    assert status == "3", done.stderr
    assert f"socksgw.{own}" in modules
    never = (
        *("gateway", "policy", "route", "audit", "warehouse", "agent", "importing"),
        *("console.examined", "console.report", "console.selftest", *others),
    )
    assert [each for each in never if f"socksgw.{each}" in modules] == []
    assert "pyroute2" not in modules


@pytest.mark.parametrize("name", COMMANDS)
def test_oneIsAsAmongAll(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command that is parsed alone is that of the manual."""
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == commandsOf(makeParser())[name].format_help()


def test_everyCommandIsRun() -> None:
    """None is parsed that nothing runs, and the table has no other."""
    parsed = commandsOf(makeParser())
    runs = {parser.get_default("run") for parser in parsed.values()}
    # Those that have commands below them are none themselves.
    assert runs - {None} == {*_RUN}
    assert [name for name in parsed if " " not in name] == [*COMMANDS]
