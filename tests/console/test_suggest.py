"""
C{socksgw suggest}: from denials that a real gateway has recorded to rules that it
takes, and by which the same requests pass.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from socksgw.console.manual import chapters
from socksgw.warehouse.writing import Writer
from tests.live import raw
from tests.live.groups import RECEIVE, SEND, Member
from tests.live.running import Running, running, socksgw
from tests.live.servers import Destination, echo
from tests.tools.journals import linesOf
from tests.tools.waiting import until

MORE = """
[[rule]]
id = "lockdown"
deny = "any"
ports = [8000]
report_only = true
[[rule]]
id = "some"
allow = ["connect"]
ports = [8000]
"""


def text() -> str:
    """The configuration of the chapter."""
    (found,) = re.findall(
        r"\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", chapters()["suggest"]
    )
    whole = re.sub(r"(?m)^    ", "", found)
    return whole.replace("127.0.0.1:1080", "127.0.0.1:0")


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    """What clients want to reach."""
    with Destination(echo) as serving:
        yield serving


@pytest.fixture(scope="module")
def gateway(
    server: Destination, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway that has denied some requests."""
    directory = tmp_path_factory.mktemp("suggest")
    (directory / "rules.d").mkdir()
    for serving in running(directory, text() + MORE):
        for port in (server.port, server.port, 25, 8000):
            code(serving, port)
        code(serving, 7, b"db.example")
        code(serving, 80, "10.1.2.3", command=2)
        yield serving


def code(
    gateway: Running, port: int, host: str | bytes = "127.0.0.1", command: int = 1
) -> int:
    """Ask for something: the reply."""
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING + raw.request5(host, port, command))
        assert raw.exactly(client, 2) == b"\x05\x00"
        return raw.reply5(client)[0]


def suggest(gateway: Running, *options: str) -> Any:
    """Run it."""
    return socksgw("suggest", "--config", "gw.toml", *options, cwd=gateway.directory)


def test_aMinute(gateway: Running, server: Destination) -> None:
    """Denied, suggested, checked, loaded, allowed: as the chapter has it."""
    assert code(gateway, server.port) == 2
    found = suggest(gateway, "--listener", "lan", "--since", "today")
    assert found.returncode == 0, found.stderr
    assert 'id = "lan-to-127.0.0.1"' in found.stdout
    assert re.search(
        r"# 3 requests from \S+ to \S+; records \d+, \d+, \d+", found.stdout
    )
    assert re.search(
        r'not suggested: 1 × requests that rule "mail" denies on purpose', found.stdout
    )
    file = gateway.directory / "rules.d" / "lan.toml"
    file.write_text(found.stdout)
    checked = socksgw("check", "gw.toml", cwd=gateway.directory)
    assert checked.returncode == 0, checked.stdout
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: gateway.journal("reloaded"))
    assert code(gateway, server.port) == 0
    # And nothing else: another port, another command.
    assert code(gateway, server.port + 1) == 2
    assert code(gateway, server.port, command=2) == 2
    again = suggest(gateway, "--listener", "lan", "--since", "now")
    assert (again.returncode, again.stdout) == (1, "")
    file.unlink()


def test_json(gateway: Running, server: Destination) -> None:
    """For programs: rules, expectations, evidence, and what is not suggested."""
    found = suggest(gateway, "--user", "anonymous", "--json")
    assert found.returncode == 0
    said = json.loads(found.stdout)
    rules = {each["rule"]["id"]: each for each in said["suggestions"]}
    name = rules["anonymous-to-db.example"]
    assert name["rule"]["to"] == ["=db.example"]
    assert name["expect"][0]["resolving_to"] == ["8.8.8.8"]
    assert len(name["records"]) == name["requests"] == 1
    (bind,) = (
        each["rule"] for each in rules.values() if "10.1.2.3" in each["rule"]["to"]
    )
    assert (bind["allow"], "ports" in bind) == (["bind"], False)
    assert rules["anonymous-to-127.0.0.1"]["rule"]["from"] == ["127.0.0.1"]
    assert said["before"] is None
    assert any("on purpose" in each["why"] for each in said["not_suggested"])


def test_overruled(gateway: Running) -> None:
    """What a rule denies on purpose, only where that is said, and before it."""
    found = suggest(gateway, "--listener", "lan", "--overrule", "mail")
    assert "# They have to stand before rule 1 of" in found.stdout
    said = json.loads(
        suggest(gateway, "--listener", "lan", "--overrule", "mail", "--json").stdout
    )
    assert said["before"] == 0
    ports = [each["rule"].get("ports", []) for each in said["suggestions"]]
    assert any(25 in each for each in ports)


def test_reported(gateway: Running) -> None:
    """What a rule would deny that only reports."""
    found = suggest(gateway, "--listener", "lan", "--reported", "lockdown", "--json")
    said = json.loads(found.stdout)
    (only,) = said["suggestions"]
    assert (only["rule"]["ports"], only["rule"]["to"]) == ([8000], ["127.0.0.1"])
    assert said["before"] == 2


