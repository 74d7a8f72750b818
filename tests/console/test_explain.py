"""
Asking the policy: `socksgw explain`, `[[expect]]`, `include`, `socksgw diff`.
"""

from __future__ import annotations

import io
import json
import signal
import socket
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from socksgw.console.command import main
from tests.live.clients import GREETING, four, named, opened, request5
from tests.live.datagrams import Association, Echo
from tests.live.running import OPEN, Running, socksgw
from tests.live.servers import freePort
from tests.tools.waiting import until

POLICY = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[auth]
checkers = ["memory:alice:x"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.1"]
[[auth.choose]]
methods = ["userpass"]
from = ["10.0.0.0/8"]
[groups]
staff = ["alice"]
[schedules]
office = { days = "mon-fri", hours = "08:00-18:00", zone = "UTC" }
[[rule]]
id = "night"
deny = ["connect"]
during = ["office"]
ports = [25]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff"]
from = ["10.0.0.0/8"]
[[rule]]
id = "names"
allow = ["connect"]
to = ["*.example"]
"""


def explain(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """C{socksgw explain}: its exit status, and what it says."""
    (tmp_path / "gw.toml").write_text(POLICY)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = main(["explain", "--config", str(tmp_path / "gw.toml"), *arguments])
    return status, said.getvalue()


LISTS = """
[networks]
blocked = { file = "blocked.txt" }
inner = ["10.0.0.0/8", "blocked"]
[[rule]]
id = "blocked"
deny = ["connect"]
to = ["inner"]
[[rule]]
"""


@pytest.mark.parametrize(
    ("asked", "entries"),
    [
        ("tracker.example", ['to = "inner": {}: blocked.txt:3: "=tracker.example"']),
        ("a.ads.example", ['to = "inner": {}: blocked.txt:5: ".ads.example"']),
        ("8.8.4.4", ['to = "inner": {}: blocked.txt:1: "8.8.4.0/24"']),
        ("10.1.2.3", ['to = "inner": {}:8: "10.0.0.0/8"']),
        ("other.example", []),
    ],
)
def test_whichEntryMatched(tmp_path: Path, asked: str, entries: list[str]) -> None:
    """Of a long list, the line that decides: for people and for programs."""
    text = OPEN.replace("[[rule]]", LISTS.strip(), 1)
    (tmp_path / "gw.toml").write_text(text)
    (tmp_path / "blocked.txt").write_text(
        "8.8.4.0/24\n\n=tracker.example # x\n*.tracker.example\n.ads.example\n"
    )
    name = str(tmp_path / "gw.toml")
    line = text[: text.index("inner =")].count("\n") + 1
    wanted = [each.format(name).replace(":8:", f":{line}:") for each in entries]
    address = asked if asked[0].isdigit() else "8.8.8.8"
    to = ["--resolving-to", address, "connect", f"{asked}:443"]
    for more in ([], ["--json"]):
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            main(["explain", "--config", name, *more, *to])
        if more:
            assert json.loads(said.getvalue())["entries"] == wanted
        else:
            found = [x for x in said.getvalue().splitlines() if x.startswith("  by to")]
            assert found == [f"  by {each}" for each in wanted]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ["--user", "alice", "--from", "10.1.1.1", "connect", "8.8.8.8:80"],
            0,
            "staff",
        ),
        (
            ["--user", "bob", "--from", "10.1.1.1", "connect", "8.8.8.8:80"],
            1,
            "default",
        ),
        (["--user", "alice", "connect", "8.8.8.8:80"], 2, "--from"),
        (["--from", "10.0.1.700", "connect", "8.8.8.8:80"], 2, "such as 10.0.1.7 or"),
        (["connect", "https://a.example/b"], 2, "say host and port: a.example:443"),
        (["connect", "127.0.0.1:80"], 1, "([never] except lifts that"),
        (["--resolving-to", "8.8.8.8", "connect", "a.example:80"], 0, "names"),
        (["--resolving-to", "10.0.0.1", "connect", "a.example:80"], 1, "resolving_to"),
        (["connect", "a.other:80"], 1, "default"),
        (
            [
                "--at",
                "2026-03-02T10:00:00+00:00",
                "--resolving-to",
                "8.8.8.8",
                "connect",
                "a.example:25",
            ],
            1,
            "night",
        ),
        (
            [
                "--at",
                "2026-03-01T10:00:00+00:00",
                "--resolving-to",
                "8.8.8.8",
                "connect",
                "a.example:25",
            ],
            0,
            "during",
        ),
        (["connect", "0177.0.0.1:80"], 2, "strict"),
        (["--at", "2026-03-01T10:00:00", "connect", "8.8.8.8:80"], 2, "offset"),
        (["--at", "noon", "connect", "8.8.8.8:80"], 2, '--at "noon": needs'),
        ([], 2, "COMMAND HOST:PORT"),
        (["connect", "8.8.8.8"], 2, "connect needs a port"),
        (["connect", "2001:db8::1:443"], 2, 'as in "[2001:db8::1:443]:443"'),
        (["udp", "[2620:fe::fe]"], 2, 'as in "[2620:fe::fe]:443"'),
        (["--group", "stuff", "connect", "8.8.8.8:80"], 2, '--group: "stuff"'),
        (["--group", "wheel", "connect", "8.8.8.8:80"], 2, 'is "gid:wheel"'),
        (["--listener", "wan", "connect", "8.8.8.8:80"], 2, "--listener: there is no"),
        (
            ["--user", "alice", "--method", "none", "connect", "8.8.8.8:80"],
            2,
            "--method",
        ),
        (["--method", "userpass", "connect", "8.8.8.8:80"], 2, "not anonymous"),
        (
            ["--method", "userpas", "connect", "8.8.8.8:80"],
            2,
            'did you mean "userpass"?',
        ),
    ],
)
def test_explain(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    """The verdict as exit status; what it depends on is named, not guessed."""
    found, text = explain(tmp_path, *arguments)
    assert found == status, text
    assert said in text


def test_explainAsJSON(tmp_path: Path) -> None:
    """Every rule that was tried, with the first condition that failed."""
    status, text = explain(
        tmp_path, "--json", "--resolving-to", "8.8.8.8", "--resolving-to", "127.0.0.1",
        "--at", "2026-03-02T10:00:00+00:00", "connect", "a.example:80",
    )  # fmt: skip
    found = json.loads(text)
    assert (status, found["verdict"], found["rule"]) == (0, "allow", "names")
    assert found["addresses"] == ["8.8.8.8"]
    assert found["struck"] == [["127.0.0.1", "never: loopback"]]
    assert found["rules"][0]["tried"] == [
        {"rule": "night", "unmet": "ports"},
        {"rule": "staff", "unmet": "who"},
        {"rule": "names", "unmet": None},
    ]


LEAVING = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
leave_by = ["192.0.2.7", "192.0.2.8"]
mark = 7
[[listen]]
name = "dmz"
address = ["127.0.0.1:0"]
[[listen]]
name = "customers"
address = ["127.0.0.1:0"]
device = "lo"
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.0/8"]
[[upstream]]
name = "next"
url = "socks5://192.0.2.1:1080"
[[rule]]
id = "own"
allow = ["connect"]
ports = [80]
leave_by = "same"
[[rule]]
id = "device"
allow = ["connect"]
ports = [81]
device = "lo"
mark = 0
[[rule]]
id = "denied"
deny = ["connect"]
ports = [82]
[[rule]]
id = "next"
allow = ["connect"]
ports = [83]
via = ["next"]
[[rule]]
id = "all"
allow = "any"
"""
LAN = "192.0.2.7 or 192.0.2.8"


@pytest.mark.parametrize(
    ("listener", "asked", "by"),
    [
        ("lan", "connect 8.8.8.8:443", f"{LAN}, mark 7"),
        ("lan", "udp 8.8.8.8:443", f"{LAN}, mark 7"),
        ("dmz", "connect 8.8.8.8:443", None),
        ("customers", "connect 8.8.8.8:443", 'device "lo"'),
        ("lan", "connect 8.8.8.8:80", "the address that the client came to, mark 7"),
        ("lan", "connect 8.8.8.8:81", f'{LAN}, device "lo", mark 0'),
        ("customers", "connect 8.8.8.8:81", 'device "lo", mark 0'),
        # The connection to the first upstream does.
        ("lan", "connect 8.8.8.8:83", f"{LAN}, mark 7"),
        # Nothing leaves, or only a question to a name server.
        ("lan", "connect 8.8.8.8:82", None),
        ("lan", "resolve 8.8.8.8", None),
        (
            "",
            "connect 8.8.8.8:443",
            f'{LAN}, mark 7 (listener "lan"), or what the kernel chooses (listener '
            '"dmz"), or device "lo" (listener "customers")',
        ),
    ],
)
def test_leavesBy(tmp_path: Path, listener: str, asked: str, by: str | None) -> None:
    """What the rule says of the way out, and else the listener: in text and as JSON."""
    (tmp_path / "gw.toml").write_text(LEAVING)
    given = ["--config", "gw.toml", *(["--listener", listener] if listener else [])]
    given += ["--from", "127.0.0.1", *asked.split()]
    found = socksgw("explain", "--json", *given, cwd=tmp_path)
    assert json.loads(found.stdout)["leaves_by"] == by, found
    lines = socksgw("explain", *given, cwd=tmp_path).stdout.splitlines()
    told = [each for each in lines if each.startswith("  leaves by ")]
    assert told == ([f"  leaves by {by}"] if by else [])


EXPECT = """
[[expect]]
who = "alice"
from = "10.1.1.1"
command = "connect"
to = "8.8.8.8:80"
verdict = "{verdict}"
rule = "staff"
"""


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (EXPECT.format(verdict="allow"), 0, "is good"),
        (EXPECT.format(verdict="deny"), 2, "expect[1]: expects deny"),
        (
            EXPECT.format(verdict="allow").replace('from = "10.1.1.1"\n', ""),
            2,
            "depends on `from`",
        ),
        ('[[expect]]\nto = "a.example:80"\nverdict = "allow"', 2, "`resolving_to`"),
        ('[[expect]]\nto = "a.other:80"\nverdict = "deny"', 0, "is good"),
        ('[[expect]]\nto = "8.8.8.8:x"\nverdict = "deny"', 2, "the port"),
    ],
)
def test_expect(tmp_path: Path, more: str, status: int, said: str) -> None:
    """Expectations are run by `check`; what they do not say is not guessed."""
    (tmp_path / "gw.toml").write_text(POLICY + more)
    done = socksgw("check", "gw.toml", cwd=tmp_path)
    assert done.returncode == status, done.stdout
    assert said in done.stdout


