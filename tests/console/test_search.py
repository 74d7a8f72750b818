"""
`socksgw audit search`: who, what, when, and why.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from socksgw.console.command import main
from socksgw.console.parser import makeParser
from socksgw.console.usage import commandsOf, joined
from tests.fakes.journal import Kept
from tests.tools import traffic

TEXT = """
include = ["more.toml"]
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[[rule]]
id = "web"
allow = ["connect"]
"""
MORE = """
[[rule]]
id = "everything-else"
deny = "any"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and the journal of its gateway."""
    directory = tmp_path_factory.mktemp("search")
    (directory / "gw.toml").write_text(TEXT)
    (directory / "more.toml").write_text(MORE)
    traffic.kept(directory / "var" / "audit", 200_000, rotate=60_000)
    return directory


def searched(
    site: Path, capsys: pytest.CaptureFixture[str], words: str
) -> tuple[int, list[str], str]:
    config = str(site / "gw.toml")
    status = main(["audit", "search", "--config", config, *words.split()])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_whyWasIBlocked(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One command: the line, the rule with its place in the file, why, and the next
    command, which works.
    """
    words = "--rule everything-else --event decision --denied --last"
    status, out, _ = searched(site, capsys, words)
    assert status == 0
    day, line, rule, why, following = out
    assert day == "2026-11-01:"
    assert "DENY" in line
    assert rule.strip() == (
        f'rule  "everything-else": {site}/gw.toml: more.toml:2: '
        'rule[1] ("everything-else")'
    )
    assert why == "  why   policy: a rule denies it"
    command = following.removeprefix("  next  socksgw ").split()
    assert main(command) == 1
    assert capsys.readouterr().out.startswith("decision, line ")


def test_aRuleThatHasGone(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal may be older than the configuration."""
    _, out, _ = searched(site, capsys, "--rule databases --last")
    assert '"databases": not in the configuration now' in out[2]


def test_whoReachedWhat(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --ends also how much."""
    status, out, _ = searched(site, capsys, "--user user00* --allowed --ends")
    assert status == 0
    allowed = [line for line in out if " ALLOW user00" in line]
    ended = [line for line in out if " END user00" in line]
    assert len(allowed) > 5
    assert len(ended) > 5
    assert len(allowed) + len(ended) + 1 == len(out)
    assert all("octets out" in line for line in ended)


def test_forPrograms(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines as they stand in the journal."""
    status, out, _ = searched(site, capsys, "--event login-failed --json")
    assert status == 0
    journal = b"".join(
        each.read_bytes() for each in sorted((site / "var" / "audit").glob("*.jsonl"))
    ).decode("ascii")
    for line in out:
        assert f"{line}\n" in journal
        assert json.loads(line)["event"] == "login-failed"
    counted = searched(site, capsys, "--event login-failed --count")
    assert counted[1] == [str(len(out))]
    status, out, err = searched(site, capsys, "--limit 2 --json")
    assert [json.loads(line)["n"] for line in out] == [1, 2]
    assert "there are more" in err


def test_everyEventIsPrinted(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that `follow` does not show."""
    status, out, _ = searched(site, capsys, "")
    assert status == 0
    count = searched(site, capsys, "--count")[1][0]
    assert len(out) == int(count) + 1
    assert "START gateway edge, pid 411" in out[1]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--user nobody", 1, "nothing found: "),
        ("--user nobody --count", 1, ""),
        ("--since never", 2, "yesterday"),
        ("--last 0", 2, "not a number"),
    ],
)
def test_statuses(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    words: str,
    status: int,
    said: str,
) -> None:
    """Nothing found is told with what there is."""
    try:
        found, out, err = searched(site, capsys, words)
    except SystemExit as e:
        found, out, err = int(str(e.code)), [], capsys.readouterr().err
    assert found == status
    assert out == (["0"] if "--count" in words else [])
    assert said in err


def test_noJournal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is a wrong use."""
    (tmp_path / "gw.toml").write_text(TEXT.partition("\n[[")[2].join(["[[", ""]))
    status, _, err = searched(tmp_path, capsys, "")
    assert status == 2
    assert "is --config right?" in err


def test_hostileNames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal gets no control sequence."""
    (tmp_path / "gw.toml").write_text(TEXT.replace('include = ["more.toml"]', ""))
    kept = Kept(tmp_path / "var" / "audit").open()
    evil = json.dumps("\x1b]0;x\x07\u202e<script>")
    kept.append(
        '"event":"decision","session":1,"listener":"lan","client":"127.0.0.1:1",'
        f'"protocol":"socks5","user":{evil},"method":"none","command":"connect",'
        f'"asked":{evil},"name":null,"port":1,"verdict":"deny","rule":{evil},'
        f'"why":{evil},"addresses":[],"reply":2,"reason":{evil}',
        f'"event":"groups-failed","checker":"c","user":{evil},"reason":{evil}',
    )
    kept.close()
    for words in ("", "--denied --last"):
        status, out, err = searched(tmp_path, capsys, words)
        assert status == 0
        assert all(line.isprintable() for line in [*out, *err.splitlines()])


def test_theExamplesOfTheHelp(site: Path) -> None:
    """What the help texts show can be parsed."""
    parser = makeParser()
    shown = 0
    for command in commandsOf(parser).values():
        for line in (command.epilog or "").splitlines():
            words = line.strip()
            if words.startswith(("socksgw audit ", "socksgw report ")):
                parser.parse_args(joined(shlex.split(words)[1:]))
                shown += 1
    assert shown >= 7
