"""
Why something stands in the journal: `socksgw explain --record`, for every kind
of line.
"""

from __future__ import annotations

import io
import json
import socket
from contextlib import closing, redirect_stdout
from pathlib import Path

import pytest

from socksgw.audit.refusals import Refusal
from socksgw.console.command import main
from socksgw.console.human import ending, humanLine
from socksgw.wire.address import Address
from tests.fakes.journal import Kept, event
from tests.live.clients import GREETING, exactly, four, opened, request5
from tests.live.datagrams import Association, Echo
from tests.live.groups import RECEIVE, SEND, SOURCES, Member
from tests.live.running import Running
from tests.tools.waiting import until

TEXT = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "lo"
[auth]
checkers = ["memory:alice:x"]
[[auth.choose]]
methods = ["none", "userpass"]
[never]
except = ["127.0.0.1"]
[[rule]]
id = "by-name"
deny = ["connect"]
to = ["=localhost"]
[[rule]]
id = "all"
allow = ["connect", "udp", "resolve"]
[[rule]]
id = "groups"
allow = ["multicast"]
multicast = { send = true, ttl = 4 }
"""
#: As of RFC 1928, a domain name.
LOCALHOST = b"\x03\x09localhost"
#: Nobody listens on it; it tells the decision with the hint.
HINTED = 1
SOURCE = Address.parse("192.0.2.7")


@pytest.fixture(scope="module")
def journalled(tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A gateway that has stopped, and has written every kind of a session's line."""
    running = Running(tmp_path_factory.mktemp("recorded"), TEXT)
    try:
        running.ready()
        _written(running)
        assert running.stop() in (0, -15)
    finally:
        if running.process.poll() is None:
            running.kill()
    return running