def test_expectationsBeforeTheStart(tmp_path: Path) -> None:
    """With an expectation that fails the gateway does not start."""
    gateway = Running(tmp_path, POLICY + EXPECT.format(verdict="deny"))
    assert gateway.process.wait(30) == 2
    assert "expect[1]: expects deny" in gateway.log


@pytest.mark.parametrize("how", ["explain", "check", "start"])
def test_theHostAsItWillBe(tmp_path: Path, how: str) -> None:
    """
    Where the configuration listens, and what it advertises, counts for its
    tests as it will for its sessions.
    """
    port = freePort(kind=socket.SOCK_STREAM)
    text = (
        POLICY.replace("127.0.0.1:0", f"127.0.0.1:{port}")
        + """
[[rule]]
id = "all"
allow = ["connect"]
[never]
to = ["listeners", "self"]
except = ["127.0.0.0/8"]
[listen.udp]
advertise = "198.51.100.7"
ports = "40000-40001"
[[expect]]
to = "198.51.100.7:80"
verdict = "deny"
rule = "never"
from = "127.0.0.1"
at = "2026-03-01T10:00:00+00:00"
"""
    )
    # TOML has [listen.udp] behind its [[listen]].
    udp = text[text.index("[listen.udp]") : text.index("[[expect]]")]
    text = text.replace(udp, "").replace("[[auth.choose]]", udp + "[[auth.choose]]", 1)
    (tmp_path / "gw.toml").write_text(text)
    if how == "explain":
        for place, status in (("198.51.100.7:80", 1), ("198.51.100.8:80", 0)):
            done = socksgw(
                "explain", "--config", "gw.toml", "--from", "127.0.0.1",
                "connect", place, cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == status, done.stdout
    elif how == "check":
        done = socksgw("check", "gw.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stdout
    else:
        gateway = Running(tmp_path, text)
        try:
            gateway.ready()
            assert gateway.stop() in (0, -signal.SIGTERM)
        finally:
            if gateway.process.poll() is None:
                gateway.kill()


def test_noNamesOfOtherServers(tmp_path: Path) -> None:
    """What the configuration's own name servers would say is not guessed."""
    text = '[resolver]\nservers = ["192.0.2.53"]\n' + POLICY
    (tmp_path / "gw.toml").write_text(text)
    done = socksgw(
        "explain", "--config", "gw.toml", "connect", "a.example:80", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "name servers are not asked; give --resolving-to" in done.stdout


def test_aRecordAsJSON(gateway: Callable[..., Running]) -> None:
    """A journalled decision, and what today's policy says of it."""
    running = gateway(OPEN)
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        client.sendall(b"\x05\x01\0\x05\x01\0\x03\x09127.0.0.1\0\x01")
        until(lambda: client.recv(20), 10)
    (line,) = until(lambda: running.journal("decision"))
    (running.directory / "gw.toml").write_text(OPEN.replace('"connect"', '"udp"'))
    done = socksgw(
        "explain", "--config", "gw.toml", "--json", "--record", str(line["n"]),
        cwd=running.directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["record"] == line
    assert (found["today"]["verdict"], found["today"]["rule"]) == ("deny", "default")
    assert found["today"]["rules"][0]["address"] == "127.0.0.1"


DIRECTORY = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[auth]
checkers = ["memory:alice:x"]
[[auth.choose]]
methods = ["userpass", "none"]
[groups]
staff = { directory = ["cn=staff,dc=example"], members = ["carol"] }
own = ["bob"]
[[rule]]
id = "staff"
allow = ["connect"]
who = ["@staff", "@own"]
"""


@pytest.mark.parametrize(
    ("user", "groups", "status"),
    [
        # Only the directory knows whether she is in it.
        ("alice", None, 2),
        ("alice", ["staff"], 0),
        ("alice", ["own"], 0),
        # These need no directory.
        ("carol", None, 0),
        ("bob", None, 0),
        ("anonymous", None, 1),
    ],
)
def test_groupsThatADirectoryKnows(
    tmp_path: Path, user: str, groups: list[str] | None, status: int
) -> None:
    """No directory is asked, and nothing is guessed: they have to be said."""
    (tmp_path / "gw.toml").write_text(DIRECTORY)
    said = io.StringIO()
    with redirect_stdout(said):
        given = [x for group in groups or () for x in ("--group", group)]
        arguments = ["--user", user, *given, "connect", "8.8.8.8:80"]
        found = main(["explain", "--config", str(tmp_path / "gw.toml"), *arguments])
    assert found == status, said.getvalue()
    if status == 2:
        assert "it depends on --group" in said.getvalue()


EVERY = OPEN.replace(
    'allow = ["connect"]\n',
    'allow = ["connect", "udp"]\nto = ["127.0.0.0/8"]\nports = ["1024-65535"]\n'
    '[[rule]]\nid = "peers"\nallow = ["bind"]\nports = [20]\n'
    '[[rule]]\nid = "names"\nallow = ["resolve"]\n',
)


def test_everyCommandsRecord(gateway: Callable[..., Running]) -> None:
    """
    What was decided is what is said of the record by the same policy: also
    where a port is not known, is none, or is but a hint.
    """
    running = gateway(EVERY)
    with Echo() as echo, Association(running.port) as association:
        association.echo(echo, b"hello")
        association.send("127.0.0.1", 1, b"hello")
        association.send("8.8.8.8", 2000, b"hello")
        for command, target, port in (
            (1, four("127.0.0.1"), 1),
            (1, four("127.0.0.1"), echo.port),
            (1, named(b"localhost"), 1),
            (1, four("127.0.0.1"), 0),
            (2, four("127.0.0.1"), 0),
            (2, four("127.0.0.1"), 77),
            (2, four("0.0.0.0"), 0),
            (3, four("10.1.2.3"), 4000),
            (0xF0, named(b"localhost"), 0),
            (0xF0, four("127.0.0.1"), 0),
            (0xF1, four("8.8.8.8"), 0),
        ):
            with closing(opened(running.port)) as client:
                client.sendall(GREETING + request5(target, port, command))
                assert client.recv(2) == b"\x05\x00"
                assert client.recv(4)[:1] == b"\x05"
        until(lambda: len(running.journal("flow")) == 3)
    lines = [x for x in running.journal() if "verdict" in x]
    assert len(lines) == 15
    assert {x["verdict"] for x in lines} == {"allow", "deny"}
    for line in lines:
        said = io.StringIO()
        with redirect_stdout(said):
            config = str(running.directory / "gw.toml")
            number = str(line["n"])
            status = main(["explain", "--config", config, "--json", "--record", number])
        assert status == (0 if line["verdict"] == "allow" else 1)
        today = json.loads(said.getvalue())["today"]
        if today is None:
            assert line["rule"] is None, line
        else:
            assert today["verdict"] == line["verdict"], line
            assert today["rule"] == line["rule"], line


def test_expectedRulesThatAreInDoubt(tmp_path: Path) -> None:
    """An expected rule has to be beyond doubt."""
    more = (
        EXPECT.format(verdict="allow").replace('from = "10.1.1.1"\n', "")
        + '[[rule]]\nid = "more"\nallow = ["connect"]\nwho = ["alice"]\n'
    )
    (tmp_path / "gw.toml").write_text(POLICY + more)
    done = socksgw("check", "gw.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "expect[1]: which rule decides depends on `from`: give it" in done.stdout


def test_include(tmp_path: Path) -> None:
    """Included rules follow, by the names of the files; errors name the file."""
    rules = tmp_path / "rules.d"
    rules.mkdir()
    (rules / "b.toml").write_text(
        '[[rule]]\nid = "b"\ndeny = "any"\nto = ["8.0.0.0/8"]'
    )
    (rules / "a.toml").write_text('[[rule]]\nid = "a"\nallow = "any"\nports = [80]')
    (tmp_path / "gw.toml").write_text('include = ["rules.d/*.toml"]\n' + POLICY)
    for port, rule in ((80, "a"), (81, "b")):
        done = socksgw(
            "explain", "--config", "gw.toml", "connect", f"8.8.8.8:{port}", cwd=tmp_path
        )
        assert f'by rule "{rule}"' in done.stdout
    (rules / "b.toml").write_text('[[rule]]\nid = "b"\ndeny = "any"\nto = ["nowhere"]')
    (rules / "c.toml").write_text('[[listen]]\nname = "x"')
    (rules / "d.toml").write_text("[[rule]\n")
    done = socksgw("check", "gw.toml", cwd=tmp_path)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "rules.d/c.toml:1: listen: unknown key in an included file" in said
    assert "rules.d/d.toml: line 1" in said or "rules.d/d.toml: " in said