def test_theWarehouse(gateway: Running, tmp_path: Path) -> None:
    """The same from the database of a sink; other gateways write there, too."""
    lines = list(linesOf(gateway.directory / "var" / "audit"))
    for name in ("a", "socksgw", "z"):
        writer = Writer("sqlite:///audit.db", tmp_path, name)
        writer.open()
        writer.write(lines if name != "a" else lines[:1])
        writer.close()
    options = ("--user", "anonymous", "--json", "--until", "now")
    url = f"sqlite:///{tmp_path}/audit.db"
    read = suggest(gateway, *options, "--warehouse", url)
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout) == json.loads(suggest(gateway, *options).stdout)
    config = (gateway.directory / "gw.toml").read_text()
    secret = gateway.directory / "url"
    secret.write_text(url)
    secret.chmod(0o600)
    table = f'[[audit.sink]]\nkind = "sql"\nurl_file = "{secret}"\n'
    for sinks, status in (
        (f'[audit]\nsinks = ["sql:{url}"]\n', 0),
        (table, 0),
        (f'{table}gateway = "z"\n', 0),
        (f'{table}gateway = "a"\n', 1),
    ):
        (gateway.directory / "sql.toml").write_text(config + sinks)
        found = socksgw(
            "suggest", "--config", "sql.toml", *options, "--warehouse",
            cwd=gateway.directory,
        )  # fmt: skip
        assert found.returncode == status, found.stderr
        assert (found.stdout == read.stdout) is (status == 0)
    none = suggest(gateway, *options, "--warehouse")
    assert (none.returncode, "name the URL" in none.stderr) == (2, True)
    broken = suggest(gateway, *options, "--warehouse", "sqlite:///none.db")
    assert (broken.returncode, "none.db" in broken.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say whose"),
        (("--group", "staff"), "not declared"),
        (("--user", "a", "--overrule", "web"), "no rule"),
        (("--user", "a", "--reported", "mail"), "does not only report"),
        (("--user", "a", "--since", "soon"), "--since"),
    ],
)
def test_wrongUse(gateway: Running, options: tuple[str, ...], said: str) -> None:
    """Each says what to do."""
    found = suggest(gateway, *options)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr


def test_nothing(gateway: Running) -> None:
    """Somebody who was denied nothing."""
    done = suggest(gateway, "--user", "nobody")
    assert done.returncode == 1
    assert "no denial of these is recorded" in done.stderr


def test_tag(server: Destination, tmp_path: Path) -> None:
    """
    What was denied to a tag becomes a rule for that tag alone, by which the same
    request passes; for people and other tags it is denied as before.
    """
    made = socksgw("passwd", "users", "alice", cwd=tmp_path, stdin="correct-horse\n")
    assert made.returncode == 0
    (tmp_path / "rules.d").mkdir()
    for gateway in running(tmp_path, TAGGED):
        assert [tagged(gateway, server.port, each) for each in TAGS] == [2, 2, 2]
        found = suggest(gateway, "--tag", "job-1", "--since", "today")
        assert found.returncode == 0, found.stderr
        assert 'tag = ["job-1"]' in found.stdout
        (tmp_path / "rules.d" / "job.toml").write_text(found.stdout)
        checked = socksgw("check", "gw.toml", cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout
        gateway.process.send_signal(signal.SIGHUP)
        until(partial(gateway.journal, "reloaded"))
        assert [tagged(gateway, server.port, each) for each in TAGS] == [0, 2, 2]
        assert tagged(gateway, server.port + 1, "alice+job-1") == 2
        assert suggest(gateway, "--tag", "job-9").returncode == 1


TAGS = "alice+job-1", "alice+job-2", "alice"
TAGGED = """
include = ["rules.d/*.toml"]
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
[auth]
checkers = ["passwd:users"]
tag_separator = "+"
[[auth.choose]]
methods = ["userpass"]
[never]
except = ["127.0.0.0/8"]
[[rule]]
id = "mail"
allow = ["connect"]
ports = [25]
"""


def tagged(gateway: Running, port: int, name: str) -> int:
    """Ask as somebody: the reply."""
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(name.encode(), b"correct-horse"))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", port))
        return raw.reply5(client)[0]


GROUPS = """
[[listen]]
name = "lan"
address = ["127.0.0.1:0"]
[listen.multicast]
interface = "lo"
[[auth.choose]]
from = ["127.0.0.1"]
methods = ["none"]
[[rule]]
id = "far"
allow = ["multicast"]
to = ["239.1.0.0/16"]
multicast = { send = true, ttl = 4 }
[[rule]]
id = "none"
deny = ["multicast"]
to = ["239.2.0.0/16"]
"""


def test_groups(tmp_path: Path) -> None:
    """Rules are suggested for groups that clients receive alone; for others it is told."""
    for gateway in running(tmp_path, GROUPS):
        with Member(gateway.port) as member:
            for group, flags, ttl in (
                ("239.1.0.1", RECEIVE | SEND, 4),
                ("239.1.0.1", RECEIVE | SEND, 5),
                ("239.2.0.1", RECEIVE, 0),
                ("239.3.0.1", RECEIVE, 0),
                ("239.3.0.2", SEND, 1),
            ):
                member.bind(group, 5004, flags, ttl=ttl)
        found = suggest(gateway, "--listener", "lan")
    assert found.returncode == 0, found.stderr
    assert 'to = ["239.3.0.1"]' in found.stdout
    assert "239.3.0.2" not in found.stdout
    for told in (
        "1 × requests to send to a group: a rule has to say how far",
        '1 × groups of which rule "far" allows less',
        '1 × requests that rule "none" denies on purpose',
    ):
        assert f"not suggested: {told}" in found.stdout