def _written(running: Running) -> None:
    """Have it write."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_ = server.getsockname()[1]
        with closing(opened(running.port)) as client:
            client.sendall(GREETING + request5(four("127.0.0.1"), open_, 1))
            assert client.recv(2) == b"\x05\x00"
            accepted, _ = server.accept()
            accepted.close()
        until(lambda: running.journal("end"))
    for octets in (
        GREETING + request5(four("127.0.0.1"), open_, 1),  # it is closed by now
        GREETING + request5(four("10.0.0.1"), 0, 2),  # denied
        b"\x05\x02\x01\x80",  # no such method
        b"\x05\x01\x02\x01\x05alice\x01y",  # a wrong password
    ):
        with closing(opened(running.port)) as client:
            client.sendall(octets)
            while client.recv(100):
                pass
    with Echo() as echo, Association(running.port) as association:
        association.echo(echo, b"hello")
    until(lambda: running.journal("flow-end"))
    with Member(running.port) as member:
        wanted = RECEIVE | SEND | SOURCES
        asked = member.bind("239.1.2.3", 5004, wanted, ttl=9, sources=("192.0.2.1",))
        assert asked.reply == 0x15
    with closing(opened(running.port)) as client:
        # Tor's RESOLVE; the client then asks for the address that it got.
        client.sendall(GREETING + request5(LOCALHOST, 0, 0xF0))
        resolved = b"\x05\x00" + b"\x05\0\0" + four("127.0.0.1") + b"\0\0"
        assert exactly(client, 12) == resolved
    with closing(opened(running.port)) as client:
        client.sendall(GREETING + request5(four("127.0.0.1"), HINTED, 1))
        while client.recv(100):
            pass


def explained(running: Running, number: int, *more: str) -> tuple[int, str]:
    said = io.StringIO()
    with redirect_stdout(said):
        config = str(running.directory / "gw.toml")
        status = main(["explain", "--config", config, "--record", str(number), *more])
    return status, said.getvalue()


def test_thePolicy(journalled: Running) -> None:
    """Which configuration decided is told, as each decision names it."""
    (mark,) = {line["policy"] for line in journalled.journal("decision")}
    assert journalled.journal("start")[0]["policy"].startswith(mark)
    number = journalled.journal("decision")[0]["n"]
    assert f"  policy    {mark}\n" in explained(journalled, number)[1]


def test_everyKindOfLine(journalled: Running) -> None:
    """Each is explained in words and as JSON, with the same status; none raw."""
    lines = journalled.journal()
    kinds = {line["event"] for line in lines}
    assert kinds >= {
        "start", "decision", "end", "refused", "login-failed", "flow", "flow-end", "stop",
    }  # fmt: skip
    for line in lines:
        status, said = explained(journalled, line["n"])
        assert said.startswith(f"{line['event']}, line {line['n']}:\n"), said
        assert "{" not in said
        as_, text = explained(journalled, line["n"], "--json")
        found = json.loads(text)
        assert (as_, found["record"]) == (status, line)
        denied = line["event"] in ("refused", "login-failed") or (
            line.get("verdict") == "deny"
        )
        assert status == denied, said


def numbered(running: Running, event: str, **wanted: object) -> int:
    """The first line of that kind that has these values."""
    for line in running.journal(event):
        if all(line.get(key) == value for key, value in wanted.items()):
            return int(line["n"])
    raise AssertionError(f"no {event} with {wanted}")


@pytest.mark.parametrize(
    ("event", "wanted", "said"),
    [
        # A grant is shown with what became of it.
        ("decision", {"session": 1}, "0 octets out, 0 back"),
        ("decision", {"session": 2}, "nothing was connected: refused, reply 5"),
        ("flow", {}, "5 octets out, 5 back"),
        # An end, with what it was the end of.
        ("end", {"session": 2}, "after the decision, line"),
        ("flow-end", {}, "after the flow, line"),
        # What was wanted of a group.
        (
            "flow",
            {"command": "multicast"},
            "  direction both\n  interface lo\n  TTL       9\n  senders   192.0.2.1\n",
        ),
        # It is judged by that today, too.
        (
            "flow",
            {"command": "multicast"},
            'deny by rule "groups": TTL 9 is more than 4 (multicast.ttl of the rule)\n',
        ),
        # What was refused before any rule: what was offered, and is now.
        ("refused", {}, "01 (GSSAPI), 80"),
        ("refused", {}, 'is offered "none" on "lan" (auth.choose[1])'),
        ("login-failed", {}, "claimed   alice"),
        ("login-failed", {}, "wrong credentials"),
        ("start", {}, "gateway"),
        # What is known of a name that the client looked up a moment ago.
        (
            "decision",
            {"port": HINTED},
            "  hint      the client had this address from RESOLVE of localhost, which "
            'rule "by-name" denies by name: deny the address, too\n',
        ),
    ],
)
def test_whatIsSaid(
    journalled: Running, event: str, wanted: dict[str, object], said: str
) -> None:
    """What somebody wants to know who looks at that line."""
    number = numbered(journalled, event, **wanted)
    assert said in explained(journalled, number)[1]


def test_endedByAnUpstream() -> None:
    """Its path is told, and a name that it has looked up has no address."""
    end: dict[str, object] = {"event": "end", "address": None, "reply": 0}
    end |= {"sent": 79, "received": 1960, "seconds": 0.5, "reason": "closed"}
    end["path"] = "dmz"
    assert ending(end) == ("closed after 0.5 s, by dmz; 79 octets out, 1,960 back")
    end["address"] = "192.0.2.1"
    assert "after 0.5 s with 192.0.2.1, by dmz;" in ending(end)
    end |= {"address": None, "reason": "upstream-closed", "reply": 1}
    del end["path"]
    assert ending(end) == "nothing was connected: upstream-closed, reply 1"


def test_theHintOnTheConsole(journalled: Running) -> None:
    """Behind the rule that decided."""
    number = numbered(journalled, "decision", port=HINTED)
    (line,) = [line for line in journalled.journal() if line["n"] == number]
    text = humanLine(line, False) or ""
    hint = f"({line['hint']}) · from {line['client']}"
    assert f'→ 127.0.0.1:{HINTED} by rule "all" {hint}' in text
    assert f"record {number} " not in text


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            Refusal(SOURCE, "", False, "no-method"),
            "  source     192.0.2.7\n  count      2\n  reasons    no-method 2\n",
        ),
        (
            Refusal(SOURCE, "anonymous", False, "policy", "a.example:23", "no"),
            "  source     192.0.2.7\n"
            "  user       anonymous\n"
            "  rule       no\n"
            "  count      2\n"
            "  reasons    policy 2\n"
            "  first      a.example:23\n"
            "  last       a.example:23\n",
        ),
    ],
)
def test_sumsOfRefusals(tmp_path: Path, refusal: Refusal, said: str) -> None:
    """What was too much for lines of its own is told, and why it is."""
    kept = Kept(tmp_path / "var" / "audit").open()
    for _ in range(502):
        kept.journal.refusal(refusal, event)
    kept.turn(1)
    kept.journal.look()
    kept.close()
    (tmp_path / "gw.toml").write_text(TEXT)
    out = io.StringIO()
    with redirect_stdout(out):
        config = str(tmp_path / "gw.toml")
        status = main(["explain", "--config", config, "--record", "501"])
    assert status == 1
    assert said in out.getvalue()
    assert "have lines of their own" in out.getvalue()


def test_aLineThatIsNotThere(
    journalled: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Not found is status 1, and no journal at all is a wrong use; either is a line on
    standard error with the remedy, also where standard output is for programs.
    """
    last = journalled.journal()[-1]["n"]
    for more in ((), ("--json",)):
        assert explained(journalled, 10_000, *more) == (1, "")
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith("socksgw explain: ")
        assert said.endswith(f"has no line 10000; it holds lines 1 to {last}")
    (tmp_path / "gw.toml").write_text(TEXT)
    arguments = ["explain", "--config", str(tmp_path / "gw.toml"), "--record", "1"]
    assert main(arguments) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("socksgw explain: ")
    assert said.endswith("is --config right?")
