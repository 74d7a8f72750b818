"""
Fifty mistakes: none of them changes anything, each is told with its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.hostile.reloading import changed, lives, reloaded
from tests.live.clients import Server, four, tunnel, verdict5
from tests.live.running import ALL, HEAD, Running, socksgw

GOOD = HEAD + ALL


def rule(*lines: str) -> str:
    """A configuration with one rule more, before the one that allows all."""
    return "\n".join((HEAD, "[[rule]]", 'id = "r"', *lines, ALL))


def checker(text: str) -> str:
    """One with a checker, for everybody."""
    head = HEAD.replace('["none"]', '["userpass"]')
    return f'{head}{ALL}[auth]\ncheckers = ["{text}"]\n'


def limited(text: str) -> str:
    """One with a limit."""
    return f"{GOOD}[[limit]]\n{text}\n"


def including(name: str) -> str:
    """One that includes a file."""
    return f'include = ["{name}"]\n{GOOD}'


#: What the file holds, and what is said of it: a regular expression that has
#: the place in it.
BROKEN: dict[str, tuple[str | bytes, str]] = {
    # No TOML.
    "a table that is not closed": ("[[rule]\n", r"line 1, column \d+"),
    "half a file": (GOOD[: len(GOOD) - 30], r"line \d+|rule\[1\]"),
    "half a string": (GOOD + '[gateway]\nname = "edge', r"line \d+"),
    "a key twice": (GOOD + "[gateway]\nname = 'a'\nname = 'b'\n", r"line \d+"),
    "a table twice": (GOOD + "[never]\n", r"line \d+"),
    "another language": ("listen: [127.0.0.1:1080]\n", r"line 1"),
    "not UTF-8": (GOOD.encode() + b"# \xff\xfe\n", r"octet \d+: not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), r"UTF-16; save the file as UTF-8"),
    "NUL": (GOOD.encode() + b"\0", r"line \d+"),
    "a number of many digits": (f"a = {'9' * 5000}\n", r"too many digits"),
    "arrays in arrays": ("a = " + "[" * 5000 + "]" * 5000, r"too deep"),
    "empty": ("", r"gw\.toml: listen: is missing"),
    # Unknown keys, wrong types, values that cannot be.
    "an unknown table": (GOOD + "[gatewy]\n", r'gatewy: unknown key.*"gateway"'),
    "an unknown key": (GOOD + "[timeouts]\nidel = '5s'\n", r"timeouts\.idel"),
    "a number for a duration": (GOOD + "[timeouts]\nidle = 5\n", r"timeouts\.idle"),
    "a string for a list": (rule('deny = "connect"'), r"rule\[1\]\.deny"),
    "a list for a string": (GOOD + "[gateway]\nname = ['a']\n", r"gateway\.name"),
    "a float for a number": (
        HEAD.replace('name = "main"', 'name = "main"\nhalf_open = 1.5') + ALL,
        r"listen\[1\]\.half_open",
    ),
    "no time at all": (GOOD + "[timeouts]\nhandshake = '0s'\n", r"timeouts\.hand"),
    "little memory": (GOOD + "[relay]\nmemory = 17\n", r"relay\.memory"),
    "a date without offset": (
        rule('deny = "any"', "until = 2026-03-02T10:00:00"),
        r"rule\[1\]\.until: .*offset",
    ),
    # Rules.
    "neither allow nor deny": (rule(), r"rule\[1\].*: needs either"),
    "allow and deny": (rule('allow = "any"', 'deny = "any"'), r"rule\[1\].*: needs"),
    "no such command": (rule('deny = ["conect"]'), r"rule\[1\]\.deny"),
    "no id": (HEAD + '[[rule]]\nallow = "any"\n', r"rule\[1\]\.id: is missing"),
    "an id twice": (HEAD + ALL + ALL, r'rule\[2\]\.id: "all"'),
    "an unreachable rule": (
        HEAD + ALL + '[[rule]]\nid = "b"\nallow = ["udp"]\n',
        r'rule\[2\]: "b" can never match',
    ),
    "a group that is not there": (
        rule('deny = "any"', 'who = ["@nobody"]'),
        r"rule\[1\]\.who\[1\].*\[groups\]",
    ),
    "a network that is not there": (
        rule('deny = "any"', 'to = ["dc"]'),
        r"rule\[1\]\.to\[1\].*\[networks\]",
    ),
    "a service that is not there": (
        rule('deny = "any"', 'services = ["web"]'),
        r"rule\[1\]\.services\[1\].*\[services\]",
    ),
    "a schedule that is not there": (
        rule('deny = "any"', 'during = ["office"]'),
        r"rule\[1\]\.during\[1\].*\[schedules\]",
    ),
    "a listener that is not there": (
        rule('deny = "any"', 'listener = ["lan"]'),
        r"rule\[1\]\.listener\[1\]",
    ),
    "a zone that is not there": (
        GOOD + '[schedules]\ns = { zone = "Europe/Atlantis" }\n',
        r"schedules\.s: .*Atlantis",
    ),
    "a pattern that never matches": (
        rule('deny = "any"', 'to = ["*corp.example"]'),
        r"rule\[1\]\.to\[1\].*never match",
    ),
    "host bits": (
        rule('deny = "any"', 'to = ["10.0.0.1/8"]'),
        r"rule\[1\]\.to\[1\].*10\.0\.0\.0/8",
    ),
    "ports out of order": (
        rule('deny = "any"', 'ports = ["9-8"]'),
        r"rule\[1\]\.ports.*order",
    ),
    "a network in itself": (
        GOOD + '[networks]\na = ["a"]\n',
        r"networks\.a\[1\].*itself",
    ),
    "a limit of nothing": (limited('per = "all"'), r"limit\[1\]"),
    "a limit per nothing": (limited("sessions = 5"), r"limit\[1\]\.per: is missing"),
    # Tests of the policy.
    "an expectation that fails": (
        GOOD + '[[expect]]\nto = "127.0.0.1:1"\nverdict = "deny"\n',
        r'expect\[1\]: expects deny.*it is allow by rule "all"',
    ),
    "an expectation by another rule": (
        GOOD + '[[expect]]\nto = "127.0.0.1:1"\nverdict = "allow"\nrule = "other"\n',
        r"expect\[1\]: expects allow by rule",
    ),
    "an expectation that says too little": (
        GOOD + '[[expect]]\nto = "a.example:1"\nverdict = "allow"\n',
        r"expect\[1\]: .*resolving_to",
    ),
    # Files that it names.
    "a password file that is not there": (
        checker("passwd:nowhere"),
        r"auth\.checkers\[1\]: .*nowhere: No such file",
    ),
    "a password file that is a directory": (
        checker("passwd:var"),
        r"auth\.checkers\[1\]: .*var: Is a directory",
    ),
    "a password file that others can read": (
        checker("passwd:public"),
        r"auth\.checkers\[1\]: .*chmod o-rwx",
    ),
    "a password file with a wrong line": (
        checker("passwd:wrong"),
        r"auth\.checkers\[1\]: .*line 1",
    ),
    "no such checker": (checker("ldpa:x"), r'auth\.checkers\[1\]: .*"ldpa"'),
    "an included file that is not there": (
        including("nowhere.toml"),
        r"include\[1\]: .*nowhere\.toml",
    ),
    "an included file with a wrong rule": (
        including("rules.d/wrong.toml"),
        r"rules\.d/wrong\.toml:\d+: rule\[1\]\.to\[1\]",
    ),
    "an included file that is no TOML": (
        including("rules.d/no.toml"),
        r"rules\.d/no\.toml: line 1",
    ),
    "an included file with a listener": (
        including("rules.d/listen.toml"),
        r"rules\.d/listen\.toml:\d+: listen: unknown key.* move it to the file that",
    ),
    "an include below a table": (
        GOOD + "[timeouts]\ninclude = ['x']\n",
        r"timeouts\.include: .*above the first table",
    ),
    "an included directory": (including("rules.*"), r"rules\.d: cannot be read"),
    "a pattern of no file": (including(""), r"include\[1\]"),
    # Who gets in, and where.
    "no such method": (HEAD.replace("none", "nonsense") + ALL, r"auth\.choose\[1\]"),
    "nobody to ask about passwords": (
        HEAD.replace("none", "userpass") + ALL,
        r"auth\.choose\[1\]\.methods: .*no checker",
    ),
    "an open relay": (
        HEAD.replace("127.0.0.1:0", "0.0.0.0:0").replace(
            'from = ["127.0.0.0/8", "::1"]\n', ""
        )
        + ALL,
        r'listen\[1\]: exposed: .*"all"',
    ),
    "passwords in the clear": (
        checker("memory:a:b").replace("127.0.0.1:0", "0.0.0.0:0"),
        r"auth\.choose\[1\]: .*cleartext_passwords",
    ),
    "no such port": (HEAD.replace("1:0", "1:99999") + ALL, r"listen\[1\]\.address"),
    "an address that is not ours": (
        HEAD.replace("127.0.0.1:0", "192.0.2.77:1080") + ALL,
        r"192\.0\.2\.77:1080: this machine has no such address",
    ),
    "two listeners of one name": (
        HEAD + ALL + '[[listen]]\nname = "main"\naddress = ["127.0.0.1:0"]\n',
        r'listen\[2\].name: "main"',
    ),
    "an admin port for everybody": (
        GOOD + '[admin]\nendpoint = "tcp:0.0.0.0:1081"\n',
        r"admin\.endpoint: .*TLS",
    ),
}


def prepared(directory: Path) -> None:
    """The files that some of the mistakes are about."""
    rules = directory / "rules.d"
    rules.mkdir()
    (rules / "wrong.toml").write_text('[[rule]]\nid="w"\ndeny="any"\nto=["nowhere"]\n')
    (rules / "no.toml").write_text("[[rule]\n")
    (rules / "listen.toml").write_text('[[listen]]\nname = "x"\n')
    for name, mode in (("public", 0o644), ("wrong", 0o600)):
        (directory / name).write_text("alice:secret\n")
        os.chmod(directory / name, mode)


def unnamed(text: str) -> str:
    """Messages without the names of the tables that they speak of."""
    return re.sub(r' \("[^"]*"\)', "", text)


def test_brokenFilesChangeNothing(gateway: Callable[..., Running]) -> None:
    """
    Whatever is wrong with a file, the old policy goes on whole, the failure is
    logged and journalled with its place, and who lives is not touched.
    """
    running = gateway(GOOD)
    path = running.directory / "gw.toml"
    prepared(running.directory)
    assert len(BROKEN) >= 50
    with Server() as server, closing(tunnel(running.port, server.place)) as client:

        def unchanged(kind: str) -> None:
            assert lives(client), kind
            # A new one is decided by the old policy, and reaches its server.
            assert verdict5(running.port, four("127.0.0.1"), server.port) == 0, kind

        for kind, (text, said) in BROKEN.items():
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            line = reloaded(running)
            assert line["event"] == "reload-failed", kind
            problems = "\n".join(line["problems"])  # type: ignore[arg-type]
            assert re.search(said, unnamed(problems)), f"{kind}: {problems}"
            unchanged(kind)
        for kind, make in (
            ("not there", lambda: None),
            ("a directory", path.mkdir),
            ("a link to itself", lambda: path.symlink_to(path)),
            ("a link to nothing", lambda: path.symlink_to("nothing")),
            ("a pipe", lambda: os.mkfifo(path)),
        ):
            path.unlink(missing_ok=True)
            make()
            line = reloaded(running)
            assert line["event"] == "reload-failed", kind
            assert "cannot be read" in str(line["problems"]), kind
            unchanged(kind)
            if path.is_dir():
                path.rmdir()
        path.unlink()
        assert changed(running, GOOD)["event"] == "reloaded"
        unchanged("mended")
    assert running.log.count("not reloaded: ") >= len(BROKEN) + 5


def test_aMistakeIsToldBeforehand(tmp_path: Path) -> None:
    """What a reload would refuse, C{check} refuses, in the same words."""
    (tmp_path / "var").mkdir()
    prepared(tmp_path)
    for kind in ("half a string", "an expectation that fails", "an open relay"):
        text, said = BROKEN[kind]
        assert isinstance(text, str)
        (tmp_path / "gw.toml").write_text(text)
        done = socksgw("check", "gw.toml", cwd=tmp_path)
        assert done.returncode == 2, kind
        assert re.search(said, unnamed(done.stdout + done.stderr)), kind
